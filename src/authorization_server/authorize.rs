//! The authorization endpoint (RFC 6749 §3.1), up to where a person has to act.

use bytes::Bytes;
use http::{Method, header, request::Parts};

use super::{
    AuthorizationServer, Endpoint,
    refuse::{MALFORMED, NOT_A_FORM, TRY_LATER},
    request::form_text,
    response::{self, EndpointResponse},
};
use crate::{
    authenticator::SignedIn,
    client::{
        Client,
        redirect::{self, RedirectKind},
    },
    event::Event,
    grant::{ErrorCode, Refusal, authorize, issue},
    params::Params,
    secret::{Code, Digest, Token, random_handle},
    store::{
        BeginAuthorization, IssueCode, IssueCodeOutcome, StoreError,
        record::{AuthorizationRequest, PendingAuthorization},
    },
};

impl AuthorizationServer {
    pub(super) async fn authorize(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        let (client, redirect_uri, text);
        if parts.method == Method::POST {
            let Some(form) = form_text(parts, body) else {
                return self.refuse_here(parts, Endpoint::Authorize, None, &NOT_A_FORM);
            };
            text = form;
        } else {
            text = parts.uri.query().unwrap_or_default();
        }
        let Ok(params) = Params::parse(text) else {
            return self.refuse_here(parts, Endpoint::Authorize, None, &MALFORMED);
        };
        if let Some(limited) = self.limited(Endpoint::Authorize, params.get("client_id"), parts) {
            return self.limited_here(parts, limited);
        }
        match self.who_and_where(&params).await {
            Ok(Ok(found)) => (client, redirect_uri) = found,
            Ok(Err(refusal)) => {
                return self.refuse_here(
                    parts,
                    Endpoint::Authorize,
                    params.get("client_id"),
                    &refusal,
                );
            }
            Err(error) => return self.unavailable_here(parts, &error),
        }
        let state = params.get("state").filter(|_| !params.is_repeated("state"));
        let accepted = match authorize::decide(&params, &client, &redirect_uri, &self.catalog) {
            Ok(accepted) => accepted,
            Err(refusal) => return self.refuse_there(&client, &redirect_uri, state, &refusal),
        };
        let there = |refusal| self.refuse_there(&client, &redirect_uri, state, refusal);

        let user = match self.authenticator.signed_in(parts).await {
            // A request for a fresh sign-in is met by none that came before it.
            Ok(user) => user.filter(|_| !accepted.request.prompt_login),
            Err(error) => {
                self.emit(&Event::AuthenticatorFailed { error: &error });
                return there(&TRY_LATER);
            }
        };
        if let Some(user) = &user {
            match self.is_remembered(&client, &accepted.request, user).await {
                Ok(true) => {
                    return self
                        .issue_code(parts, None, &client, &accepted.request, user)
                        .await;
                }
                Ok(false) => {}
                Err(error) => return self.unavailable_here(parts, &error),
            }
        }
        if accepted.prompt_none {
            return there(if user.is_some() {
                &CONSENT_REQUIRED
            } else {
                &LOGIN_REQUIRED
            });
        }
        self.begin(parts, &client, accepted.request, user.is_some())
            .await
    }

    /// The client and where to answer it. What is refused here must not be redirected
    /// (RFC 6749 §4.1.2.1).
    async fn who_and_where(
        &self,
        params: &Params<'_>,
    ) -> Result<Result<(Client, String), Refusal>, StoreError> {
        if params.is_repeated("client_id") || params.is_repeated("redirect_uri") {
            return Ok(Err(Refusal::invalid_request(
                "repeated_parameter",
                "client_id or redirect_uri was sent more than once",
            )));
        }
        let Some(id) = params.get("client_id") else {
            return Ok(Err(Refusal::invalid_request(
                "client_id_missing",
                "client_id is missing",
            )));
        };
        let Some(client) = self.client(id).await? else {
            return Ok(Err(Refusal::invalid_client(
                "client_unknown",
                "This program is not registered here, or its registration was forgotten after it \
                 had not been used for long. Remove its stored sign-in so that it registers again.",
            )));
        };
        let Some(redirect_uri) = client.redirect_uri(params.get("redirect_uri")) else {
            return Ok(Err(Refusal::invalid_request(
                "redirect_uri_unregistered",
                "redirect_uri is not one that the client registered",
            )));
        };
        let redirect_uri = redirect_uri.to_owned();
        Ok(Ok((client, redirect_uri)))
    }

