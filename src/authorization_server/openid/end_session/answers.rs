//! What a person is told on the way out.

use http::{StatusCode, header, request::Parts};

use super::asked::Asked;
use crate::{
    authenticator::SignedIn,
    authorization_server::{
        AuthorizationServer, Endpoint, MessagePage, SignOutPage,
        browser::{Browser, FormKey},
        consent::destination,
        refuse::{TRY_LATER, wants_html},
        response::{self, EndpointResponse},
    },
    grant::Refusal,
    secret::Digest,
    store::StoreError,
};

impl AuthorizationServer {
    /// Asks whether to sign out.
    pub(super) async fn sign_out_page(
        &self,
        parts: &Parts,
        user: &SignedIn,
        asked: &Asked,
    ) -> EndpointResponse {
        let browser = self.cookie.read_or_create(&parts.headers);
        let token = match self.form_key().await {
            Ok(key) => form_token(&browser, &key, user, asked),
            Err(error) => return self.sign_out_unavailable(parts, &error),
        };
        let mut fields = asked.fields();
        fields.push(("token", &token));
        let html = self.pages.sign_out(&SignOutPage {
            user: user.name(),
            client_name: asked.client.as_ref().map(|client| client.display_name()),
            destination: asked.return_to.as_deref().map(destination).as_deref(),
            action: &self.url(Endpoint::EndSession),
            fields,
        });
        let mut response = response::page(StatusCode::OK, html, &self.pages.style_source());
        if let Some(cookie) = self.cookie.set_cookie(&browser) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// Nobody is signed in any more: back to the client, or the end.
    pub(super) fn signed_out(&self, asked: &Asked) -> EndpointResponse {
        match asked.location() {
            Some(location) => response::see_other(&location),
            None => self.sign_out_message(StatusCode::OK, &SIGNED_OUT),
        }
    }

    /// The user said no: they are not sent where they would have gone.
    pub(super) fn stays_signed_in(&self) -> EndpointResponse {
        self.sign_out_message(StatusCode::OK, &STAYED)
    }

    pub(super) fn refuse_sign_out(
        &self,
        parts: &Parts,
        client_id: Option<&str>,
        refusal: &Refusal,
    ) -> EndpointResponse {
        self.refused(Endpoint::EndSession, client_id, refusal);
        self.cannot_sign_out(
            parts,
            response::refusal(StatusCode::BAD_REQUEST, refusal),
            refusal,
        )
    }

    pub(super) fn sign_out_unavailable(
        &self,
        parts: &Parts,
        error: &StoreError,
    ) -> EndpointResponse {
        self.store_failed(error);
        self.sign_out_later(parts, response::unavailable())
    }

    /// Asks for patience, as `answer` does to a program.
    pub(super) fn sign_out_later(
        &self,
        parts: &Parts,
        answer: EndpointResponse,
    ) -> EndpointResponse {
        self.cannot_sign_out(parts, answer, &TRY_LATER)
    }

    /// A page in place of `answer`, for people.
    fn cannot_sign_out(
        &self,
        parts: &Parts,
        answer: EndpointResponse,
        refusal: &Refusal,
    ) -> EndpointResponse {
        if !wants_html(parts) {
            return answer;
        }
        let page = MessagePage {
            title: "Sign-out cannot go on",
            text: refusal.description,
        };
        let mut response = self.sign_out_message(answer.status(), &page);
        if let Some(wait) = answer.headers().get(header::RETRY_AFTER) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, wait.clone());
        }
        response
    }

    fn sign_out_message(&self, status: StatusCode, page: &MessagePage<'_>) -> EndpointResponse {
        let html = self.pages.message(page);
        response::page(status, html, &self.pages.style_source())
    }
}

/// The token of the form: for this browser, this user, and all that the form says. No authorization
/// has the digest of so short a text.
pub(super) fn form_token(
    browser: &Browser,
    key: &FormKey,
    user: &SignedIn,
    asked: &Asked,
) -> String {
    let mut shown = user.subject.to_string();
    for (name, value) in asked.fields() {
        shown.push_str(&format!("\n{name}={value}"));
    }
    browser.form_token(key, &Digest::of("end-session"), &shown)
}

const SIGNED_OUT: MessagePage<'_> = MessagePage {
    title: "Signed out",
    text: "You are not signed in here any more. You can close this page.",
};
const STAYED: MessagePage<'_> = MessagePage {
    title: "Still signed in",
    text: "Nothing has changed. You can close this page.",
};
