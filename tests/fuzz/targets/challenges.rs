//! What a request without a token is told, whatever the resource and its scopes are called: one
//! header line that reads back as what was meant.
#![no_main]

use arbitrary::Arbitrary;
use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use libfuzzer_sys::fuzz_target;
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_auth::{
    PresentedToken, ProtectedResource, Scopes, TokenVerifier, Verdict, VerifierUnavailable,
};
use tower_mcp_auth_fuzz::runtime;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    resource: &'a str,
    scopes: Vec<&'a str>,
    required: &'a str,
    metadata_url: Option<&'a str>,
    dpop: bool,
    authorization: Option<&'a str>,
}

struct Nobody;

impl TokenVerifier for Nobody {
    async fn verify(&self, _: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        Ok(Verdict::Unknown)
    }
}

/// The parameters of a challenge, each in quotes (RFC 9110 §11.2).
fn read(challenge: &str) -> (&str, Vec<(&str, &str)>) {
    let (scheme, mut rest) = challenge.split_once(' ').expect("a scheme");
    let mut params = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").expect("a name");
        let (value, after) = after.split_once('"').expect("a quoted value");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        assert!(!value.contains('\\'), "nothing is escaped");
        assert!(
            params.iter().all(|(known, _)| *known != name),
            "{name} twice"
        );
        params.push((name, value));
        rest = after.strip_prefix(", ").unwrap_or(after);
        assert!(rest.is_empty() == after.is_empty(), "{challenge}");
    }
    (scheme, params)
}

fuzz_target!(|input: Input<'_>| {
    let url = input
        .metadata_url
        .unwrap_or("https://a.example/.well-known/x");
    let mut resource = ProtectedResource::builder(input.resource, Nobody)
        .scopes(input.scopes.clone())
        .metadata_url(url);
    if input.dpop {
        resource = resource.require_dpop();
    }
    let Ok(resource) = resource.build() else {
        return;
    };
    let Ok(required) = Scopes::parse(input.required) else {
        return;
    };
    let layer = resource.layer().require(&required);
    let service = layer.layer(service_fn(|_: Request<Body>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
    }));
    let mut request = Request::get("/");
    if let Some(value) = input.authorization {
        request = request.header("authorization", value);
    }
    let Ok(request) = request.body(Body::empty()) else {
        return;
    };
    let answer = runtime()
        .block_on(service.oneshot(request))
        .expect("an answer");
    assert!(answer.status().is_client_error(), "let in without a token");
    if answer.status() != StatusCode::UNAUTHORIZED {
        return;
    }
    let lines: Vec<_> = answer
        .headers()
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .collect();
    let [line] = lines[..] else {
        panic!("{} challenges", lines.len());
    };
    let (scheme, params) = read(line.to_str().expect("ASCII"));
    assert!(matches!(scheme, "Bearer" | "DPoP"), "{scheme}");
    let value = |name: &str| params.iter().find(|(known, _)| *known == name);
    assert_eq!(
        value("resource_metadata").map(|(_, value)| *value),
        Some(url)
    );
    if let Some((_, scopes)) = value("scope") {
        let told = Scopes::parse(scopes).expect("scopes");
        assert!(told.contains_all(&required), "{told} lacks {required}");
    }
});
