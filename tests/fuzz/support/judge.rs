//! What holds for every answer to anybody.

use http::{Response, header};
use serde_json::Value;

use crate::{CALLBACK, ORIGIN, SECRET};

/// The members of an answer that nobody may ever be told again by mistake.
const SECRETS: [&str; 6] = [
    "access_token",
    "client_secret",
    "device_code",
    "id_token",
    "refresh_token",
    "registration_access_token",
];

/// The elements that the pages are made of.
const ELEMENTS: [&str; 21] = [
    "!doctype", "body", "button", "code", "form", "h1", "head", "html", "input", "label", "li",
    "main", "meta", "p", "span", "strong", "style", "title", "ul", "br", "small",
];

/// Looks at the answers of one deployment, one after the other.
#[derive(Default)]
pub struct Judge {
    registered: Vec<String>,
    secrets: Vec<String>,
}

impl Judge {
    /// Panics where an answer is one that must never be given.
    pub fn look(&mut self, answer: &Response<Vec<u8>>) {
        let status = answer.status();
        assert!(!status.is_server_error(), "{status}");
        assert!(answer.body().len() < 256 * 1024, "an answer has an end");
        let text = String::from_utf8_lossy(answer.body());
        let headers = answer.headers();
        let credentials = "access-control-allow-credentials";
        assert!(!headers.contains_key(credentials), "cookies for any origin");
        self.check_secrets(answer, &text);
        let html = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if html {
            check_page(&text);
            for name in ["content-security-policy", "x-frame-options"] {
                assert!(headers.contains_key(name), "a page without {name}");
            }
        }
        if let Some(location) = headers.get(header::LOCATION) {
            let location = location.to_str().expect("addresses are ASCII");
            self.check_redirect(location);
            let query = location.split_once('?').map_or("", |(_, query)| query);
            let code = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "code");
            self.secrets.extend(code.map(|(_, code)| code.into_owned()));
        }
        if let Ok(Value::Object(members)) = serde_json::from_str(&text)
            && status.is_success()
        {
            for name in SECRETS {
                let secret = members.get(name).and_then(Value::as_str);
                self.secrets.extend(secret.map(str::to_owned));
            }
            for name in ["redirect_uris", "post_logout_redirect_uris"] {
                let uris = members.get(name).and_then(Value::as_array);
                let uris = uris.into_iter().flatten().filter_map(Value::as_str);
                self.registered.extend(uris.map(str::to_owned));
            }
        }
    }

    /// The configured secret never comes back, and what was given out never in a refusal.
    fn check_secrets(&self, answer: &Response<Vec<u8>>, text: &str) {
        let mut forbidden = vec![SECRET];
        if answer.status().is_client_error() {
            // A client may have chosen the same words for something else: those are short.
            let long = self.secrets.iter().filter(|secret| secret.len() > 32);
            forbidden.extend(long.map(String::as_str));
        }
        for secret in forbidden {
            assert!(!text.contains(secret), "a secret came back");
            for value in answer.headers().values() {
                let value = String::from_utf8_lossy(value.as_bytes());
                assert!(!value.contains(secret), "a secret came back in a header");
            }
        }
    }

    /// Nobody is sent anywhere that was not registered.
    fn check_redirect(&self, location: &str) {
        let known = [CALLBACK, "http://127.0.0.1/cb"];
        let registered = self.registered.iter().map(String::as_str);
        let is_registered = known
            .into_iter()
            .chain(registered)
            .any(|uri| bare(uri) == bare(location));
        let is_ours = location
            .strip_prefix(ORIGIN)
            .is_some_and(|rest| rest.starts_with('/'));
        assert!(is_registered || is_ours, "sent to {location}");
    }
}

/// An address without query and fragment, and on plain HTTP without its port.
fn bare(uri: &str) -> String {
    let uri = uri.split(['?', '#']).next().unwrap_or_default();
    let Some(rest) = uri.strip_prefix("http://") else {
        return uri.to_owned();
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    format!("http://{host}/{path}")
}

/// No text from outside opens an element or an attribute.
fn check_page(html: &str) {
    for tag in html.split('<').skip(1) {
        let name = tag.trim_start_matches('/');
        let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '!'));
        let name = &name[..end.unwrap_or(name.len())];
        assert!(ELEMENTS.contains(&name), "an element {name:?} in a page");
        let attributes = tag.split_once('>').map_or(tag, |(inside, _)| inside);
        assert!(!attributes.contains(" on"), "a handler in a page");
        assert!(!attributes.contains("javascript:"), "a script in a page");
    }
}
