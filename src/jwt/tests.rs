//! Tokens, good and bad.

mod access_token;
mod dpop;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{
    Algorithm, Expect, JwkSet, Jws, JwtError, SigningKey, Typ, generate_key,
    jwk::{JwkError, PublicKey},
    verify,
};
use crate::{clock::Timestamp, secret::base64url};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const URL: &str = "https://api.example.com/mcp";
const ISSUER: &str = "https://issuer.example";
const CLIENT: &str = "https://client.example/c.json";

fn key(algorithm: Algorithm) -> SigningKey {
    let der = generate_key(algorithm).unwrap();
    SigningKey::from_pkcs8(algorithm, None, &der).unwrap()
}

fn set(keys: &[&SigningKey]) -> JwkSet {
    let jwks: Vec<_> = keys.iter().map(|key| key.public_jwk()).collect();
    JwkSet::parse(json!({ "keys": jwks }).to_string().as_bytes()).unwrap()
}

fn expect<'a>() -> Expect<'a> {
    Expect {
        typ: Typ::NoneOf(&["at+jwt"]),
        algorithms: &Algorithm::ALL,
        issuer: CLIENT,
        subject: Some(CLIENT),
        audience: &[ISSUER],
        sole_audience: true,
        now: NOW,
        max_lifetime: Some(Duration::from_secs(300)),
        leeway: Duration::from_secs(10),
    }
}

fn assertion() -> Value {
    json!({
        "iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "jti": "one",
        "iat": NOW.as_secs(), "exp": NOW.as_secs() + 60,
    })
}

