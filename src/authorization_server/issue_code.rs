//! Issuing a code: for what a user approves now, or approved before.

use http::request::Parts;

use super::{
    AuthorizationServer,
    authorize::CONSENT_REQUIRED,
    response::{self, EndpointResponse},
};
use crate::{
    authenticator::SignedIn,
    client::{
        Client,
        destination::Destination,
        redirect::{self, RedirectKind},
    },
    event::Event,
    grant::issue,
    secret::{Code, Digest, GrantId, Token},
    store::{
        IssueCode, IssueCodeOutcome, RevokeTarget, StoreError,
        record::{AuthorizationRequest, ConsentRecord},
    },
};

impl AuthorizationServer {
    /// Whether the user's earlier consent answers this request without a page.
    pub(super) async fn is_remembered(
        &self,
        client: &Client,
        request: &AuthorizationRequest,
        user: &SignedIn,
    ) -> Result<bool, StoreError> {
        if !may_be_remembered(client, request) {
            return Ok(false);
        }
        let consent = self.consent_of(request, user).await?;
        Ok(answers(consent.as_ref(), client, request))
    }

    /// What the user allowed the client before: at the resource, by an answer to the same place.
    pub(super) async fn consent_of(
        &self,
        request: &AuthorizationRequest,
        user: &SignedIn,
    ) -> Result<Option<ConsentRecord>, StoreError> {
        let (subject, client) = (user.subject.clone(), request.client_id.clone());
        let resource = request.resource.clone();
        let destination = Some(Destination::of(&request.redirect_uri));
        self.store
            .consent(subject, client, resource, destination)
            .await
    }

    /// Issues a code for what `user` approved, and takes it to the client: by the form of the
    /// authorization `answered`, which is good once, or, without one, earlier. Then the browser may
    /// repeat its request, and does by itself where the connection broke (RFC 9110 §9.2.2).
    pub(super) async fn issue_code(
        &self,
        parts: &Parts,
        answered: Option<Digest>,
        client: &Client,
        request: &AuthorizationRequest,
        user: &SignedIn,
    ) -> EndpointResponse {
        if let Some(limited) = self.user_limited(&client.id, &user.subject, parts) {
            return self.limited_here(parts, limited);
        }
        let (remembered, now) = (answered.is_none(), self.now());
        let code = Token::<Code>::random();
        let approval = issue::approve(request, user, &self.lifetimes, now);
        let grant = approval.grant.id;
        let issued = self
            .store
            .issue_code(
                IssueCode {
                    pending: answered,
                    digest: code.digest(),
                    code: approval.code,
                    grant: approval.grant,
                    // One that is withdrawn at this moment must not come back.
                    consent: (!remembered).then_some(approval.consent),
                    renew_client: self.lifetimes.renew_client(client.expires_at, now),
                },
                now,
            )
            .await;
        let is_done = || self.has_code(code.digest());
        match self.settle(issued, IssueCodeOutcome::Issued, is_done).await {
            Ok(IssueCodeOutcome::Issued) => {}
            Ok(IssueCodeOutcome::Gone) => return self.gone(parts),
            Err(error) => return self.unavailable_here(parts, &error),
        }
        if remembered {
            match self.is_withdrawn(client, request, user, grant).await {
                Ok(false) => {}
                Ok(true) => {
                    let state = request.state.as_deref();
                    let refusal = &CONSENT_REQUIRED;
                    return self.refuse_there(client, &request.redirect_uri, state, refusal);
                }
                Err(error) => return self.unavailable_here(parts, &error),
            }
        } else if self.was_deleted(client).await {
            return self.gone(parts);
        }
        self.emit(&Event::CodeIssued {
            client_id: &client.id,
            subject: &user.subject,
            grant,
            scopes: &request.scopes,
            remembered,
        });
        let mut answer = vec![("code", code.reveal())];
        answer.extend(request.state.as_deref().map(|state| ("state", state)));
        answer.push(("iss", self.issuer.as_str()));
        response::see_other(&response::with_query(&request.redirect_uri, &answer))
    }

    /// Whether the consent that a code was issued by is there no more. A withdrawal that came before
    /// the code did not reach its grant; nobody has seen the code yet.
    async fn is_withdrawn(
        &self,
        client: &Client,
        request: &AuthorizationRequest,
        user: &SignedIn,
        grant: GrantId,
    ) -> Result<bool, StoreError> {
        if self.is_remembered(client, request, user).await? {
            return Ok(false);
        }
        self.revoke(RevokeTarget::Grant(grant)).await?;
        Ok(true)
    }
}

/// Whether any consent could. None does where any local program could be the one listening, unless
/// the client proves who it is.
fn may_be_remembered(client: &Client, request: &AuthorizationRequest) -> bool {
    let to_https = redirect::classify(&request.redirect_uri) == Ok(RedirectKind::Https);
    !request.prompt_consent && (to_https || !client.is_public())
}

/// Whether this one, if there is one, answers the request without a page.
pub(super) fn answers(
    consent: Option<&ConsentRecord>,
    client: &Client,
    request: &AuthorizationRequest,
) -> bool {
    may_be_remembered(client, request)
        && consent.is_some_and(|consent| consent.scopes.contains_all(&request.scopes))
}
