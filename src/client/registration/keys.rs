//! How a client proves who it is, and what is signed for it.

use serde_json::{Map, Value};

use super::{
    RegistrationError,
    fields::{member, text},
    invalid,
};
use crate::client::metadata::ClientAuthMethod;

pub(super) fn auth_method(
    fields: &Map<String, Value>,
) -> Result<ClientAuthMethod, RegistrationError> {
    match member(fields, "token_endpoint_auth_method").map(Value::as_str) {
        // RFC 7591 §2 names the default.
        None | Some(Some("client_secret_basic")) => Ok(ClientAuthMethod::ClientSecretBasic),
        Some(Some("client_secret_post")) => Ok(ClientAuthMethod::ClientSecretPost),
        Some(Some("none")) => Ok(ClientAuthMethod::None),
        Some(Some("private_key_jwt")) if cfg!(feature = "jwt") => {
            if member(fields, "jwks").is_none() && member(fields, "jwks_uri").is_none() {
                return Err(invalid("private_key_jwt takes jwks or jwks_uri"));
            }
            Ok(ClientAuthMethod::PrivateKeyJwt)
        }
        Some(_) => Err(invalid("this token_endpoint_auth_method is not supported")),
    }
}

/// Public keys, checked now so that a client learns of a mistake before its first sign-in.
pub(super) fn jwks(fields: &Map<String, Value>) -> Result<Option<Value>, RegistrationError> {
    let Some(keys) = member(fields, "jwks") else {
        return Ok(None);
    };
    #[cfg(feature = "jwt")]
    match crate::jwt::JwkSet::from_value(keys) {
        Ok(set) if !set.is_empty() => Ok(Some(texts_of(keys))),
        Ok(_) => Err(invalid("jwks has no key that can be used")),
        Err(error) => Err(invalid(format!("jwks cannot be used: {}", error.message()))),
    }
    #[cfg(not(feature = "jwt"))]
    {
        let _ = keys;
        Ok(None)
    }
}

/// The members of keys that are text, as all are that anybody reads here. A number of five
/// characters may become one of three hundred where a database keeps it.
#[cfg(feature = "jwt")]
fn texts_of(set: &Value) -> Value {
    let is_text = |value: &Value| {
        let texts = |all: &Vec<Value>| all.iter().all(Value::is_string);
        value.is_string() || value.as_array().is_some_and(texts)
    };
    let keys = set
        .get("keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let keys = keys.filter_map(Value::as_object).map(|key| {
        let members = key.iter().filter(|(_, value)| is_text(value));
        members
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>()
            .into()
    });
    Value::Object(Map::from_iter([(
        "keys".to_owned(),
        keys.collect::<Vec<Value>>().into(),
    )]))
}

pub(super) fn signing_alg(
    fields: &Map<String, Value>,
) -> Result<Option<String>, RegistrationError> {
    const NAME: &str = "token_endpoint_auth_signing_alg";
    let alg = text(fields, NAME)?;
    #[cfg(feature = "jwt")]
    if alg
        .as_deref()
        .is_some_and(|alg| crate::jwt::Algorithm::from_name(alg).is_none())
    {
        return Err(invalid(format!(
            "{NAME} is not one of the supported algorithms"
        )));
    }
    Ok(alg)
}

pub(super) fn id_token_alg(
    fields: &Map<String, Value>,
) -> Result<Option<String>, RegistrationError> {
    const NAME: &str = "id_token_signed_response_alg";
    let alg = text(fields, NAME)?;
    match alg.as_deref() {
        // Nothing is signed.
        _ if !cfg!(feature = "jwt") => Ok(None),
        None | Some("RS256" | "EdDSA") => Ok(alg),
        // RFC 9864's name. What is signed has the older one, so that is what the client is told.
        Some("Ed25519") => Ok(Some("EdDSA".to_owned())),
        Some(_) => Err(invalid(format!("{NAME} must be RS256 or EdDSA"))),
    }
}

/// RFC 9449 §5.2. Where nobody can prove a key, no client can insist on it.
pub(super) fn dpop_bound(fields: &Map<String, Value>) -> Result<bool, RegistrationError> {
    match member(fields, "dpop_bound_access_tokens") {
        None => Ok(false),
        Some(Value::Bool(bound)) => Ok(*bound && cfg!(feature = "jwt")),
        Some(_) => Err(invalid("dpop_bound_access_tokens must be true or false")),
    }
}
