//! Whether a token response says who signed in (OpenID Connect Core §3.1.3.3).

use super::{super::AuthorizationServer, mint::Minted};
use crate::{
    client::Client,
    clock::Timestamp,
    scope::Scopes,
    store::{
        StoreError,
        record::{GrantHolder, GrantRecord},
    },
};

/// What an id_token goes with.
#[cfg_attr(
    not(feature = "jwt"),
    expect(dead_code, reason = "nothing is signed without it")
)]
pub(super) struct About<'a> {
    pub(super) client: &'a Client,
    pub(super) grant: &'a GrantRecord,
    pub(super) nonce: Option<&'a str>,
    pub(super) scopes: &'a Scopes,
    pub(super) access: &'a Minted,
    pub(super) issued_at: Timestamp,
}

impl AuthorizationServer {
    /// The id_token of a response, `None` where the user did not allow `openid`, or there is no
    /// user. Comes before the commit: a client that is not answered must have lost nothing.
    pub(super) async fn id_token(&self, about: &About<'_>) -> Result<Option<String>, StoreError> {
        if !cfg!(feature = "jwt")
            || about.grant.holder != GrantHolder::User
            || !about.scopes.contains("openid")
        {
            return Ok(None);
        }
        self.sign(about).await
    }

    #[cfg(feature = "jwt")]
    async fn sign(&self, about: &About<'_>) -> Result<Option<String>, StoreError> {
        let About {
            client,
            grant,
            nonce,
            access,
            issued_at,
            ..
        } = about;
        self.sign_id_token(client, grant, *nonce, access.reveal(), *issued_at)
            .await
            .map(Some)
    }

    #[cfg(not(feature = "jwt"))]
    async fn sign(&self, _: &About<'_>) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}
