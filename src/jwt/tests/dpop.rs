//! Proofs of keys, good and bad.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NOW, URL, key, merge};
use crate::{
    jwt::{Algorithm, DpopError, DpopProof, JwtError, SigningKey},
    secret::{Digest, base64url},
};

const WINDOW: Duration = Duration::from_secs(300);

fn proof(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let mut jwk = key.public_jwk();
    for extra in ["kid", "use", "alg"] {
        jwk.as_object_mut().unwrap().remove(extra);
    }
    let mut all = json!({ "typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": jwk });
    merge(&mut all, header);
    let mut body = json!({ "htm": "POST", "htu": URL, "iat": NOW.as_secs(), "jti": "one" });
    merge(&mut body, claims);
    key.sign_with_header(&all, &body).unwrap()
}

/// DP-2.
#[test]
fn a_proof_is_good_for_one_request() {
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        let good = proof(&key, &json!({}), &json!({ "nonce": "n" }));
        let verified = DpopProof::verify(&good, "POST", URL, None, NOW, WINDOW).unwrap();
        assert_eq!(verified.jkt, key.public_key().thumbprint());
        assert_eq!(verified.nonce.as_deref(), Some("n"));
        assert_eq!(verified.issued_at, NOW);
    }
    let key = key(Algorithm::ES256);
    let ath = base64url(Digest::of("the-token").as_bytes());
    let now = NOW.as_secs();
    for (claims, token) in [
        (json!({ "htu": "HTTPS://API.example.com:443/mcp" }), None),
        (json!({ "htu": "https://api.example.com/mcp?x=1" }), None),
        (json!({ "htu": "https://api.example.com/mcp#f" }), None),
        (json!({ "iat": now - 300 }), None),
        (json!({ "iat": now + 300 }), None),
        (json!({ "exp": now + 1, "nbf": now + 300 }), None),
        (json!({ "ath": ath.as_str() }), Some("the-token")),
        (json!({ "ath": "whatever" }), None),
    ] {
        let proof = proof(&key, &json!({}), &claims);
        let url = "https://api.example.com/mcp?y=2";
        DpopProof::verify(&proof, "POST", url, token, NOW, WINDOW)
            .unwrap_or_else(|error| panic!("{claims}: {error}"));
    }
    let other = super::key(Algorithm::ES256);
    for (header, claims, token, error) in [
        (
            json!({ "typ": "JWT" }),
            json!({}),
            None,
            DpopError::Jwt(JwtError::Type),
        ),
        (
            json!({ "typ": null }),
            json!({}),
            None,
            DpopError::Jwt(JwtError::Type),
        ),
        (json!({ "jwk": null }), json!({}), None, DpopError::Key),
        (json!({ "jwk": "x" }), json!({}), None, DpopError::Key),
        (
            json!({ "alg": "HS256" }),
            json!({}),
            None,
            DpopError::Jwt(JwtError::Algorithm),
        ),
        (
            json!({ "alg": "none" }),
            json!({}),
            None,
            DpopError::Jwt(JwtError::Algorithm),
        ),
        (json!({ "alg": "EdDSA" }), json!({}), None, DpopError::Key),
        (
            json!({ "jwk": { "kty": "oct", "k": "AA" } }),
            json!({}),
            None,
            DpopError::Key,
        ),
        (
            json!({ "jwk": other.public_jwk() }),
            json!({}),
            None,
            DpopError::Jwt(JwtError::Signature),
        ),
        (json!({}), json!({ "htm": "GET" }), None, DpopError::Method),
        (json!({}), json!({ "htm": "post" }), None, DpopError::Method),
        (
            json!({}),
            json!({ "htm": null }),
            None,
            DpopError::Jwt(JwtError::Claim("htm")),
        ),
        (
            json!({}),
            json!({ "htu": "https://api.example.com/other" }),
            None,
            DpopError::Url,
        ),
        (
            json!({}),
            json!({ "htu": "http://api.example.com/mcp" }),
            None,
            DpopError::Url,
        ),
        (json!({}), json!({ "htu": "/mcp" }), None, DpopError::Url),
        (
            json!({}),
            json!({ "iat": now - 301 }),
            None,
            DpopError::Time,
        ),
        (
            json!({}),
            json!({ "iat": now + 301 }),
            None,
            DpopError::Time,
        ),
        (
            json!({}),
            json!({ "iat": null }),
            None,
            DpopError::Jwt(JwtError::Claim("iat")),
        ),
        (
            json!({}),
            json!({ "jti": null }),
            None,
            DpopError::Jwt(JwtError::Claim("jti")),
        ),
        (
            json!({}),
            json!({ "jti": "" }),
            None,
            DpopError::Jwt(JwtError::Claim("jti")),
        ),
        (
            json!({}),
            json!({ "jti": "x".repeat(513) }),
            None,
            DpopError::Jwt(JwtError::Claim("jti")),
        ),
        (
            json!({}),
            json!({}),
            Some("the-token"),
            DpopError::AccessToken,
        ),
        (
            json!({}),
            json!({ "ath": ath.as_str() }),
            Some("another"),
            DpopError::AccessToken,
        ),
    ] {
        let bad = proof(&key, &header, &claims);
        let result = DpopProof::verify(&bad, "POST", URL, token, NOW, WINDOW);
        assert_eq!(result.unwrap_err(), error, "{header} {claims}");
    }
    // A proof that carries its own private key.
    let mut leaked = key.public_jwk();
    leaked["d"] = "AA".into();
    let leaked = proof(&key, &json!({ "jwk": leaked }), &json!({}));
    let result = DpopProof::verify(&leaked, "POST", URL, None, NOW, WINDOW);
    assert_eq!(result.unwrap_err(), DpopError::Key);
}

#[test]
fn proofs_are_told_apart_by_key_and_jti() {
    let (one, two) = (key(Algorithm::EdDSA), key(Algorithm::EdDSA));
    let digest = |key: &SigningKey, jti: &str| {
        let proof = proof(key, &json!({}), &json!({ "jti": jti }));
        DpopProof::verify(&proof, "POST", URL, None, NOW, WINDOW)
            .unwrap()
            .jti_digest
    };
    assert_eq!(digest(&one, "a"), digest(&one, "a"));
    assert_ne!(digest(&one, "a"), digest(&one, "b"));
    assert_ne!(digest(&one, "a"), digest(&two, "a"));
}
