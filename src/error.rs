//! What can go wrong while wiring things up. Refusals on the wire live with the services.

use std::fmt;

/// A scope list that RFC 6749 §3.3 does not allow, or that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is 1 to 256 printable ASCII characters without quotes, backslashes and spaces")]
pub struct InvalidScope;

/// An identifier whose form is not allowed; holds what kind of identifier it was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed {0}")]
pub struct InvalidIdentifier(pub(crate) &'static str);

/// A URL that cannot be used for what it was given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUri {
    pub(crate) uri: String,
    pub(crate) why: &'static str,
}

impl InvalidUri {
    pub(crate) fn new(uri: &str, why: &'static str) -> Self {
        Self {
            uri: without_credentials(uri).chars().take(256).collect(),
            why,
        }
    }

    /// Why it cannot be used, in words for a developer or a client.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.why
    }
}

/// Errors end up in logs, and what stands before an `@` is often a password, perhaps with characters
/// in it that end an authority.
fn without_credentials(uri: &str) -> String {
    let Some((before, rest)) = uri.rsplit_once('@') else {
        return uri.to_owned();
    };
    let start = before.find("//").map_or(0, |slashes| slashes + 2);
    format!("{}..@{rest}", &before[..start])
}

impl fmt::Display for InvalidUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} cannot be used: {}", self.uri, self.why)
    }
}

impl std::error::Error for InvalidUri {}

/// A mistake in how the parts were put together, found before any request is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The issuer, a resource or a page address is no usable URL.
    #[error(transparent)]
    Uri(#[from] InvalidUri),
    /// A configured scope is not well-formed.
    #[error(transparent)]
    Scope(#[from] InvalidScope),
    /// A client id or subject is not well-formed.
    #[error(transparent)]
    Identifier(#[from] InvalidIdentifier),
    /// No resource was registered, so no token could be issued for anything.
    #[error("no protected resource: name one with `.resource(url, scopes)`")]
    NoResource,
    /// Two resources have the same canonical URL.
    #[error("the resource {0} is registered twice")]
    DuplicateResource(String),
    /// [`McpAuth::protect`](crate::McpAuth::protect) was asked for a resource that was never registered.
    #[error("no resource is registered for {0}: name it with `.resource(url, scopes)` first")]
    UnknownResource(String),
    /// [`McpAuth::protect`](crate::McpAuth::protect) was asked for a resource that has operations.
    #[error(
        "{0} has operations with scopes of their own, which only `protect_operations` asks for"
    )]
    Operations(String),
    /// A builder was finished without something it cannot do without.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A duration or limit is outside what the protocol or safety allows.
    #[error("`{name}` is out of range: {why}")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// The allowed range and its reason.
        why: &'static str,
    },
    /// A certificate that was to be trusted cannot be read.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// An issuer was to be trusted that is this very server: it must not vouch for itself.
    #[error("an issuer cannot trust itself")]
    OwnIssuer,
    /// The same issuer was trusted twice.
    #[error("the issuer {0} is trusted twice")]
    DuplicateIssuer(String),
    /// An algorithm was named that is not supported.
    #[error("there is no algorithm {0} here: EdDSA, ES256, PS256 and RS256 are")]
    Algorithm(String),
    /// Public keys that were to be trusted cannot be used.
    #[error("the keys cannot be used: {0}")]
    Keys(&'static str),
    /// The same client id was configured twice.
    #[error("the client {0} is configured twice")]
    DuplicateClient(String),
}

macro_rules! hook_error {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        pub struct $name(Box<dyn std::error::Error + Send + Sync>);

        impl<E> From<E> for $name
        where
            E: Into<Box<dyn std::error::Error + Send + Sync>>,
        {
            fn from(error: E) -> Self {
                Self(error.into())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

hook_error! {
    /// An application could not say who is signed in, or not sign them out. Whoever asked is told to
    /// try again later.
    ///
    /// Every error converts into it, so `?` works in an [`Authenticator`](crate::Authenticator).
    AuthenticatorError
}

hook_error! {
    /// An application could not decide. The client is told to try again later.
    ///
    /// Every error converts into it, so `?` works in a
    /// [`RegistrationPolicy`](crate::RegistrationPolicy).
    PolicyError
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        for (uri, shown) in [
            ("https://u:secret@a.example/cb", "https://..@a.example/cb"),
            ("https://u:sec/ret?@a.example", "https://..@a.example"),
            ("https:/u:secret@a.example", "..@a.example"),
            ("//u:sec@ret@a.example", "//..@a.example"),
            ("https://a.example/b", "https://a.example/b"),
        ] {
            assert_eq!(
                InvalidUri::new(uri, "no").to_string(),
                format!("{shown:?} cannot be used: no")
            );
        }
    }
}
