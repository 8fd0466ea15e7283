//! Whom an identity provider vouches for.

use std::fmt;

use serde_json::{Map, Value};

/// A user as an enterprise's identity provider names them, in a signed assertion that was checked
/// (ID-JAG §3.1). [`Authenticator::enterprise_subject`](crate::Authenticator::enterprise_subject)
/// says which user of the application that is.
///
/// What identifies a user for good is [`issuer`](Self::issuer), [`tenant`](Self::tenant) and
/// [`subject`](Self::subject) together: one provider's subjects are no other's, and a provider with
/// several tenants may use a name in each of them. An address identifies only whom that provider
/// may speak for: check its domain.
#[derive(Clone)]
pub struct AssertedSubject {
    issuer: String,
    subject: String,
    claims: Map<String, Value>,
}

impl AssertedSubject {
    /// A user as named by an issuer, with everything else that its assertion says: for tests of an
    /// application's own mapping.
    #[must_use]
    pub fn new(
        issuer: impl Into<String>,
        subject: impl Into<String>,
        claims: Map<String, Value>,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            subject: subject.into(),
            claims,
        }
    }

    /// The identity provider (`iss`), as it was [trusted](crate::McpAuthBuilder::trust_issuer).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The user's name there (`sub`).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The tenant within a provider that has several (`tenant`).
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.text("tenant")
    }

    /// The user's address (`email`), as the provider knows it.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// The user's name in this application (`aud_sub`), where the provider knows it.
    #[must_use]
    pub fn audience_subject(&self) -> Option<&str> {
        self.text("aud_sub")
    }

    /// The tenant of this application that [`audience_subject`](Self::audience_subject) is a name
    /// in (`aud_tenant`).
    #[must_use]
    pub fn audience_tenant(&self) -> Option<&str> {
        self.text("aud_tenant")
    }

    /// Any claim of the assertion, such as `sub_id`, `act` or one that the two parties agreed on.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claim(name)?.as_str()
    }
}

/// Without the claims: people's data does not belong in logs.
impl fmt::Debug for AssertedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertedSubject")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