    /// Whether the user's earlier consent answers this request without a page. It never does where
    /// any local program could be the one listening, unless the client proves who it is.
    pub(super) async fn is_remembered(
        &self,
        client: &Client,
        request: &AuthorizationRequest,
        user: &SignedIn,
    ) -> Result<bool, StoreError> {
        let to_https = redirect::classify(&request.redirect_uri) == Ok(RedirectKind::Https);
        if request.prompt_consent || (client.is_public() && !to_https) {
            return Ok(false);
        }
        let consent = self
            .store
            .consent(
                user.subject.clone(),
                client.id.clone(),
                request.resource.clone(),
            )
            .await?;
        Ok(consent.is_some_and(|consent| consent.scopes.contains_all(&request.scopes)))
    }

    /// Stores the request and sends the browser on: to sign in, or to consent.
    async fn begin(
        &self,
        parts: &Parts,
        client: &Client,
        request: AuthorizationRequest,
        is_signed_in: bool,
    ) -> EndpointResponse {
        let (redirect_uri, state) = (request.redirect_uri.clone(), request.state.clone());
        let now = self.now();
        let browser = self.cookie.read_or_create(&parts.headers);
        let transaction = random_handle();
        let id = Digest::of(&transaction);
        let pending = PendingAuthorization {
            request,
            browser: Some(browser.digest()),
            client: None,
            created_at: now,
            expires_at: now.plus(self.lifetimes.pending),
        };
        let begun = self
            .store
            .begin_authorization(id, pending, self.limits.pending, now)
            .await;
        match begun {
            Ok(BeginAuthorization::Begun) => {}
            Ok(BeginAuthorization::Full) => {
                return self.refuse_there(client, &redirect_uri, state.as_deref(), &TRY_LATER);
            }
            Err(error) => return self.unavailable_here(parts, &error),
        }
        let next = if is_signed_in {
            self.resume_url(&transaction)
        } else {
            self.emit(&Event::SignInRequired {
                client_id: &client.id,
            });
            self.login_url(&transaction)
        };
        let mut response = response::see_other(&next);
        let lifetime = self.lifetimes.pending;
        for cookie in self.cookie.set_cookies(&browser, &id, lifetime) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// Where a browser goes on once its user has signed in.
    pub(crate) fn resume_url(&self, transaction: &str) -> String {
        response::with_query(
            &self.url(Endpoint::Consent),
            &[("transaction", transaction)],
        )
    }

    /// Where a browser without a session goes.
    pub(super) fn login_url(&self, transaction: &str) -> String {
        response::with_query(&self.login_page, &[("transaction", transaction)])
    }

    /// Issues a code for what `user` approved, now or earlier, and takes it to the client.
    pub(super) async fn issue_code(
        &self,
        parts: &Parts,
        pending: Option<Digest>,
        client: &Client,
        request: &AuthorizationRequest,
        user: &SignedIn,
    ) -> EndpointResponse {
        let now = self.now();
        let code = Token::<Code>::random();
        let approval = issue::approve(request, &user.subject, user.auth_time, &self.lifetimes, now);
        let grant = approval.grant.id;
        let issued = self
            .store
            .issue_code(
                IssueCode {
                    pending,
                    digest: code.digest(),
                    code: approval.code,
                    grant: approval.grant,
                    consent: Some(approval.consent),
                    renew_client: self.lifetimes.renew_client(client.expires_at, now),
                },
                now,
            )
            .await;
        match issued {
            Ok(IssueCodeOutcome::Issued) => {}
            Ok(IssueCodeOutcome::Gone) => return self.gone(parts),
            Err(error) => return self.unavailable_here(parts, &error),
        }
        self.emit(&Event::CodeIssued {
            client_id: &client.id,
            subject: &user.subject,
            grant,
            scopes: &request.scopes,
            remembered: pending.is_none(),
        });
        let mut answer = vec![("code", code.reveal())];
        answer.extend(request.state.as_deref().map(|state| ("state", state)));
        answer.push(("iss", self.issuer.as_str()));
        response::see_other(&response::with_query(&request.redirect_uri, &answer))
    }
}

const LOGIN_REQUIRED: Refusal = Refusal::new(
    ErrorCode::LoginRequired,
    "login_required",
    "the user is not signed in",
);
const CONSENT_REQUIRED: Refusal = Refusal::new(
    ErrorCode::ConsentRequired,
    "consent_required",
    "the user has to consent",
);
