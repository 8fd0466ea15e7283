//! Where clients send their user to sign out (OpenID Connect RP-Initiated Logout 1.0).
//!
//! Nobody is signed out by somebody else: only a hint about whoever is signed in now makes the
//! question unnecessary, and the answer to it is accepted from this origin, from the browser and
//! the user that were asked. And nobody is sent anywhere but where a client registered.

mod answers;
mod asked;

use bytes::Bytes;
use http::{Method, header, request::Parts};

use self::{
    answers::form_token,
    asked::{Asked, NotAsked},
};
use crate::{
    authenticator::SignedIn,
    authorization_server::{
        AuthorizationServer, Endpoint,
        consent::{NO_DECISION, OTHER_ORIGIN, WRONG_TOKEN},
        refuse::{MALFORMED, NOT_A_FORM},
        request::form_text,
        response::{self, EndpointResponse},
    },
    event::Event,
    params::Params,
    secret::Digest,
};

/// What a request says; all else is ignored.
const PARAMETERS: [&str; 4] = [
    "id_token_hint",
    "client_id",
    "post_logout_redirect_uri",
    "state",
];

impl AuthorizationServer {
    pub(in super::super) async fn end_session(
        &self,
        parts: &Parts,
        body: &Bytes,
    ) -> EndpointResponse {
        let is_form = parts.method == Method::POST;
        let text = match is_form {
            true => form_text(parts, body),
            false => Some(parts.uri.query().unwrap_or_default()),
        };
        let Some(text) = text else {
            return self.refuse_sign_out(parts, None, &NOT_A_FORM);
        };
        let params = match Params::parse(text) {
            Ok(params) if !params.any_repeated() => params,
            _ => return self.refuse_sign_out(parts, None, &MALFORMED),
        };
        let decision = params.get("decision").filter(|_| is_form);
        if is_form && decision.is_none() {
            return self.end_session_link(&params);
        }
        if decision.is_some() && !self.is_same_origin(&parts.headers) {
            return self.refuse_sign_out(parts, None, &OTHER_ORIGIN);
        }
        let client_id = params.get("client_id");
        if let Some(limited) = self.limited(Endpoint::EndSession, client_id, parts) {
            return self.sign_out_later(parts, limited);
        }
        let asked = match self.asked_to_sign_out(parts, &params).await {
            Ok(asked) => asked,
            Err(NotAsked::Refused(refusal)) => {
                return self.refuse_sign_out(parts, self.nameable(client_id), &refusal);
            }
            Err(NotAsked::Limited(limited)) => return self.sign_out_later(parts, limited),
            Err(NotAsked::Store(error)) => return self.sign_out_unavailable(parts, &error),
        };
        let user = match self.authenticator.signed_in(parts).await {
            Ok(Some(user)) => user,
            // Asking twice is no error.
            Ok(None) => return self.signed_out(&asked),
            Err(error) => {
                self.emit(&Event::AuthenticatorFailed { error: &error });
                return self.sign_out_later(parts, response::unavailable());
            }
        };
        match decision {
            Some(decision) => {
                let token = params.get("token").unwrap_or_default();
                self.decide_sign_out(parts, &user, &asked, decision, token)
                    .await
            }
            None if asked.hint.as_ref().is_some_and(|hint| hint.is_about(&user)) => {
                self.sign_user_out(parts, &user, &asked, false).await
            }
            None => self.sign_out_page(parts, &user, &asked).await,
        }
    }

    /// A request that came as a form, as a link: cookies do not come along with a form from another
    /// site, so nobody would seem to be signed in.
    fn end_session_link(&self, params: &Params<'_>) -> EndpointResponse {
        let sent: Vec<_> = PARAMETERS
            .into_iter()
            .filter_map(|name| Some((name, params.get(name)?)))
            .collect();
        let url = self.url(Endpoint::EndSession);
        response::see_other(&response::with_query(&url, &sent))
    }

    /// The user pressed a button.
    async fn decide_sign_out(
        &self,
        parts: &Parts,
        user: &SignedIn,
        asked: &Asked,
        decision: &str,
        token: &str,
    ) -> EndpointResponse {
        let key = match self.form_key().await {
            Ok(key) => key,
            Err(error) => return self.sign_out_unavailable(parts, &error),
        };
        let is_own = self.cookie.read(&parts.headers).is_some_and(|browser| {
            // Compared as digests, and so in constant time.
            Digest::of(token) == Digest::of(&form_token(&browser, &key, user, asked))
        });
        match decision {
            _ if !is_own => self.refuse_sign_out(parts, None, &WRONG_TOKEN),
            "approve" => self.sign_user_out(parts, user, asked, true).await,
            "deny" => self.stays_signed_in(),
            _ => self.refuse_sign_out(parts, None, &NO_DECISION),
        }
    }

    async fn sign_user_out(
        &self,
        parts: &Parts,
        user: &SignedIn,
        asked: &Asked,
        was_asked: bool,
    ) -> EndpointResponse {
        let Some(application) = &self.sign_out else {
            return response::unavailable();
        };
        let headers = match application.sign_out(parts).await {
            Ok(headers) => headers,
            Err(error) => {
                self.emit(&Event::SignOutFailed { error: &error });
                return self.sign_out_later(parts, response::unavailable());
            }
        };
        self.emit(&Event::SignedOut {
            client_id: asked.client.as_ref().map(|client| &client.id),
            subject: &user.subject,
            asked: was_asked,
        });
        let mut response = self.signed_out(asked);
        for cookie in headers.get_all(header::SET_COOKIE) {
            response
                .headers_mut()
                .append(header::SET_COOKIE, cookie.clone());
        }
        response
    }
}