fn with(change: &Value) -> Value {
    let mut claims = assertion();
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn every_algorithm_signs_and_verifies_and_only_with_its_own_key() {
    let keys: Vec<_> = Algorithm::ALL.into_iter().map(key).collect();
    for signer in &keys {
        let token = signer.sign("JWT", &assertion()).unwrap();
        assert_eq!(Jws::parse(&token).unwrap().algorithm(), signer.algorithm());
        let claims = verify(&token, &set(&[signer]), &expect()).unwrap();
        assert_eq!(claims.text("iss"), Some(CLIENT));
        assert_eq!(claims.jti.as_deref(), Some("one"));
        let all: Vec<_> = keys.iter().collect();
        verify(&token, &set(&all), &expect()).unwrap();

        let stranger = key(signer.algorithm());
        let error = verify(&token, &set(&[&stranger]), &expect()).unwrap_err();
        assert_eq!(error, JwtError::UnknownKey);
        // The stranger without a name: a newer set may have the right one.
        let mut jwk = stranger.public_jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        let nameless = JwkSet::from_value(&json!({ "keys": [jwk] })).unwrap();
        assert_eq!(
            verify(&token, &nameless, &expect()).unwrap_err(),
            JwtError::UnknownKey
        );
        // The stranger under the same name.
        let mut jwk = stranger.public_jwk();
        jwk["kid"] = signer.public_jwk()["kid"].clone();
        let forged = JwkSet::from_value(&json!({ "keys": [jwk] })).unwrap();
        assert_eq!(
            verify(&token, &forged, &expect()).unwrap_err(),
            JwtError::Signature
        );
    }
}

/// AS-26, JB-3.
#[test]
fn claims_are_judged_one_by_one() {
    let key = key(Algorithm::EdDSA);
    let keys = set(&[&key]);
    let now = NOW.as_secs();
    for (change, error) in [
        (json!({ "iss": "https://other.example" }), JwtError::Issuer),
        (json!({ "iss": 7 }), JwtError::Issuer),
        (json!({ "sub": "somebody" }), JwtError::Subject),
        (json!({ "sub": null }), JwtError::Subject),
        (json!({ "sub": 7 }), JwtError::Claim("sub")),
        (json!({ "aud": null }), JwtError::Audience),
        (
            json!({ "aud": "https://issuer.example/" }),
            JwtError::Audience,
        ),
        (
            json!({ "aud": [ISSUER, "https://other.example"] }),
            JwtError::Audience,
        ),
        (json!({ "aud": [] }), JwtError::Audience),
        (json!({ "aud": [7] }), JwtError::Claim("aud")),
        (json!({ "exp": null }), JwtError::Claim("exp")),
        (json!({ "exp": "soon" }), JwtError::Claim("exp")),
        (json!({ "exp": -1 }), JwtError::Claim("exp")),
        (json!({ "exp": now - 10 }), JwtError::Expired),
        (json!({ "exp": 0 }), JwtError::Expired),
        (json!({ "exp": now + 311 }), JwtError::Lifetime),
        (json!({ "exp": u64::MAX }), JwtError::Lifetime),
        (json!({ "iat": now - 260 }), JwtError::Lifetime),
        (json!({ "iat": now + 11 }), JwtError::NotYetValid),
        (json!({ "nbf": now + 11 }), JwtError::NotYetValid),
        (json!({ "nbf": [] }), JwtError::Claim("nbf")),
        (json!({ "jti": 7 }), JwtError::Claim("jti")),
    ] {
        let token = key.sign("JWT", &with(&change)).unwrap();
        assert_eq!(
            verify(&token, &keys, &expect()).unwrap_err(),
            error,
            "{change}"
        );
    }
    for change in [
        json!({ "aud": [ISSUER] }),
        json!({ "exp": now - 9 }),
        json!({ "exp": now as f64 + 60.5 }),
        json!({ "exp": now + 300 }),
        json!({ "iat": null }),
        json!({ "iat": now + 10 }),
        json!({ "nbf": now - 1000 }),
        json!({ "jti": null }),
    ] {
        let token = key.sign("JWT", &with(&change)).unwrap();
        verify(&token, &keys, &expect()).unwrap_or_else(|error| panic!("{change}: {error}"));
    }
    let several = Expect {
        sole_audience: false,
        ..expect()
    };
    let token = key
        .sign("JWT", &with(&json!({ "aud": ["x", ISSUER] })))
        .unwrap();
    verify(&token, &keys, &several).unwrap();
}

#[test]
fn the_kind_of_token_is_looked_at_in_every_spelling() {
    let key = key(Algorithm::EdDSA);
    let keys = set(&[&key]);
    let only = Expect {
        typ: Typ::OneOf(&["oauth-id-jag+jwt"]),
        ..expect()
    };
    for typ in [
        "oauth-id-jag+jwt",
        "application/oauth-id-jag+jwt",
        "OAuth-ID-JAG+JWT",
    ] {
        let token = key.sign(typ, &assertion()).unwrap();
        verify(&token, &keys, &only).unwrap();
    }
    for typ in ["JWT", "at+jwt", "", "application/", "oauth-id-jag"] {
        let token = key.sign(typ, &assertion()).unwrap();
        assert_eq!(
            verify(&token, &keys, &only).unwrap_err(),
            JwtError::Type,
            "{typ}"
        );
    }
    for typ in ["at+jwt", "AT+JWT", "Application/at+jwt"] {
        let token = key.sign(typ, &assertion()).unwrap();
        assert_eq!(
            verify(&token, &keys, &expect()).unwrap_err(),
            JwtError::Type,
            "{typ}"
        );
    }
    let untyped = json!({ "alg": "EdDSA" });
    let token = key.sign_with_header(&untyped, &assertion()).unwrap();
    verify(&token, &keys, &expect()).unwrap();
    assert_eq!(verify(&token, &keys, &only).unwrap_err(), JwtError::Type);
    let plain = Expect {
        typ: Typ::NoneOr(&["JWT"]),
        ..expect()
    };
    verify(&token, &keys, &plain).unwrap();
    for (typ, judged) in [
        ("jwt", None),
        ("application/JWT", None),
        ("secevent+jwt", Some(JwtError::Type)),
        ("", Some(JwtError::Type)),
    ] {
        let token = key.sign(typ, &assertion()).unwrap();
        assert_eq!(verify(&token, &keys, &plain).err(), judged, "{typ}");
    }
    let odd = json!({ "alg": "EdDSA", "typ": ["JWT"] });
    let token = key.sign_with_header(&odd, &assertion()).unwrap();
    assert_eq!(verify(&token, &keys, &plain).unwrap_err(), JwtError::Type);
}

#[test]
fn what_is_not_signed_by_the_rules_is_refused() {
    let key = key(Algorithm::EdDSA);
    let keys = set(&[&key]);
    let good = key.sign("JWT", &assertion()).unwrap();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    let of = |header: &str, payload: &str| {
        format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(payload.as_bytes())
        )
    };
    let claims = assertion().to_string();
    let padded = format!("{good}=");
    for (token, error) in [
        (String::new(), JwtError::Malformed),
        ("a.b.c".to_owned(), JwtError::Malformed),
        (format!("{header}.{payload}"), JwtError::Malformed),
        (format!("{good}.x"), JwtError::Malformed),
        (padded, JwtError::Malformed),
        (
            format!("{header}.{payload}.{signature}\n"),
            JwtError::Malformed,
        ),
        (format!("{header}.{payload}."), JwtError::Signature),
        (
            format!("{header}.{payload}.{}", base64url(&[0; 64])),
            JwtError::Signature,
        ),
        (
            format!("{}.", of(r#"{"alg":"none"}"#, &claims)),
            JwtError::Algorithm,
        ),
        (
            format!("{}.AA", of(r#"{"alg":"HS256"}"#, &claims)),
            JwtError::Algorithm,
        ),
        (
            format!("{}.AA", of(r#"{"alg":"eddsa"}"#, &claims)),
            JwtError::Algorithm,
        ),
        (
            format!("{}.AA", of(r#"{"typ":"JWT"}"#, &claims)),
            JwtError::Algorithm,
        ),
        (
            format!("{}.AA", of(r#"{"alg":"EdDSA","alg":"none"}"#, &claims)),
            JwtError::Malformed,
        ),
        (
            format!(
                "{}.AA",
                of(r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#, &claims)
            ),
            JwtError::Malformed,
        ),
        (
            format!("{}.AA", of(r#"{"alg":"EdDSA"}"#, "[]")),
            JwtError::Malformed,
        ),
        (
            format!(
                "{}.AA",
                of(r#"{"alg":"EdDSA"}"#, r#"{"iss":"a","iss":"b"}"#)
            ),
            JwtError::Malformed,
        ),
        (
            format!("{}.AA", of(r#"{"alg":"EdDSA","kid":7}"#, &claims)),
            JwtError::Malformed,
        ),
        ("x".repeat(20_000), JwtError::Malformed),
    ] {
        let short: String = token.chars().take(200).collect();
        assert_eq!(
            verify(&token, &keys, &expect()).unwrap_err(),
            error,
            "{short}"
        );
    }
    let only_rsa = Expect {
        algorithms: &[Algorithm::RS256],
        ..expect()
    };
    assert_eq!(
        verify(&good, &keys, &only_rsa).unwrap_err(),
        JwtError::Algorithm
    );
    // A key's own restriction counts too.
    let mut jwk = key.public_jwk();
    jwk["alg"] = "ES256".into();
    let wrong = JwkSet::from_value(&json!({ "keys": [jwk] })).unwrap();
    assert_eq!(
        verify(&good, &wrong, &expect()).unwrap_err(),
        JwtError::UnknownKey
    );
}

#[test]
fn nobody_has_a_key_that_everybody_can_sign_for() {
    let parse = |x: &[u8]| {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(x) });
        JwkSet::from_value(&json!({ "keys": [jwk] }))
    };
    for (first, between, last) in [
        (0x00, 0x00, 0x00),
        (0x01, 0x00, 0x00),
        (0xec, 0xff, 0x7f),
        (0xed, 0xff, 0x7f),
        (0xee, 0xff, 0x7f),
    ] {
        let mut point = [between; 32];
        (point[0], point[31]) = (first, last);
        assert_eq!(parse(&point).unwrap_err(), JwkError::Key);
        point[31] |= 0x80;
        assert_eq!(parse(&point).unwrap_err(), JwkError::Key);
        point[16] ^= 1;
        assert!(parse(&point).is_ok());
    }
    for eighth in [
        "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
        "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
    ] {
        let mut point = URL_SAFE_NO_PAD.decode(eighth).unwrap();
        assert_eq!(parse(&point).unwrap_err(), JwkError::Key);
        point[31] |= 0x80;
        assert_eq!(parse(&point).unwrap_err(), JwkError::Key);
    }
}

#[test]
fn key_sets_hold_public_keys_or_are_refused() {
    let good = key(Algorithm::ES256).public_jwk();
    let change = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        jwk
    };
    let parse = |jwk: Value| JwkSet::from_value(&json!({ "keys": [jwk] }));
    for (jwk, error) in [
        (change("d", "AA".into()), JwkError::Private),
        (json!({ "kty": "oct", "k": "c2VjcmV0" }), JwkError::Private),
        (
            json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "p": "AA" }),
            JwkError::Private,
        ),
        (change("x", "AA".into()), JwkError::Key),
        (change("y", Value::Null), JwkError::Key),
        (change("kty", Value::Null), JwkError::Key),
        (
            json!({ "kty": "RSA", "n": base64url(&[0xff; 128]), "e": "AQAB" }),
            JwkError::Key,
        ),
        (
            json!({ "kty": "RSA", "n": base64url(&[0xff; 1024]), "e": "AQAB" }),
            JwkError::Key,
        ),
        (
            json!({ "kty": "RSA", "n": base64url(&[0xff; 256]), "e": base64url(&[0xff; 64]) }),
            JwkError::Key,
        ),
        (
            json!({ "kty": "RSA", "n": base64url(&[0xff; 256]), "e": "AQ" }),
            JwkError::Key,
        ),
        (
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }),
            JwkError::Key,
        ),
        (json!("key"), JwkError::Malformed),
    ] {
        assert_eq!(parse(jwk.clone()).unwrap_err(), error, "{jwk}");
    }
    for useless in [
        change("use", "enc".into()),
        change("alg", "ES512".into()),
        change("crv", "P-521".into()),
        change("key_ops", json!(["deriveKey"])),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AA" }),
        json!({ "kty": "future" }),
    ] {
        assert!(parse(useless.clone()).unwrap().is_empty(), "{useless}");
    }
    assert!(!parse(good.clone()).unwrap().is_empty());
    let many = json!({ "keys": vec![good.clone(); 65] });
    assert_eq!(JwkSet::from_value(&many).unwrap_err(), JwkError::TooMany);
    let published = |keys: Value| JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes());
    for spoilt in [
        change("d", "AA".into()),
        change("y", Value::Null),
        json!({ "kty": "oct", "k": "c2VjcmV0" }),
        json!({ "kty": "RSA", "n": base64url(&[0xff; 128]), "e": "AQAB" }),
        json!("key"),
    ] {
        let set = published(json!([spoilt, good])).unwrap();
        let keys = set.select(None, Algorithm::ES256);
        assert_eq!(keys.count(), 1, "{spoilt} spoils the other");
        assert!(published(json!([spoilt])).is_err(), "{spoilt}");
    }
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(
            JwkSet::parse(bad.as_bytes()).unwrap_err(),
            JwkError::Malformed,
            "{bad}"
        );
    }
}

#[test]
fn a_token_without_the_name_of_its_key_is_tried_with_few() {
    let keys: Vec<_> = (0..9).map(|_| key(Algorithm::EdDSA)).collect();
    let set = set(&keys.iter().collect::<Vec<_>>());
    let header = json!({ "alg": "EdDSA" });
    for (index, key) in keys.iter().enumerate() {
        let token = key.sign_with_header(&header, &assertion()).unwrap();
        let verified = Jws::parse(&token).unwrap().verify_among(&set);
        let expected = (index < 8).then_some(()).ok_or(JwtError::UnknownKey);
        assert_eq!(verified.map(|_| ()), expected, "{index}");
    }
}

/// RFC 7638 §3.1, RFC 8037 appendix A.3.
#[test]
fn thumbprints_are_those_of_the_standards() {
    let rsa = concat!(
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJ",
        "ECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW",
        "2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQ",
        "Fh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    );
    for (jwk, thumbprint) in [
        (
            json!({ "kty": "RSA", "n": rsa, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" }),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        ),
        (
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
    ] {
        let Value::Object(jwk) = jwk else { panic!() };
        let key = PublicKey::from_jwk(&jwk).unwrap().unwrap();
        assert_eq!(key.thumbprint(), thumbprint);
    }
}

#[test]
fn nothing_private_is_debugged_or_published() {
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        let jwk = key.public_jwk();
        assert_eq!(jwk["kid"], key.public_key().thumbprint());
        assert_eq!(jwk["alg"], algorithm.name());
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(jwk.get(private).is_none());
        }
        let shown = format!("{key:?}");
        assert!(shown.ends_with(", .. }") && shown.len() < 150, "{shown}");
    }
    assert!(SigningKey::from_pkcs8(Algorithm::EdDSA, None, b"no key").is_err());
    let rsa = generate_key(Algorithm::RS256).unwrap();
    assert!(SigningKey::from_pkcs8(Algorithm::ES256, None, &rsa).is_err());
}

fn merge(into: &mut Value, from: &Value) {
    let into: &mut Map<String, Value> = into.as_object_mut().unwrap();
    for (name, value) in from.as_object().unwrap() {
        if value.is_null() {
            into.remove(name);
        } else {
            into.insert(name.clone(), value.clone());
        }
    }
}
