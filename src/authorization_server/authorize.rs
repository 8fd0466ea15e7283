//! The authorization endpoint (RFC 6749 §3.1), up to where a person has to act.

use bytes::Bytes;
use http::{Method, header, request::Parts};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    AuthorizationServer, Endpoint,
    clients::NoClient,
    par,
    refuse::{MALFORMED, NOT_A_FORM, TRY_LATER},
    request::form_text,
    response::{self, EndpointResponse},
};
use crate::{
    authenticator::SignedIn,
    client::Client,
    clock::Timestamp,
    event::Event,
    grant::{ErrorCode, Refusal, authorize, step_up},
    params::Params,
    scope::Scopes,
    secret::{Digest, random_handle},
    store::{
        BeginAuthorization,
        record::{AuthorizationRequest, ConsentRecord, PendingAuthorization},
    },
    uri::ResourceUri,
};

/// What a form may have as it is and an address may not.
const NOT_IN_A_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

impl AuthorizationServer {
    pub(super) async fn authorize(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        let (client, redirect_uri, text);
        if parts.method == Method::POST {
            let Some(form) = form_text(parts, body) else {
                return self.refuse_here(parts, Endpoint::Authorize, None, &NOT_A_FORM);
            };
            if is_from_another_site(parts) {
                return self.authorize_link(form);
            }
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
        if let Some(handle) = params.get("request_uri").and_then(par::handle) {
            return self.authorize_pushed(parts, &params, handle).await;
        }
        match self.who_and_where(parts, &params).await {
            Ok(found) => (client, redirect_uri) = found,
            Err(answer) => return answer,
        }
        let state = params.get("state").filter(|_| !params.is_repeated("state"));
        match authorize::decide(&params, &client, &redirect_uri, &self.catalog) {
            Ok(_) if self.requires_push => {
                self.refuse_there(&client, &redirect_uri, state, &PUSH_REQUIRED)
            }
            Ok(request) => match self.with_hint(&params, &client, request).await {
                Ok(Ok(request)) => self.carry_on(parts, client, request).await,
                Ok(Err(refusal)) => self.refuse_there(&client, &redirect_uri, state, &refusal),
                Err(error) => self.unavailable_here(parts, &error),
            },
            Err(refusal) => self.refuse_there(&client, &redirect_uri, state, &refusal),
        }
    }

    /// A request that came as a form from another site, as a link. Browsers send no cookies along
    /// with such a form: nobody would seem to be signed in, and the cookie in the answer would take
    /// the place of the one that other tabs go by.
    fn authorize_link(&self, form: &str) -> EndpointResponse {
        let query = utf8_percent_encode(form, NOT_IN_A_QUERY);
        response::see_other(&format!("{}?{query}", self.url(Endpoint::Authorize)))
    }

    /// As [`authorize`](Self::authorize), for a request that its client pushed before.
    async fn authorize_pushed(
        &self,
        parts: &Parts,
        params: &Params<'_>,
        handle: &str,
    ) -> EndpointResponse {
        let refuse = |refusal| {
            let id = self.nameable(params.get("client_id"));
            self.refuse_here(parts, Endpoint::Authorize, id, refusal)
        };
        if params.is_repeated("client_id") || params.is_repeated("request_uri") {
            return refuse(&REPEATED);
        }
        let Some(id) = params.get("client_id") else {
            return refuse(&CLIENT_ID_MISSING);
        };
        let client = match self.client(id, Endpoint::Authorize, parts).await {
            Ok(client) => client,
            Err(NoClient::Unknown) => return refuse(&CLIENT_UNKNOWN),
            Err(NoClient::Refused(refusal)) => return refuse(&refusal),
            Err(NoClient::Limited(limited)) => return self.limited_here(parts, limited),
            Err(NoClient::Store(error)) => return self.unavailable_here(parts, &error),
        };
        match self.pushed(handle, &client).await {
            Ok(Ok(request)) if client.may_be_answered_at(&request.redirect_uri) => {
                self.carry_on(parts, client, request).await
            }
            Ok(Ok(_)) => refuse(&REDIRECT_UNREGISTERED),
            Ok(Err(refusal)) => refuse(&refusal),
            Err(error) => self.unavailable_here(parts, &error),
        }
    }

    /// What is asked for is in order: find out who is there, and whether they agreed before.
    async fn carry_on(
        &self,
        parts: &Parts,
        client: Client,
        request: AuthorizationRequest,
    ) -> EndpointResponse {
        let there = |refusal| {
            let state = request.state.as_deref();
            self.refuse_there(&client, &request.redirect_uri, state, refusal)
        };
        let user = match self.authenticator.signed_in(parts).await {
            // A request for a fresh sign-in is met by none that came before it.
            Ok(user) => user.filter(|user| {
                let is_fresh = is_recent(user.auth_time, &request, self.now(), false);
                is_meant(user, &request) && is_fresh && !request.prompt_login
            }),
            Err(error) => {
                self.emit(&Event::AuthenticatorFailed { error: &error });
                return there(&TRY_LATER);
            }
        };
        if let Some(user) = &user {
            match self.is_remembered(&client, &request, user).await {
                Ok(true) => {
                    return self.issue_code(parts, None, &client, &request, user).await;
                }
                Ok(false) => {}
                Err(error) => return self.unavailable_here(parts, &error),
            }
        }
        if request.prompt_none {
            return there(if user.is_some() {
                &CONSENT_REQUIRED
            } else {
                &LOGIN_REQUIRED
            });
        }
        self.begin(parts, &client, request, user.is_some()).await
    }

    /// The client and where to answer it. What is refused here must not be redirected
    /// (RFC 6749 §4.1.2.1).
    async fn who_and_where(
        &self,
        parts: &Parts,
        params: &Params<'_>,
    ) -> Result<(Client, String), EndpointResponse> {
        let refuse = |refusal: &Refusal| {
            let id = self.nameable(params.get("client_id"));
            self.refuse_here(parts, Endpoint::Authorize, id, refusal)
        };
        if params.is_repeated("client_id") || params.is_repeated("redirect_uri") {
            return Err(refuse(&REPEATED));
        }
        let id = params
            .get("client_id")
            .ok_or_else(|| refuse(&CLIENT_ID_MISSING))?;
        let client = self.client(id, Endpoint::Authorize, parts).await;
        let client = client.map_err(|no_client| match no_client {
            NoClient::Unknown => refuse(&CLIENT_UNKNOWN),
            NoClient::Refused(refusal) => refuse(&refusal),
            NoClient::Limited(limited) => self.limited_here(parts, limited),
            NoClient::Store(error) => self.unavailable_here(parts, &error),
        })?;
        match client.redirect_uri(params.get("redirect_uri")) {
            Some(redirect_uri) => {
                let redirect_uri = redirect_uri.to_owned();
                Ok((client, redirect_uri))
            }
            None => Err(refuse(&REDIRECT_UNREGISTERED)),
        }
    }

    /// The request as it is put to the user: one for more than before with what they allowed the
    /// client at this resource.
    pub(super) fn widened(
        &self,
        request: &AuthorizationRequest,
        consent: Option<&ConsentRecord>,
    ) -> AuthorizationRequest {
        let of_resource = self.scopes_of(&request.resource);
        AuthorizationRequest {
            scopes: step_up::widen(&request.scopes, consent, &of_resource),
            ..request.clone()
        }
    }

    /// The request as a page may have put it to the user, who may have allowed more since.
    pub(super) fn wordings(
        &self,
        request: &AuthorizationRequest,
        consent: Option<&ConsentRecord>,
    ) -> [AuthorizationRequest; 2] {
        let of_resource = self.scopes_of(&request.resource);
        let widest = AuthorizationRequest {
            scopes: step_up::with_allowed(&request.scopes, consent, &of_resource),
            ..request.clone()
        };
        [widest, request.clone()]
    }

    fn scopes_of(&self, resource: &ResourceUri) -> Scopes {
        let known = self.catalog.find(resource);
        known.map_or_else(Scopes::none, |known| known.scopes.clone())
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
        let login_hint = request.login_hint.clone();
        let now = self.now();
        let browser = self.cookie.read_or_create(&parts.headers);
        let transaction = random_handle();
        let id = Digest::of(&transaction);
        let pending = PendingAuthorization {
            request,
            browser: Some(browser.digest()),
            client: client.snapshot(),
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
            self.login_url(&transaction, login_hint.as_deref())
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
        if let Some(device_page) = self.device_resume_url(transaction) {
            return device_page;
        }
        response::with_query(
            &self.url(Endpoint::Consent),
            &[("transaction", transaction)],
        )
    }

    /// Where a browser without a session goes. The hint is the client's word: a sign-in page may
    /// fill it in, and no more.
    pub(super) fn login_url(&self, transaction: &str, hint: Option<&str>) -> String {
        let mut query = vec![("transaction", transaction)];
        query.extend(hint.map(|hint| ("login_hint", hint)));
        response::with_query(&self.login_page, &query)
    }
}

const LOGIN_REQUIRED: Refusal = Refusal::new(
    ErrorCode::LoginRequired,
    "login_required",
    "the user is not signed in",
);
pub(super) const CONSENT_REQUIRED: Refusal = Refusal::new(
    ErrorCode::ConsentRequired,
    "consent_required",
    "the user has to consent",
);

const REPEATED: Refusal = Refusal::invalid_request(
    "repeated_parameter",
    "client_id, redirect_uri or request_uri was sent more than once",
);
const CLIENT_ID_MISSING: Refusal =
    Refusal::invalid_request("client_id_missing", "client_id is missing");
const CLIENT_UNKNOWN: Refusal = Refusal::invalid_client(
    "client_unknown",
    "This program is not registered here, or its registration was forgotten after it had not been \
     used for long. Remove its stored sign-in so that it registers again.",
);
pub(super) const REDIRECT_UNREGISTERED: Refusal = Refusal::invalid_request(
    "redirect_uri_unregistered",
    "redirect_uri is not one that the client registered",
);
const PUSH_REQUIRED: Refusal = Refusal::invalid_request(
    "push_required",
    "push the request first, and send its request_uri here",
);

/// Whether a browser says so.
fn is_from_another_site(parts: &Parts) -> bool {
    let site = parts.headers.get("sec-fetch-site");
    site.is_some_and(|site| site == "cross-site")
}

/// Whether the request may be answered for `user`: where the client says by an id_token who is meant,
/// for nobody else (OpenID Connect Core §3.1.2.2).
pub(super) fn is_meant(user: &SignedIn, request: &AuthorizationRequest) -> bool {
    let hinted = request.hinted.as_ref();
    hinted.is_none_or(|hinted| *hinted == user.subject)
}

/// Whether the user signed in lately enough for what the client asks (`prompt=login`, `max_age`).
/// Where the application does not know when that was, having been sent to sign in is enough.
pub(super) fn is_recent(
    auth_time: Option<Timestamp>,
    request: &AuthorizationRequest,
    began_at: Timestamp,
    was_sent_to_sign_in: bool,
) -> bool {
    let since = match (request.prompt_login, request.max_age) {
        (true, _) => began_at,
        (false, Some(max_age)) => Timestamp::from_secs(began_at.as_secs().saturating_sub(max_age)),
        (false, None) => return true,
    };
    auth_time.map_or(was_sent_to_sign_in, |at| at >= since)
}
