//! Access tokens, our own and others'.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ISSUER, NOW, URL, key, merge, set};
use crate::{
    json::parse_strictly,
    jwt::{AccessTokenClaims, Algorithm, ExpectAccessToken, JwtError, verify_access_token},
    uri::ResourceUri,
};

/// RS-18.
#[test]
fn access_tokens_are_read_as_they_are_written() {
    let key = key(Algorithm::RS256);
    let keys = set(&[&key]);
    let resource = ResourceUri::parse(URL).unwrap();
    let expected = ExpectAccessToken {
        issuer: ISSUER,
        resource: &resource,
        also_audience: &[],
        algorithms: &Algorithm::ALL,
        plain: false,
        now: NOW,
        leeway: Duration::ZERO,
    };
    let claims = AccessTokenClaims {
        iss: ISSUER,
        sub: "alice",
        aud: URL,
        client_id: "agent",
        scope: "notes:read notes:write",
        jti: "one",
        iat: NOW,
        exp: NOW.plus(Duration::from_secs(60)),
        auth_time: None,
        cnf: None,
    };
    let token = verify_access_token(&claims.sign(&key).unwrap(), &keys, &expected).unwrap();
    assert_eq!(token.subject.as_str(), "alice");
    assert_eq!(token.client_id.as_str(), "agent");
    assert_eq!(token.scopes.to_string(), "notes:read notes:write");
    assert_eq!((token.issued_at, token.jkt), (Some(NOW), None));

    let base = serde_json::to_vec(&claims).unwrap();
    let sign = |typ: &str, change: &Value| {
        let mut claims = Value::Object(parse_strictly(&base).unwrap());
        merge(&mut claims, change);
        key.sign(typ, &claims).unwrap()
    };
    for change in [
        json!({ "aud": ["https://other.example", "https://API.example.com:443/mcp"] }),
        json!({ "scope": ["notes:read"] }),
        json!({ "scope": null, "scp": "notes:read" }),
        json!({ "client_id": null, "azp": "agent" }),
        json!({ "sub": null }),
        json!({ "cnf": { "jkt": "x" } }),
    ] {
        let token = sign("application/at+jwt", &change);
        verify_access_token(&token, &keys, &expected)
            .unwrap_or_else(|error| panic!("{change}: {error}"));
    }
    for (typ, change, error) in [
        ("JWT", json!({}), JwtError::Type),
        (
            "at+jwt",
            json!({ "aud": "https://other.example" }),
            JwtError::Audience,
        ),
        ("at+jwt", json!({ "aud": null }), JwtError::Audience),
        (
            "at+jwt",
            json!({ "iss": "https://other.example" }),
            JwtError::Issuer,
        ),
        ("at+jwt", json!({ "exp": NOW.as_secs() }), JwtError::Expired),
        (
            "at+jwt",
            json!({ "client_id": null }),
            JwtError::Claim("client_id"),
        ),
        ("at+jwt", json!({ "scope": 7 }), JwtError::Claim("scope")),
        (
            "at+jwt",
            json!({ "scope": ["a b"] }),
            JwtError::Claim("scope"),
        ),
        ("at+jwt", json!({ "sub": "" }), JwtError::Claim("sub")),
        (
            "at+jwt",
            json!({ "cnf": { "x5t#S256": "x" } }),
            JwtError::Claim("cnf"),
        ),
    ] {
        let token = sign(typ, &change);
        let result = verify_access_token(&token, &keys, &expected);
        assert_eq!(result.unwrap_err(), error, "{typ} {change}");
    }
    let plain = ExpectAccessToken {
        plain: true,
        ..expected
    };
    verify_access_token(&sign("JWT", &json!({})), &keys, &plain).unwrap();
    let proof = sign("dpop+jwt", &json!({}));
    assert_eq!(
        verify_access_token(&proof, &keys, &plain).unwrap_err(),
        JwtError::Type
    );
    let named = ["api".to_owned()];
    let named = ExpectAccessToken {
        also_audience: &named,
        ..expected
    };
    verify_access_token(&sign("at+jwt", &json!({ "aud": "api" })), &keys, &named).unwrap();
}
