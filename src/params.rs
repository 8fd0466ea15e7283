//! `application/x-www-form-urlencoded`, read strictly: OAuth allows no parameter twice
//! (RFC 6749 §3.1, §3.2), and text that is no UTF-8 is an attack or a mistake, never a value.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// How many parameters one request may have.
const MAX_PARAMS: usize = 64;

/// The only parameter that may come more than once (RFC 8707 §2).
const REPEATABLE: &str = "resource";

/// Parameters that cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedParams {
    #[error("the parameters are not UTF-8 in percent-encoding without control characters")]
    Encoding,
    #[error("there are too many parameters")]
    TooMany,
}

/// The parameters of one request, in their order.
#[derive(Debug, Default)]
pub(crate) struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Params<'a> {
    /// Reads a query string or a form body. A parameter without a value counts as absent.
    pub(crate) fn parse(text: &'a str) -> Result<Self, MalformedParams> {
        let mut params = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if params.len() == MAX_PARAMS {
                return Err(MalformedParams::TooMany);
            }
            let (name, value) = (decode(name)?, decode(value)?);
            if !value.is_empty() {
                params.push((name, value));
            }
        }
        Ok(Self(params))
    }

    /// The value of `name`: the first, where it was repeated (see [`Self::repeated`]).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_ref())
    }

    /// Every value of `name`.
    pub(crate) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_ref())
    }

    /// All of them.
    #[cfg(fuzzing)]
    pub(crate) fn into_pairs(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.0.into_iter()
    }

    /// Whether `name` came more than once.
    pub(crate) fn is_repeated(&self, name: &str) -> bool {
        self.all(name).nth(1).is_some()
    }

    /// Whether any parameter came more than once that must not.
    pub(crate) fn any_repeated(&self) -> bool {
        self.0
            .iter()
            .any(|(name, _)| name != REPEATABLE && self.is_repeated(name))
    }
}

/// One name or value: `+` is a blank, `%XX` a byte, and together they are printable UTF-8.
pub(crate) fn decode(text: &str) -> Result<Cow<'_, str>, MalformedParams> {
    let escapes_are_whole = text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    });
    if !escapes_are_whole {
        return Err(MalformedParams::Encoding);
    }
    let decoded = if text.contains('+') {
        let blanks = text.replace('+', " ");
        let decoded = percent_decode_str(&blanks).decode_utf8();
        Cow::Owned(decoded.map_err(|_| MalformedParams::Encoding)?.into_owned())
    } else {
        percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| MalformedParams::Encoding)?
    };
    if decoded.chars().any(char::is_control) {
        return Err(MalformedParams::Encoding);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_once() {
        let params = Params::parse("a=b+c%2Bd&e=%25&f=&g&a%20b=%C3%BC&&").unwrap();
        assert_eq!(params.get("a"), Some("b c+d"));
        assert_eq!(params.get("e"), Some("%"));
        assert_eq!(params.get("f"), None);
        assert_eq!(params.get("g"), None);
        assert_eq!(params.get("a b"), Some("ü"));
    }

    #[test]
    fn garbage_is_refused_whole() {
        for text in [
            "a=%", "a=%4", "a=%zz", "a=%ff", "a=%C3", "a=%00", "a=%0a", "%ff=a", "a=\u{7f}",
        ] {
            assert_eq!(
                Params::parse(text).unwrap_err(),
                MalformedParams::Encoding,
                "{text}"
            );
        }
        let many = "a=b&".repeat(65);
        assert_eq!(Params::parse(&many).unwrap_err(), MalformedParams::TooMany);
    }

    #[test]
    fn only_resources_may_repeat() {
        assert!(
            !Params::parse("resource=a&resource=b&x=1")
                .unwrap()
                .any_repeated()
        );
        assert!(Params::parse("x=1&x=1").unwrap().any_repeated());
        assert!(!Params::parse("x=1&x=").unwrap().any_repeated());
    }
}
