//! Saying no: to the client at its redirect URI, to a person with a page, to a program with JSON.

use http::{StatusCode, header, request::Parts};

use super::{
    AuthorizationServer, Endpoint,
    pages::ErrorPage,
    response::{self, EndpointResponse},
};
use crate::{
    client::Client,
    event::Event,
    grant::{ErrorCode, Refusal},
    store::StoreError,
};

/// Whether a refusal or answer is for a person: browsers ask for HTML by its name, programs do not,
/// or say that they want none of it (RFC 9110 §12.5.1).
pub(super) fn wants_html(parts: &Parts) -> bool {
    parts
        .headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok())
        .flat_map(|accept| accept.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_html = parts
                .next()
                .is_some_and(|media_type| media_type.eq_ignore_ascii_case("text/html"));
            is_html && !parts.any(is_no_weight)
        })
}

/// Whether a parameter says `q=0`, with or without decimals.
fn is_no_weight(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, weight)| {
        name.trim_end().eq_ignore_ascii_case("q")
            && weight
                .trim_start()
                .parse()
                .is_ok_and(|weight: f32| weight == 0.0)
    })
}

impl AuthorizationServer {
    /// Refuses at the client's redirect URI, which is known to be its own.
    pub(super) fn refuse_there(
        &self,
        client: &Client,
        redirect_uri: &str,
        state: Option<&str>,
        refusal: &Refusal,
    ) -> EndpointResponse {
        self.refused(Endpoint::Authorize, Some(client.id.as_str()), refusal);
        let mut answer = vec![
            ("error", refusal.code.as_str()),
            ("error_description", refusal.description),
        ];
        answer.extend(state.map(|state| ("state", state)));
        answer.push(("iss", self.issuer.as_str()));
        response::see_other(&response::with_query(redirect_uri, &answer))
    }

    /// Refuses here, because nobody is known to redirect to.
    pub(super) fn refuse_here(
        &self,
        parts: &Parts,
        endpoint: Endpoint,
        client_id: Option<&str>,
        refusal: &Refusal,
    ) -> EndpointResponse {
        self.refused(endpoint, client_id, refusal);
        if wants_html(parts) {
            self.error_page(StatusCode::BAD_REQUEST, refusal)
        } else {
            response::refusal(StatusCode::BAD_REQUEST, refusal)
        }
    }

    pub(super) fn unavailable_here(&self, parts: &Parts, error: &StoreError) -> EndpointResponse {
        self.store_failed(error);
        self.later_here(parts)
    }

    /// Asks for patience, in the form the caller reads.
    pub(super) fn later_here(&self, parts: &Parts) -> EndpointResponse {
        if wants_html(parts) {
            self.error_page(StatusCode::SERVICE_UNAVAILABLE, &TRY_LATER)
        } else {
            response::unavailable()
        }
    }

    /// The authorization was answered before, has expired, or never was.
    pub(super) fn gone(&self, parts: &Parts) -> EndpointResponse {
        self.refuse_here(parts, Endpoint::Consent, None, &GONE)
    }

    /// The caller asks too often: as JSON in `limited`, or as a page.
    pub(super) fn limited_here(
        &self,
        parts: &Parts,
        limited: EndpointResponse,
    ) -> EndpointResponse {
        if !wants_html(parts) {
            return limited;
        }
        let mut page = self.error_page(limited.status(), &TRY_LATER);
        if let Some(wait) = limited.headers().get(header::RETRY_AFTER) {
            page.headers_mut().insert(header::RETRY_AFTER, wait.clone());
        }
        page
    }

    fn error_page(&self, status: StatusCode, refusal: &Refusal) -> EndpointResponse {
        let html = self.pages.error(&ErrorPage {
            message: refusal.description,
            code: refusal.code.as_str(),
        });
        let mut response = response::page(status, html, &self.pages.style_source());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response::retry_later(&mut response);
        }
        response
    }

    pub(super) fn refused(&self, endpoint: Endpoint, client_id: Option<&str>, refusal: &Refusal) {
        self.emit(&Event::EndpointRefused {
            endpoint,
            client_id,
            error: refusal.code.as_str(),
            reason: refusal.reason,
        });
    }
}

pub(super) const MALFORMED: Refusal = Refusal::invalid_request(
    "malformed_parameters",
    "the parameters are malformed or too many",
);
pub(super) const NOT_A_FORM: Refusal = Refusal::invalid_request(
    "content_type",
    "the body must be UTF-8 of type application/x-www-form-urlencoded",
);
const GONE: Refusal = Refusal::invalid_request(
    "authorization_gone",
    "This sign-in was answered already, has expired, or was begun in another browser. If you have \
     just approved it, go back to your program: there is nothing more to do here.",
);
pub(super) const TRY_LATER: Refusal = Refusal::new(
    ErrorCode::TemporarilyUnavailable,
    "unavailable",
    "the server cannot answer now; try again in a moment",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_who_asks_for_html() {
        let wants = |accept: &[&str]| {
            let mut request = http::Request::new(());
            for value in accept {
                let value = value.parse().unwrap();
                request.headers_mut().append(header::ACCEPT, value);
            }
            wants_html(&request.into_parts().0)
        };
        assert!(wants(&["text/html,application/xhtml+xml,*/*;q=0.8"]));
        assert!(wants(&["application/json", "Text/HTML ; q=0.1"]));
        assert!(wants(&["application/json, text/html;charset=utf-8"]));
        assert!(wants(&["text/html;q=much"]));
        assert!(!wants(&[]));
        assert!(!wants(&["*/*"]));
        assert!(!wants(&["application/json, text/event-stream"]));
        assert!(!wants(&["application/json, text/html;q=0"]));
        assert!(!wants(&["text/html; level=1; Q = 0.000"]));
        assert!(!wants(&["text/html-fragment"]));
        assert!(!wants(&["application/x;a=text/html"]));
    }
}
