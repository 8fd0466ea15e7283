//! What a signed token claims, and whether to believe it: assertions of clients (RFC 7523), of
//! identity providers, tokens of issuers.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Algorithm, JwtError, jwk::JwkSet, jws::Jws};
use crate::clock::Timestamp;

/// Which `typ` is accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Typ<'a> {
    /// One of these, and it must be there.
    OneOf(&'a [&'a str]),
    /// One of these, or none at all.
    NoneOr(&'a [&'a str]),
    /// Any, or none at all, but these: they belong elsewhere.
    NoneOf(&'a [&'a str]),
}

/// What a token must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect<'a> {
    pub(crate) typ: Typ<'a>,
    pub(crate) algorithms: &'a [Algorithm],
    pub(crate) issuer: &'a str,
    /// `None`: whoever it is about.
    pub(crate) subject: Option<&'a str>,
    /// One of these must be in `aud`. Empty: the caller looks at it.
    pub(crate) audience: &'a [&'a str],
    /// Whether nothing else may be in `aud`.
    pub(crate) sole_audience: bool,
    pub(crate) now: Timestamp,
    /// How far away `exp` may be, from now and from `iat`.
    pub(crate) max_lifetime: Option<Duration>,
    /// How far the clocks may be apart.
    pub(crate) leeway: Duration,
}

/// What a token claims, once it is believed.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) subject: Option<String>,
    pub(crate) audience: Vec<String>,
    pub(crate) expires_at: Timestamp,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) jti: Option<String>,
    /// All claims, these too.
    pub(crate) all: Map<String, Value>,
}

impl Claims {
    /// A claim that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all.get(name)?.as_str()
    }
}

/// Judges `token`.
///
/// # Errors
///
/// The first thing that is wrong with it; [`JwtError::UnknownKey`] where a newer set may help.
pub(crate) fn verify(token: &str, keys: &JwkSet, expect: &Expect<'_>) -> Result<Claims, JwtError> {
    verify_parsed(Jws::parse(token)?, keys, expect)
}

/// As [`verify`], for a token that was taken apart already to see whose it is.
///
/// # Errors
///
/// As [`verify`].
pub(crate) fn verify_parsed(
    token: Jws<'_>,
    keys: &JwkSet,
    expect: &Expect<'_>,
) -> Result<Claims, JwtError> {
    let typ = match expect.typ {
        Typ::OneOf(names) => names.iter().any(|name| token.is_typ(name)),
        Typ::NoneOr(names) => !token.has_typ() || names.iter().any(|name| token.is_typ(name)),
        Typ::NoneOf(names) => !names.iter().any(|name| token.is_typ(name)),
    };
    if !typ {
        return Err(JwtError::Type);
    }
    if !expect.algorithms.contains(&token.algorithm()) {
        return Err(JwtError::Algorithm);
    }
    // Cheap, and decided by the sender either way: no signature is checked for a stranger.
    if token.unverified("iss") != Some(expect.issuer) {
        return Err(JwtError::Issuer);
    }
    judge(token.verify_among(keys)?, expect)
}

fn judge(all: Map<String, Value>, expect: &Expect<'_>) -> Result<Claims, JwtError> {
    let text = |name| Ok(text(&all, name)?.map(str::to_owned));
    let subject = text("sub")?;
    if expect.subject.is_some() && subject.as_deref() != expect.subject {
        return Err(JwtError::Subject);
    }
    let audience = audience(all.get("aud"))?;
    if !expect.audience.is_empty() {
        let ours = |name: &String| expect.audience.contains(&name.as_str());
        let meant = if expect.sole_audience {
            audience.len() == 1 && audience.iter().all(ours)
        } else {
            audience.iter().any(ours)
        };
        if !meant {
            return Err(JwtError::Audience);
        }
    }

    let Expect { now, leeway, .. } = *expect;
    let expires_at = time(&all, "exp")?.ok_or(JwtError::Claim("exp"))?;
    if expires_at.plus(leeway) <= now {
        return Err(JwtError::Expired);
    }
    let issued_at = time(&all, "iat")?;
    for begin in [issued_at, time(&all, "nbf")?].into_iter().flatten() {
        if begin > now.plus(leeway) {
            return Err(JwtError::NotYetValid);
        }
    }
    if let Some(longest) = expect.max_lifetime {
        let begin = issued_at.map_or(now, |issued_at| issued_at.min(now));
        let longest = longest.saturating_add(leeway);
        if begin.until(expires_at) > longest || now.until(expires_at) > longest {
            return Err(JwtError::Lifetime);
        }
    }
    Ok(Claims {
        subject,
        audience,
        expires_at,
        issued_at,
        jti: text("jti")?,
        all,
    })
}

/// `aud`: one name or a list of them (RFC 7519 §4.1.3).
pub(crate) fn audience(aud: Option<&Value>) -> Result<Vec<String>, JwtError> {
    let wrong = JwtError::Claim("aud");
    match aud {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(many)) => many
            .iter()
            .map(|name| name.as_str().map(str::to_owned).ok_or(wrong))
            .collect(),
        Some(_) => Err(wrong),
    }
}

/// A claim that is text where it is there: what cannot be read is not taken for what is not there.
pub(crate) fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, JwtError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwtError::Claim(name)),
    }
}

/// Seconds since 1970, possibly with a fraction (RFC 7519 §2).
pub(crate) fn time(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<Timestamp>, JwtError> {
    let value = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let seconds = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => Some(whole),
        // Beyond what a double counts exactly nobody means it.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in range"
        )]
        (None, Some(seconds)) if (0.0..9e15).contains(&seconds) => Some(seconds as u64),
        _ => None,
    };
    match seconds {
        Some(seconds) => Ok(Some(Timestamp::from_secs(seconds))),
        None => Err(JwtError::Claim(name)),
    }
}
