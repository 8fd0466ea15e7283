//! A client comes with what an identity provider said of a user (RFC 7523 §2.1, ID-JAG §4.4).

use zeroize::Zeroizing;

use super::{
    super::{
        AuthorizationServer, client_auth,
        response::EndpointResponse,
        token_call::TokenCall,
        trusted_issuer::{KnownIssuer, LEEWAY},
    },
    Issued, TokenError, UNSUPPORTED_GRANT,
};
use crate::{
    asserted_subject::AssertedSubject,
    fetch::FetchError,
    grant::{
        ErrorCode, Refusal, issue,
        jwt_bearer::{self, refusal},
    },
    jwt::Claims,
    resource_server::VerifierUnavailable,
    secret::{Digest, random},
    store::{IssueTokens, IssueTokensOutcome},
};

impl AuthorizationServer {
    /// Gives a token for an assertion, and uses it up in the same step. There is no refresh token:
    /// the identity provider is asked again.
    pub(super) async fn jwt_bearer(
        &self,
        call: &TokenCall<'_>,
    ) -> Result<EndpointResponse, TokenError> {
        let TokenCall { client, params, .. } = call;
        if self.trusted_issuers.is_empty() {
            return Err(UNSUPPORTED_GRANT.into());
        }
        let assertion = params.get("assertion").ok_or(Refusal::invalid_request(
            "assertion_missing",
            "assertion is missing",
        ))?;
        let issuer = self.trusted_issuers.of(assertion).map_err(refusal)?;
        // Some clients may come both ways.
        let is_authenticated = !client.is_public() || params.get("client_assertion").is_some();
        jwt_bearer::check_client(client, is_authenticated, issuer.takes_public)?;
        if !issuer.may_speak_for(&client.id) {
            return Err(NOT_ITS_CLIENT.into());
        }
        let now = self.now();
        let judged = issuer.verify(assertion, self.issuer.as_str(), now).await;
        let claims = judged
            .map_err(|cause| unavailable(issuer, cause))?
            .map_err(refusal)?;
        let asserted = jwt_bearer::decide(&claims, params, client, &self.catalog)?;
        self.check_key(call, asserted.jkt.as_deref(), &asserted.resource.uri)?;
        let used = (!issuer.takes_again).then(|| use_of(issuer, &claims, asserted.jti));
        let user = AssertedSubject::new(issuer.name.as_str(), asserted.subject, claims.all.clone());
        let subject = self
            .authenticator
            .enterprise_subject(&user)
            .await
            .map_err(TokenError::Authenticator)?
            .ok_or(SUBJECT_REFUSED)?;

        let now = self.now();
        let scopes = asserted.resource.hierarchy.close(&asserted.scopes);
        let mut grant = issue::user_grant(&client.id, subject, scopes, asserted.resource, now);
        grant.auth_time = asserted.auth_time;
        let record = self.access_record(call, &grant, grant.scopes.clone(), now);
        grant.expires_at = record.expires_at;
        let access = self
            .mint(&Zeroizing::new(random()), &record, grant.auth_time)
            .await?;
        let issue = IssueTokens {
            grant: grant.clone(),
            access: (access.digest(), record),
            refresh: None,
            used,
            renew_client: self.lifetimes.renew_client(client.expires_at, now),
        };
        let answer = self.store.issue_tokens(issue, self.limits.used, now).await;
        let is_done = || self.has_tokens(access.digest());
        let outcome = self.settle(answer, IssueTokensOutcome::Issued, is_done);
        match outcome.await? {
            IssueTokensOutcome::Issued => {}
            IssueTokensOutcome::Used => return Err(REPLAYED.into()),
            IssueTokensOutcome::Full => return Err(TOO_MANY.into()),
        }
        if self.was_deleted(client).await {
            return Err(client_auth::UNKNOWN.into());
        }
        let issued = Issued {
            access,
            lives: self.lifetimes.access_token,
            refresh: None,
            // The client has a statement of who signed in: the one it came with.
            id_token: None,
            // As the assertion named them: clients check that they were given no more.
            scopes: &asserted.scopes,
        };
        Ok(self.issued(client, &grant, &issued, false))
    }
}

/// What is remembered of an assertion, and until when: as long as it would be good. Its name is
/// unique at its issuer, whose name has no line break in it.
fn use_of(issuer: &KnownIssuer, claims: &Claims, jti: &str) -> (Digest, crate::clock::Timestamp) {
    let digest = Digest::of(&format!("id-jag\n{}\n{jti}", issuer.name.as_str()));
    (digest, claims.expires_at.plus(LEEWAY))
}

/// Nothing is known of the assertion while the keys of its issuer cannot be had.
fn unavailable(issuer: &KnownIssuer, cause: FetchError) -> TokenError {
    TokenError::Issuer(VerifierUnavailable::new(KeysUnavailable {
        issuer: issuer.name.as_str().to_owned(),
        cause,
    }))
}

#[derive(Debug, thiserror::Error)]
#[error("the keys of {issuer} cannot be had: {cause}")]
struct KeysUnavailable {
    issuer: String,
    cause: FetchError,
}

const NOT_ITS_CLIENT: Refusal = Refusal::invalid_grant(
    "assertion_client_not_allowed",
    "the issuer of the assertion may not speak for this client",
);
const SUBJECT_REFUSED: Refusal = Refusal::invalid_grant(
    "assertion_subject_refused",
    "the user of the assertion is not known here",
);
const REPLAYED: Refusal =
    Refusal::invalid_grant("assertion_replayed", "the assertion was used before");
const TOO_MANY: Refusal = Refusal::new(
    ErrorCode::Full,
    "too_many_assertions",
    "too many assertions were used; try again later",
);
