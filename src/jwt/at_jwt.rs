//! Access tokens that others can read (RFC 9068).

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{
    Algorithm, JwtError,
    assertion::{Claims, Expect, Typ, verify},
    jwk::JwkSet,
    keys::{KeyError, SigningKey},
};
use crate::{
    clock::Timestamp,
    id::{ClientId, Subject},
    scope::Scopes,
    uri::ResourceUri,
};

/// The key that a token is bound to (RFC 9449 §6.1).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Confirmation<'a> {
    pub(crate) jkt: &'a str,
}

/// The claims of a token of our own (RFC 9068 §2.2).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AccessTokenClaims<'a> {
    pub(crate) iss: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) aud: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) jti: &'a str,
    pub(crate) iat: Timestamp,
    pub(crate) exp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cnf: Option<Confirmation<'a>>,
}

impl AccessTokenClaims<'_> {
    /// The token.
    ///
    /// # Errors
    ///
    /// When the key cannot sign.
    pub(crate) fn sign(&self, key: &SigningKey) -> Result<String, KeyError> {
        key.sign("at+jwt", self)
    }
}

/// What an access token must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectAccessToken<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) resource: &'a ResourceUri,
    /// What else in `aud` means this resource, for issuers that name resources their own way.
    pub(crate) also_audience: &'a [String],
    pub(crate) algorithms: &'a [Algorithm],
    /// Whether a token need not say that it is an access token.
    pub(crate) plain: bool,
    pub(crate) now: Timestamp,
    pub(crate) leeway: Duration,
}

/// What an access token says, once it is believed.
#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    pub(crate) subject: Subject,
    pub(crate) client_id: ClientId,
    pub(crate) scopes: Scopes,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) expires_at: Timestamp,
    /// The thumbprint of the key it is bound to (`cnf.jkt`).
    pub(crate) jkt: Option<String>,
}

/// Judges an access token (RFC 9068 §4).
///
/// # Errors
///
/// The first thing that is wrong with it; [`JwtError::UnknownKey`] where a newer set may help.
pub(crate) fn verify_access_token(
    token: &str,
    keys: &JwkSet,
    expect: &ExpectAccessToken<'_>,
) -> Result<AccessToken, JwtError> {
    let claims = verify(
        token,
        keys,
        &Expect {
            typ: if expect.plain {
                // Whatever else says what it is was signed with the same keys for something else.
                Typ::NoneOr(&["at+jwt", "JWT"])
            } else {
                Typ::OneOf(&["at+jwt"])
            },
            algorithms: expect.algorithms,
            issuer: expect.issuer,
            subject: None,
            audience: &[],
            sole_audience: false,
            now: expect.now,
            max_lifetime: None,
            leeway: expect.leeway,
        },
    )?;
    let meant = |name: &String| {
        expect.also_audience.contains(name)
            || ResourceUri::parse(name).is_ok_and(|name| name == *expect.resource)
    };
    if !claims.audience.iter().any(meant) {
        return Err(JwtError::Audience);
    }
    access_token(&claims)
}

fn access_token(claims: &Claims) -> Result<AccessToken, JwtError> {
    let client = claims.text("client_id").or_else(|| claims.text("azp"));
    let client = client.ok_or(JwtError::Claim("client_id"))?;
    // What a client gets for itself may be about nobody.
    let subject = claims.subject.as_deref().unwrap_or(client);
    Ok(AccessToken {
        subject: Subject::new(subject).map_err(|_| JwtError::Claim("sub"))?,
        client_id: ClientId::new(client).map_err(|_| JwtError::Claim("client_id"))?,
        scopes: scopes(&claims.all)?,
        issued_at: claims.issued_at,
        expires_at: claims.expires_at,
        jkt: thumbprint(&claims.all)?,
    })
}

/// `scope` as a list in one string (RFC 8693 §4.2), or as an array; or `scp`, as some issuers call
/// it.
pub(crate) fn scopes(claims: &serde_json::Map<String, Value>) -> Result<Scopes, JwtError> {
    let wrong = JwtError::Claim("scope");
    let scopes = match claims.get("scope").or_else(|| claims.get("scp")) {
        None | Some(Value::Null) => return Ok(Scopes::none()),
        Some(Value::String(list)) => Scopes::parse(list),
        Some(Value::Array(list)) => {
            let tokens: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
            Scopes::from_tokens(tokens.ok_or(wrong)?)
        }
        Some(_) => return Err(wrong),
    };
    scopes.map_err(|_| wrong)
}

/// `cnf.jkt`. A token that is bound in any other way is refused: nobody here could check it.
pub(crate) fn thumbprint(
    claims: &serde_json::Map<String, Value>,
) -> Result<Option<String>, JwtError> {
    let wrong = JwtError::Claim("cnf");
    match claims.get("cnf") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(bound)) => match (bound.get("jkt"), bound.len()) {
            (Some(Value::String(jkt)), 1) => Ok(Some(jkt.clone())),
            _ => Err(wrong),
        },
        Some(_) => Err(wrong),
    }
}
