//! What strangers say of themselves: registrations, documents, redirect URIs, user codes, forms,
//! how long their answers may be kept.
#![no_main]

use arbitrary::Arbitrary;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use tower_mcp_auth::fuzz;
use tower_mcp_auth_fuzz::{CALLBACK, Members, START};

const MEMBERS: &[&str] = &[
    "redirect_uris",
    "client_id",
    "client_name",
    "token_endpoint_auth_method",
    "token_endpoint_auth_methods_supported",
    "grant_types",
    "response_types",
    "application_type",
    "scope",
    "jwks",
    "jwks_uri",
    "client_uri",
    "logo_uri",
    "contacts",
    "client_secret",
    "post_logout_redirect_uris",
    "dpop_bound_access_tokens",
    "token_endpoint_auth_signing_alg",
    "id_token_signed_response_alg",
];

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Registration(Members<'a>),
    RawRegistration(&'a [u8]),
    Document(&'a str, Members<'a>),
    RawDocument(&'a str, &'a [u8]),
    Redirect(&'a str, &'a str),
    Port(&'a str, u16),
    Params(&'a str),
    UserCode(&'a str),
    MaxAge(Vec<(bool, &'a [u8])>),
}

/// What is stored of a client is bounded, and its addresses could be registered again.
fn check(metadata: &Value) {
    assert!(metadata.to_string().len() < 256 * 1024);
    for name in ["redirect_uris", "post_logout_redirect_uris"] {
        let uris = metadata[name].as_array().into_iter().flatten();
        for uri in uris.filter_map(Value::as_str) {
            assert!(fuzz::may_be_registered(uri), "{uri}");
            let (scheme, rest) = uri.split_once(':').expect("a scheme");
            let scheme = scheme.to_ascii_lowercase();
            assert!(!matches!(
                &*scheme,
                "javascript" | "data" | "file" | "vbscript"
            ));
            assert!(scheme != "http" || is_local(rest), "{uri}");
        }
    }
    let name = metadata["client_name"].as_str().unwrap_or_default();
    assert!(!name.chars().any(|c| c.is_control() || c == '\u{202e}'));
}

fn is_local(rest: &str) -> bool {
    let authority = rest.trim_start_matches('/').split(['/', '?']).next();
    let authority = authority.unwrap_or_default().to_ascii_lowercase();
    ["localhost", "127.", "[::1]", "[0"]
        .iter()
        .any(|host| authority.starts_with(host))
}

fn object(members: &Members<'_>, mut object: Map<String, Value>) -> Vec<u8> {
    members.change(&mut object, MEMBERS, START);
    serde_json::to_vec(&object).unwrap_or_default()
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Registration(members) => {
        let plain = json!({ "redirect_uris": [CALLBACK], "client_name": "x" });
        let body = object(&members, plain.as_object().cloned().unwrap_or_default());
        fuzz::registration(&body).iter().for_each(check);
    }
    Input::RawRegistration(body) => fuzz::registration(body).iter().for_each(check),
    Input::Document(path, members) => {
        let url = format!("https://app.example/{path}");
        let plain = json!({ "client_id": url, "redirect_uris": [CALLBACK], "client_name": "x" });
        let body = object(&members, plain.as_object().cloned().unwrap_or_default());
        if let Some(metadata) = fuzz::client_document(&url, &body) {
            check(&metadata);
            let says: Value = serde_json::from_slice(&body).unwrap_or_default();
            assert_eq!(says["client_id"], url, "a document speaks for itself");
            assert!(says.get("client_secret").is_none());
        }
    }
    Input::RawDocument(url, body) => fuzz::client_document(url, body).iter().for_each(check),
    Input::Redirect(registered, requested) => {
        let redirects = fuzz::redirects(registered, requested);
        let scheme = registered.get(..5).unwrap_or_default();
        let may_differ = scheme.eq_ignore_ascii_case("http:");
        assert!(!redirects || registered == requested || may_differ);
    }
    Input::Port(path, port) if path.len() < 2000 => {
        // Only the port may differ, and only on this machine.
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let registered = format!("http://{host}/{path}");
            let requested = format!("http://{host}:{port}/{path}");
            let valid = fuzz::may_be_registered(&registered);
            assert_eq!(
                fuzz::redirects(&registered, &requested),
                valid,
                "{requested}"
            );
        }
        let registered = format!("https://a.example/{path}");
        let requested = format!("https://a.example:{port}/{path}");
        assert!(!fuzz::redirects(&registered, &requested));
    }
    Input::Port(..) => {}
    Input::Params(text) => {
        let Some(read) = fuzz::params(text) else {
            return;
        };
        assert!(read.len() <= 64);
        // Another reader sees the same, but for parameters without a value.
        let other: Vec<_> = form_urlencoded::parse(text.as_bytes())
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        assert_eq!(read, other);
        assert!(
            read.iter()
                .all(|(_, value)| !value.contains(char::is_control))
        );
    }
    Input::UserCode(typed) => {
        if let Some(shown) = fuzz::user_code(typed) {
            assert_eq!(shown.len(), 9);
            assert_eq!(fuzz::user_code(&shown).as_ref(), Some(&shown));
        }
    }
    Input::MaxAge(lines) => {
        let mut headers = HeaderMap::new();
        for (is_age, value) in &lines {
            let name = if *is_age { "age" } else { "cache-control" };
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        let _ = fuzz::max_age(&headers);
    }
});
