//! Who the client knows will sign in (`id_token_hint`, OpenID Connect Core §3.1.2.1).

use super::AuthorizationServer;
#[cfg(feature = "jwt")]
use crate::grant::ErrorCode;
use crate::{
    client::Client, grant::Refusal, params::Params, store::StoreError,
    store::record::AuthorizationRequest,
};

impl AuthorizationServer {
    /// Takes the hint of a request to heart. What may show no page and has a hint that says
    /// nothing is refused: no user could be the one that is meant.
    #[cfg(feature = "jwt")]
    pub(super) async fn with_hint(
        &self,
        params: &Params<'_>,
        client: &Client,
        mut request: AuthorizationRequest,
    ) -> Result<Result<AuthorizationRequest, Refusal>, StoreError> {
        let Some(hint) = params.get("id_token_hint") else {
            return Ok(Ok(request));
        };
        request.hinted = self
            .read_hint(hint, client)
            .await?
            .map(|hinted| hinted.subject);
        if request.hinted.is_none() && request.prompt_none {
            return Ok(Err(HINT_UNREADABLE));
        }
        Ok(Ok(request))
    }

    /// Without id_tokens there are no hints.
    #[cfg(not(feature = "jwt"))]
    pub(super) async fn with_hint(
        &self,
        _: &Params<'_>,
        _: &Client,
        request: AuthorizationRequest,
    ) -> Result<Result<AuthorizationRequest, Refusal>, StoreError> {
        Ok(Ok(request))
    }
}

#[cfg(feature = "jwt")]
const HINT_UNREADABLE: Refusal = Refusal::new(
    ErrorCode::LoginRequired,
    "id_token_hint_unreadable",
    "id_token_hint is none that was made here for this client",
);
