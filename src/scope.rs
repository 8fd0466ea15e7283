//! Scope tokens (RFC 6749 §3.3) and sets of them.

use std::{collections::BTreeSet, fmt};

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
pub struct Scopes(BTreeSet<Box<str>>);

impl Scopes {
    /// No scope at all.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeSet::new())
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
            set.insert(Box::from(token));
        }
        Ok(Self(set))
    }

    /// Whether there is no scope in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many scopes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `scope` is in the set.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether everything in `other` is in this set too.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// The scopes without `offline_access`: authorization servers offer that, and no resource asks
    /// for it (MCP 2026-07-28, refresh tokens).
    #[must_use]
    pub(crate) fn of_resource(&self) -> Self {
        let kept = self.0.iter().filter(|scope| ***scope != *"offline_access");
        Self(kept.cloned().collect())
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Everything that is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// Everything that is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

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
    fn sets_are_bounded() {
        let many = (0..129).map(|i| format!("s{i}")).collect::<Vec<_>>();
        assert!(Scopes::from_tokens(&many).is_err());
        assert!(Scopes::parse(&"x".repeat(257)).is_err());
    }
}
