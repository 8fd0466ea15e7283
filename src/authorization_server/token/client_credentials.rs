//! A client in its own name (RFC 6749 §4.4).

use zeroize::Zeroizing;

use super::{
    super::{AuthorizationServer, response::EndpointResponse, token_call::TokenCall},
    Issued, TokenError,
};
use crate::{
    grant::{self, ErrorCode, Refusal, issue},
    id::Subject,
    secret::random,
    store::{IssueTokens, IssueTokensOutcome, StoreError},
};

impl AuthorizationServer {
    /// Gives a token to a client that the operator configured with credentials. One that registered
    /// itself gets none: everyone can register.
    pub(super) async fn client_credentials(
        &self,
        call: &TokenCall<'_>,
    ) -> Result<EndpointResponse, TokenError> {
        let TokenCall { client, params, .. } = call;
        if client.is_public() || self.clients.get(&client.id).is_none() {
            return Err(NOT_CONFIGURED.into());
        }
        let resource = grant::authorize::resource(params, &self.catalog)?;
        let scopes = grant::client_credentials::scopes(params, resource)?;
        self.check_key(call, None, &resource.uri)?;
        let subject = Subject::new(client.id.as_str()).map_err(|_| NOT_CONFIGURED)?;

        let now = self.now();
        let mut grant = issue::client_grant(&client.id, subject, scopes, resource, now);
        let record = self.access_record(call, &grant, grant.scopes.clone(), now);
        grant.expires_at = record.expires_at;
        let access = self.mint(&Zeroizing::new(random()), &record, None).await?;
        let issue = IssueTokens {
            grant: grant.clone(),
            access: (access.digest(), record),
            refresh: None,
            used: None,
            renew_client: None,
        };
        match self
            .store
            .issue_tokens(issue, self.limits.used, now)
            .await?
        {
            IssueTokensOutcome::Issued => {}
            // Nothing was to be used up.
            IssueTokensOutcome::Used | IssueTokensOutcome::Full => {
                return Err(StoreError::unavailable("the store refused a new grant").into());
            }
        }
        let issued = Issued {
            access,
            lives: self.lifetimes.access_token,
            refresh: None,
            id_token: None,
            scopes: &grant.scopes,
        };
        Ok(self.issued(client, &grant, &issued, false))
    }
}

const NOT_CONFIGURED: Refusal = Refusal::new(
    ErrorCode::UnauthorizedClient,
    "client_credentials_not_allowed",
    "only clients that the operator configured with a secret or key get tokens of their own",
);
