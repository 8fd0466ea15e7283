//! Names of people and programs.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::error::InvalidIdentifier;

macro_rules! identifier {
    ($(#[$meta:meta])* $name:ident, $what:literal, $max:literal, $allowed:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name as it came.
            ///
            /// # Errors
            ///
            /// When it is empty, too long, or has a character that is not allowed.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidIdentifier> {
                let text = text.as_ref();
                let allowed: fn(char) -> bool = $allowed;
                if (1..=$max).contains(&text.len()) && text.chars().all(allowed) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidIdentifier($what))
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidIdentifier;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

identifier!(
    /// The `client_id` of a program: 1 to 2048 visible ASCII characters (RFC 6749 appendix A.1).
    ClientId,
    "client id",
    2048,
    |c| matches!(c, '\x21'..='\x7e')
);

identifier!(
    /// Who a token speaks for, in the application's own naming: 1 to 255 bytes without control
    /// characters (OpenID Connect Core §2 bounds `sub` alike).
    Subject,
    "subject",
    255,
    |c| !c.is_control()
);
