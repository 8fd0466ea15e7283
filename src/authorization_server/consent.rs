//! Where a person decides.
//!
//! A form is accepted once, from the browser the authorization began in, from the user it was
//! shown to, and from this origin.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, request::Parts};

use super::{
    AuthorizationServer, Endpoint,
    authorize::{REDIRECT_UNREGISTERED, is_meant, is_recent},
    browser::{Browser, FormKey},
    clients::NoClient,
    issue_code::answers,
    pages::ConsentPage,
    refuse::{MALFORMED, NOT_A_FORM},
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
    grant::{ErrorCode, Refusal},
    params::Params,
    resource::KnownResource,
    secret::{Digest, is_handle},
    store::record::{AuthorizationRequest, PendingAuthorization},
    uri,
};

/// An authorization that this browser may go on with.
struct Resumed {
    id: Digest,
    pending: PendingAuthorization,
    client: Client,
    browser: Browser,
    /// Who is signed in now; `None` also when the client asked for a fresh sign-in and this one is
    /// older.
    user: Option<SignedIn>,
    form_key: FormKey,
}

impl Resumed {
    fn login_hint(&self) -> Option<&str> {
        self.pending.request.login_hint.as_deref()
    }

    /// The token of the form: for this browser and authorization, for this user, and for exactly
    /// the scopes that the page names.
    fn form_token(&self, user: &SignedIn, request: &AuthorizationRequest) -> String {
        let shown = format!("{}\n{}", user.subject, request.scopes);
        self.browser.form_token(&self.form_key, &self.id, &shown)
    }
}

impl AuthorizationServer {
    /// The browser comes back: from signing in, or to look at the consent page once more.
    pub(super) async fn resume(&self, parts: &Parts) -> EndpointResponse {
        let Ok(params) = Params::parse(parts.uri.query().unwrap_or_default()) else {
            return self.refuse_here(parts, Endpoint::Consent, None, &MALFORMED);
        };
        let transaction = params.get("transaction").unwrap_or_default();
        let resumed = match self.find(parts, transaction).await {
            Ok(resumed) => resumed,
            Err(response) => return response,
        };
        let Some(user) = &resumed.user else {
            return response::see_other(&self.login_url(transaction, resumed.login_hint()));
        };
        let request = &resumed.pending.request;
        let consent = match self.consent_of(request, user).await {
            Ok(consent) => consent,
            Err(error) => return self.unavailable_here(parts, &error),
        };
        if answers(consent.as_ref(), &resumed.client, request) {
            let client = &resumed.client;
            return self.issue_code(parts, None, client, request, user).await;
        }
        let request = self.widened(request, consent.as_ref());
        self.consent_page(transaction, &resumed, user, &request)
    }

    /// The user pressed a button.
    pub(super) async fn decide_consent(&self, parts: &Parts, body: &Bytes) -> EndpointResponse {
        if !self.is_same_origin(&parts.headers) {
            return self.refuse_here(parts, Endpoint::Consent, None, &OTHER_ORIGIN);
        }
        let Some(text) = form_text(parts, body) else {
            return self.refuse_here(parts, Endpoint::Consent, None, &NOT_A_FORM);
        };
        let params = match Params::parse(text) {
            Ok(params) if !params.any_repeated() => params,
            _ => return self.refuse_here(parts, Endpoint::Consent, None, &MALFORMED),
        };
        let transaction = params.get("transaction").unwrap_or_default();
        let resumed = match self.find(parts, transaction).await {
            Ok(resumed) => resumed,
            Err(response) => return response,
        };
        let Some(user) = &resumed.user else {
            return response::see_other(&self.login_url(transaction, resumed.login_hint()));
        };
        let request = &resumed.pending.request;
        let wordings = match self.consent_of(request, user).await {
            Ok(consent) => self.wordings(request, consent.as_ref()),
            Err(error) => return self.unavailable_here(parts, &error),
        };
        // Compared as digests, and so in constant time.
        let sent = Digest::of(params.get("token").unwrap_or_default());
        let is_of = |shown: &&_| Digest::of(&resumed.form_token(user, shown)) == sent;
        // The user allows what the page said. What they allowed in another window since, it did not.
        let Some(request) = wordings.iter().find(is_of) else {
            return self.refuse_here(parts, Endpoint::Consent, None, &WRONG_TOKEN);
        };
        match params.get("decision") {
            Some("approve") => {
                let (id, client) = (Some(resumed.id), &resumed.client);
                self.issue_code(parts, id, client, request, user).await
            }
            Some("deny") => self.deny(parts, &resumed, user).await,
            _ => self.refuse_here(parts, Endpoint::Consent, None, &NO_DECISION),
        }
    }

    async fn deny(&self, parts: &Parts, resumed: &Resumed, user: &SignedIn) -> EndpointResponse {
        if let Err(response) = self.end(parts, resumed.id).await {
            return response;
        }
        self.emit(&Event::ConsentDenied {
            client_id: &resumed.client.id,
            subject: &user.subject,
        });
        let AuthorizationRequest {
            redirect_uri,
            state,
            ..
        } = &resumed.pending.request;
        self.refuse_there(&resumed.client, redirect_uri, state.as_deref(), &DENIED)
    }

    /// Ends an authorization that no code comes of.
    async fn end(&self, parts: &Parts, id: Digest) -> Result<(), EndpointResponse> {
        match self.store.end_authorization(id, self.now()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(self.gone(parts)),
            Err(error) => Err(self.unavailable_here(parts, &error)),
        }
    }

