//! Checks what was signed against published keys, without the crate's own code.

use aws_lc_rs::signature::{
    ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

/// The header and the claims of a signed token. Panics unless it was signed with one of `jwks`.
pub fn read(jwks: &Value, token: &str) -> (Value, Value) {
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("a token has three parts");
    };
    let signed = format!("{header}.{claims}");
    let json = |part| serde_json::from_slice::<Value>(&decode(part)).expect("JSON");
    let (header, claims) = (json(header), json(claims));
    let mut keys = jwks["keys"].as_array().expect("a set of keys").iter();
    let key = keys.find(|key| key["kid"] == header["kid"]);
    let key = key.expect("the key is published");
    assert_eq!(key["alg"], header["alg"]);
    check(key, signed.as_bytes(), &decode(signature));
    (header, claims)
}

fn check(key: &Value, message: &[u8], signature: &[u8]) {
    let member = |name: &str| decode(key[name].as_str().expect("a member of the key"));
    let checked = match key["kty"].as_str() {
        Some("RSA") => {
            let (n, e) = (member("n"), member("e"));
            let key = RsaPublicKeyComponents { n: &n, e: &e };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        }
        Some("OKP") => UnparsedPublicKey::new(&ED25519, member("x")).verify(message, signature),
        other => panic!("an unexpected kind of key: {other:?}"),
    };
    checked.expect("the signature is good");
}
