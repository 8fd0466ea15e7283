//! The `Authorization` header (RFC 6750 §2.1). Query strings and bodies are never looked at.

use http::{HeaderMap, HeaderValue};

use super::{Refusal, headers::hear};

/// Longer than any token in use (JWTs of large directories reach some 8 KiB); what is longer costs
/// no hashing.
const MAX_TOKEN: usize = 16 * 1024;

/// The ways to present a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Whoever has it may use it.
    Bearer,
    /// Together with the proof of a key (RFC 9449 §7.1).
    #[cfg(feature = "jwt")]
    Dpop,
}

impl Scheme {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            #[cfg(feature = "jwt")]
            Self::Dpop => "DPoP",
        }
    }
}

/// The text after `Bearer`. Its form is not checked here: what was verified before is well-formed,
/// so only [`is_token68`] on the way to a verifier has to tell.
pub(crate) fn presented(headers: &HeaderMap) -> Result<&str, Refusal> {
    match credentials(headers)? {
        (Scheme::Bearer, token) => text(token),
        #[cfg(feature = "jwt")]
        (Scheme::Dpop, _) => Err(Refusal::NoCredentials),
    }
}

/// As [`presented`], in whichever scheme.
pub(crate) fn credentials(headers: &HeaderMap) -> Result<(Scheme, &[u8]), Refusal> {
    read(hear(headers).authorization?)
}

/// Takes one header apart.
pub(crate) fn read(value: &HeaderValue) -> Result<(Scheme, &[u8]), Refusal> {
    let value = value.as_bytes();
    // As almost everybody writes it.
    if value.starts_with(b"Bearer ") {
        return Ok((Scheme::Bearer, after_scheme(&value[6..])?));
    }
    match value.split_at_checked(6) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer") => {
            Ok((Scheme::Bearer, after_scheme(rest)?))
        }
        #[cfg(feature = "jwt")]
        _ if value.len() >= 4 && value[..4].eq_ignore_ascii_case(b"dpop") => {
            Ok((Scheme::Dpop, after_scheme(&value[4..])?))
        }
        _ => Err(Refusal::NoCredentials),
    }
}

fn after_scheme(rest: &[u8]) -> Result<&[u8], Refusal> {
    let token = match rest {
        [] => return Err(Refusal::MalformedToken),
        [b' ', token @ ..] => token.trim_ascii(),
        // Some other scheme whose name starts alike.
        _ => return Err(Refusal::NoCredentials),
    };
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Err(Refusal::MalformedToken);
    }
    Ok(token)
}

/// A token that is not known yet as text.
pub(crate) fn text(token: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(token).map_err(|_| Refusal::MalformedToken)
}

/// The scheme to challenge a request in: its own, or `Bearer`.
pub(crate) fn scheme(headers: &HeaderMap) -> Scheme {
    credentials(headers).map_or(Scheme::Bearer, |(scheme, _)| scheme)
}

/// `token68` of RFC 9110 §11.2: letters, digits, `-._~+/`, then any number of `=`.
pub(crate) fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    fn one(value: &[u8]) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        presented(&headers).map(str::to_owned)
    }

    #[test]
    fn the_scheme_is_matched_in_any_case_and_nothing_else_is_bearer() {
        for good in ["Bearer abc", "bearer abc", "BEARER   abc", "bEaReR abc "] {
            assert_eq!(one(good.as_bytes()).as_deref(), Ok("abc"), "{good}");
        }
        for other in ["", "Basic YTpi", "DPoP abc", "Bearerx abc", "abc", "Beare"] {
            assert_eq!(
                one(other.as_bytes()),
                Err(Refusal::NoCredentials),
                "{other}"
            );
        }
    }

    #[cfg(feature = "jwt")]
    #[test]
    fn a_key_may_be_proven_along_with_a_token() {
        let two = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            let (scheme, token) = credentials(&headers)?;
            Ok((scheme, text(token)?.to_owned()))
        };
        for good in ["DPoP abc", "dpop abc", "DPOP   abc "] {
            assert_eq!(two(good), Ok((Scheme::Dpop, "abc".to_owned())), "{good}");
        }
        assert_eq!(two("Bearer abc"), Ok((Scheme::Bearer, "abc".to_owned())));
        for bad in ["DPoP", "DPoP ", "dpop    "] {
            assert_eq!(two(bad), Err(Refusal::MalformedToken), "{bad}");
        }
        for other in ["DPo", "DPoPe abc", "", "Basic YTpi"] {
            assert_eq!(two(other), Err(Refusal::NoCredentials), "{other}");
        }
    }

    #[test]
    fn an_empty_endless_or_binary_token_is_malformed() {
        let endless = format!("Bearer {}", "a".repeat(MAX_TOKEN + 1));
        for bad in [
            b"Bearer".as_slice(),
            b"Bearer ",
            b"Bearer    ",
            b"Bearer \xff\xfe",
            endless.as_bytes(),
        ] {
            assert_eq!(one(bad), Err(Refusal::MalformedToken));
        }
    }

    #[test]
    fn a_token_of_sixteen_kibibytes_is_none_too_long() {
        let token = "a".repeat(16_384);
        let presented = one(format!("Bearer {token}").as_bytes());
        assert_eq!(presented, Ok(token));
    }

    #[test]
    fn token68_is_what_the_rfc_says() {
        for good in ["a", "a-._~+/9==", "eyJ.e30.x_"] {
            assert!(is_token68(good), "{good}");
        }
        for bad in ["", "=", "a b", "a,b", "a=b", "ä", "\"a\""] {
            assert!(!is_token68(bad), "{bad}");
        }
    }
}
