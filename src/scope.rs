//! Scope tokens (RFC 6749 §3.3) and sets of them.

use std::{collections::BTreeSet, fmt, str::SplitAsciiWhitespace, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::error::InvalidScope;

/// How long one scope token may be.
const MAX_TOKEN: usize = 256;
/// How many scope tokens one set may hold.
pub(crate) const MAX_TOKENS: usize = 128;

/// A set of scope tokens, in one order whatever order they came in.
///
/// ```
/// use tower_mcp_auth::Scopes;
///
/// let scopes = Scopes::parse("notes:write notes:read notes:read")?;
/// assert_eq!(scopes.to_string(), "notes:read notes:write");
/// assert!(scopes.contains("notes:read"));
/// # Ok::<(), tower_mcp_auth::InvalidScope>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(
    /// In order, with a space between two; `None` when there are none. A cache of sessions holds
    /// one for each.
    Option<Arc<str>>,
);

impl Scopes {
    /// No scope at all.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    fn of<T: AsRef<str>>(set: BTreeSet<T>) -> Self {
        let mut list = String::new();
        for token in set {
            if !list.is_empty() {
                list.push(' ');
            }
            list.push_str(token.as_ref());
        }
        Self((!list.is_empty()).then(|| list.into()))
    }

    fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    fn set(&self) -> BTreeSet<&str> {
        self.iter().collect()
    }

    /// Reads a space-separated list.
    ///
    /// # Errors
    ///
    /// When a token has a character outside RFC 6749 §3.3, or is longer than 256 bytes, or when
    /// there are more than 128.
    pub fn parse(list: &str) -> Result<Self, InvalidScope> {
        Self::from_tokens(list.split(' ').filter(|token| !token.is_empty()))
    }

    /// Collects single tokens.
    ///
    /// # Errors
    ///
    /// As for [`Scopes::parse`].
    pub fn from_tokens<I>(tokens: I) -> Result<Self, InvalidScope>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut set = BTreeSet::new();
        for token in tokens {
            let token = token.as_ref();
            if !is_scope_token(token) || set.len() == MAX_TOKENS {
                return Err(InvalidScope);
            }
            set.insert(Box::<str>::from(token));
        }
        Ok(Self::of(set))
    }

    /// Whether there is no scope in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many scopes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether `scope` is in the set.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|own| own == scope)
    }

    /// Whether everything in `other` is in this set too.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        // Both are in the same order.
        let mut own = self.iter();
        self == other || other.iter().all(|token| own.any(|own| own == token))
    }

    /// The scopes without `offline_access`: authorization servers offer that, and no resource asks
    /// for it (MCP 2026-07-28, refresh tokens).
    #[must_use]
    pub(crate) fn of_resource(&self) -> Self {
        let kept = self.iter().filter(|scope| *scope != "offline_access");
        Self::of(kept.collect())
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        Iter {
            rest: self.as_str().split_ascii_whitespace(),
            left: match self.as_str() {
                "" => 0,
                list => 1 + list.bytes().filter(|byte| *byte == b' ').count(),
            },
        }
    }

    /// Everything that is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::of(self.set().union(&other.set()).collect())
    }

    /// Everything that is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self::of(self.set().intersection(&other.set()).collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

struct Iter<'a> {
    rest: SplitAsciiWhitespace<'a>,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.left = self.left.saturating_sub(1);
        self.rest.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl std::str::FromStr for Scopes {
    type Err = InvalidScope;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        Self::parse(list)
    }
}

impl TryFrom<String> for Scopes {
    type Error = InvalidScope;

    fn try_from(list: String) -> Result<Self, Self::Error> {
        Self::parse(&list)
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        scopes.to_string()
    }
}

/// What a list of scopes may be given as: `"notes:read notes:write"`, `["notes:read"]`, a `Vec`, or
/// [`Scopes`].
pub trait IntoScopes {
    /// The set.
    ///
    /// # Errors
    ///
    /// As for [`Scopes::parse`].
    fn into_scopes(self) -> Result<Scopes, InvalidScope>;
}

impl IntoScopes for Scopes {
    fn into_scopes(self) -> Result<Scopes, InvalidScope> {
        Ok(self)
    }
}

impl IntoScopes for &Scopes {
    fn into_scopes(self) -> Result<Scopes, InvalidScope> {
        Ok(self.clone())
    }
}

impl IntoScopes for &str {
    fn into_scopes(self) -> Result<Scopes, InvalidScope> {
        Scopes::parse(self)
    }
}

impl IntoScopes for String {
    fn into_scopes(self) -> Result<Scopes, InvalidScope> {
        Scopes::parse(&self)
    }
}

impl<T: AsRef<str>, const N: usize> IntoScopes for [T; N] {
    fn into_scopes(self) -> Result<Scopes, InvalidScope> {
        Scopes::from_tokens(self)
    }
}

impl<T: AsRef<str>> IntoScopes for &[T] {
    fn into_scopes(self) -> Result<Scopes, InvalidScope> {
        Scopes::from_tokens(self)
    }
}

impl<T: AsRef<str>> IntoScopes for Vec<T> {
    fn into_scopes(self) -> Result<Scopes, InvalidScope> {
        Scopes::from_tokens(self)
    }
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`
fn is_scope_token(token: &str) -> bool {
    (1..=MAX_TOKEN).contains(&token.len())
        && token
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_controls_are_refused() {
        for bad in ["a\"b", "a\\b", "a\tb", "a\u{7f}", "ä"] {
            assert!(Scopes::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_set_is_a_set_whatever_the_order_it_came_in() {
        let set = |list: &str| Scopes::parse(list).unwrap();
        let (abc, none) = (set("c a b a"), Scopes::none());
        assert_eq!(abc.iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((abc.iter().len(), abc.len(), none.len()), (3, 3, 0));
        assert_eq!((set(""), set("b c a")), (none.clone(), abc.clone()));
        assert!(abc.contains("b") && !abc.contains("a b") && !abc.contains(""));
        for (list, all) in [
            ("", true),
            ("a c", true),
            ("b", true),
            ("a d", false),
            ("ab", false),
        ] {
            assert_eq!(abc.contains_all(&set(list)), all, "{list}");
        }
        assert!(!none.contains_all(&abc) && none.contains_all(&none));
        assert_eq!(abc.union(&set("d ab")).to_string(), "a ab b c d");
        assert_eq!(abc.intersection(&set("b d c")).to_string(), "b c");
    }

    #[test]
    fn sets_are_bounded() {
        let many = (0..129).map(|i| format!("s{i}")).collect::<Vec<_>>();
        assert!(Scopes::from_tokens(&many).is_err());
        assert!(Scopes::parse(&"x".repeat(257)).is_err());
    }
}