    /// Finds the authorization and checks that this browser began it.
    async fn find(&self, parts: &Parts, transaction: &str) -> Result<Resumed, EndpointResponse> {
        if !is_handle(transaction) {
            return Err(self.gone(parts));
        }
        let id = Digest::of(transaction);
        let pending = self
            .store
            .pending_authorization(id, self.now())
            .await
            .map_err(|error| self.unavailable_here(parts, &error))?
            .ok_or_else(|| self.gone(parts))?;
        let browser = pending
            .browser
            .and_then(|browser| self.cookie.find(&parts.headers, &id, browser))
            .ok_or_else(|| self.gone(parts))?;
        let (client, remembered) = (&pending.request.client_id, pending.client.as_deref());
        let client = self.client_then(client, remembered, Endpoint::Consent, parts);
        let client = client.await.map_err(|no_client| match no_client {
            NoClient::Unknown | NoClient::Refused(_) => self.gone(parts),
            NoClient::Limited(limited) => self.limited_here(parts, limited),
            NoClient::Store(error) => self.unavailable_here(parts, &error),
        })?;
        // It may have registered others meanwhile.
        if !client.may_be_answered_at(&pending.request.redirect_uri) {
            return Err(self.refuse_here(parts, Endpoint::Consent, None, &REDIRECT_UNREGISTERED));
        }
        let user = self.authenticator.signed_in(parts).await.map_err(|error| {
            self.emit(&Event::AuthenticatorFailed { error: &error });
            self.later_here(parts)
        })?;
        let is_fresh =
            |user: &SignedIn| is_recent(user.auth_time, &pending.request, pending.created_at, true);
        let user = user.filter(is_fresh);
        // Sent to sign in, somebody else did.
        if user
            .as_ref()
            .is_some_and(|user| !is_meant(user, &pending.request))
        {
            self.end(parts, id).await?;
            let AuthorizationRequest {
                redirect_uri,
                state,
                ..
            } = &pending.request;
            return Err(self.refuse_there(&client, redirect_uri, state.as_deref(), &OTHER_USER));
        }
        let form_key = self.form_key().await;
        let form_key = form_key.map_err(|error| self.unavailable_here(parts, &error))?;
        Ok(Resumed {
            id,
            form_key,
            client,
            browser,
            user,
            pending,
        })
    }

    fn consent_page(
        &self,
        transaction: &str,
        resumed: &Resumed,
        user: &SignedIn,
        request: &AuthorizationRequest,
    ) -> EndpointResponse {
        let kind = redirect::classify(&request.redirect_uri);
        let resource = self.catalog.find(&request.resource);
        let token = resumed.form_token(user, request);
        let html = self.pages.consent(&ConsentPage {
            client_name: resumed.client.display_name(),
            client_host: resumed.client.document_host(),
            client_uri: resumed.client.metadata.client_uri.as_deref(),
            destination: &destination(&request.redirect_uri),
            is_local: kind != Ok(RedirectKind::Https),
            user: user.name(),
            resource: resource
                .and_then(|known| known.name.as_deref())
                .unwrap_or(request.resource.as_str()),
            scopes: request
                .scopes
                .iter()
                .map(|scope| (scope, self.describe(resource, scope)))
                .collect(),
            action: &self.url(Endpoint::Consent),
            fields: vec![("transaction", transaction), ("token", &token)],
        });
        response::page(StatusCode::OK, html, &self.pages.style_source())
    }

    pub(super) fn describe(&self, resource: Option<&KnownResource>, scope: &str) -> Option<String> {
        let described = self
            .scope_descriptions
            .iter()
            .find(|(known, _)| known == scope);
        described
            .map(|(_, text)| text.clone())
            .or_else(|| resource?.describe(scope))
    }

    /// Whether the browser says that the form was sent from a page of this origin. A browser that
    /// says nothing, or hides it (`Origin: null`, as our own `no-referrer` pages cause), leaves
    /// the decision to the form's token.
    pub(crate) fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        let says = |name| headers.get(name).map(|value| value.as_bytes());
        if let Some(site) = says("sec-fetch-site") {
            return site == b"same-origin";
        }
        match says(header::ORIGIN.as_str()) {
            None | Some(b"null") => true,
            // Browsers write it as an issuer has to be written.
            Some(origin) => origin == self.issuer.origin().as_bytes(),
        }
    }
}

/// Where an answer goes, in the words people know: the host, or the scheme of a program.
pub(super) fn destination(redirect_uri: &str) -> String {
    match uri::Parts::parse(redirect_uri) {
        Some(parts) if parts.is_https() || parts.is_http() => {
            let port = parts
                .port
                .map(|port| format!(":{port}"))
                .unwrap_or_default();
            format!("{}{port}", parts.host)
        }
        Some(parts) => format!("{}:", parts.scheme),
        None => String::new(),
    }
}

pub(super) const OTHER_ORIGIN: Refusal =
    Refusal::invalid_request("cross_site_form", "The form was sent from another site.");
pub(super) const WRONG_TOKEN: Refusal = Refusal::invalid_request(
    "form_token_wrong",
    "The form was not shown to this browser and user. Start again.",
);
pub(super) const NO_DECISION: Refusal =
    Refusal::invalid_request("decision_missing", "The form says neither yes nor no.");
const OTHER_USER: Refusal = Refusal::new(
    ErrorCode::LoginRequired,
    "other_user_signed_in",
    "another user signed in than the one that id_token_hint names",
);
const DENIED: Refusal = Refusal::new(
    ErrorCode::AccessDenied,
    "consent_denied",
    "the user denied access",
);
