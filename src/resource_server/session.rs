//! What a request is allowed to do, and for whom.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    clock::Timestamp,
    id::{ClientId, Subject},
    scope::Scopes,
    secret::GrantId,
    uri::ResourceUri,
};

/// Whoever stands behind a verified request: the authorization, not a transport session.
///
/// The layer puts it in the request's extensions. Cloning it copies one pointer. It holds no token,
/// so nothing that handles it can leak or pass one on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpSession(Arc<Claims>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Claims {
    subject: Subject,
    client_id: ClientId,
    scopes: Scopes,
    resource: ResourceUri,
    issued_at: Timestamp,
    expires_at: Timestamp,
    grant_id: Option<GrantId>,
    is_client: bool,
    dpop_thumbprint: Option<Box<str>>,
}

impl McpSession {
    /// Starts a session by hand, as a [`TokenVerifier`](super::TokenVerifier) does.
    ///
    /// ```
    /// use tower_mcp_auth::{ClientId, McpSession, ResourceUri, Scopes, Subject, Timestamp};
    ///
    /// let session = McpSession::builder(
    ///     Subject::new("alice")?,
    ///     ClientId::new("an-agent")?,
    ///     ResourceUri::parse("https://api.example.com/mcp")?,
    ///     Timestamp::from_secs(1_800_000_000),
    /// )
    /// .scopes(Scopes::parse("notes:read")?)
    /// .build();
    /// assert!(session.has_scope("notes:read"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(
        subject: Subject,
        client_id: ClientId,
        resource: ResourceUri,
        expires_at: Timestamp,
    ) -> McpSessionBuilder {
        McpSessionBuilder(Claims {
            subject,
            client_id,
            scopes: Scopes::none(),
            resource,
            issued_at: Timestamp::default(),
            expires_at,
            grant_id: None,
            is_client: false,
            dpop_thumbprint: None,
        })
    }

    /// Who the token speaks for.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.0.subject
    }

    /// Whether the token was issued to a program in its own name (client credentials): then no user
    /// is behind it, and [`subject`](Self::subject) is the client's id, whatever user may be called
    /// the same. With a verifier for another issuer: whether the token's subject is its client.
    #[must_use]
    pub fn is_client(&self) -> bool {
        self.0.is_client
    }

    /// The program it was issued to.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.0.client_id
    }

    /// What it allows.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.0.scopes
    }

    /// Whether it allows `scope`.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.contains(scope)
    }

    /// Where it is accepted.
    #[must_use]
    pub fn resource(&self) -> &ResourceUri {
        &self.0.resource
    }

    /// When it was issued.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.0.issued_at
    }

    /// From when on it is refused.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    /// The grant it came of, where the issuer has such a thing.
    #[must_use]
    pub fn grant_id(&self) -> Option<GrantId> {
        self.0.grant_id
    }

    /// The key that the token is bound to (RFC 9449), by its thumbprint (RFC 7638): whoever sent
    /// this request has proven to have it. `None` for a plain bearer token.
    #[must_use]
    pub fn dpop_thumbprint(&self) -> Option<&str> {
        self.0.dpop_thumbprint.as_deref()
    }
}

impl McpSession {
    /// Lets `rewrite` replace what is equal with what is the same, unless somebody else has this
    /// session too.
    pub(crate) fn rewrite(
        &mut self,
        rewrite: impl FnOnce(&mut ClientId, &mut Scopes, &mut ResourceUri),
    ) {
        if let Some(claims) = Arc::get_mut(&mut self.0) {
            rewrite(
                &mut claims.client_id,
                &mut claims.scopes,
                &mut claims.resource,
            );
        }
    }
}

impl Serialize for McpSession {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = 6 + usize::from(self.is_client());
        let mut fields = serializer.serialize_struct("McpSession", count)?;
        fields.serialize_field("subject", self.subject())?;
        fields.serialize_field("client_id", self.client_id())?;
        fields.serialize_field("scope", self.scopes())?;
        fields.serialize_field("resource", self.resource())?;
        fields.serialize_field("issued_at", &self.issued_at())?;
        fields.serialize_field("expires_at", &self.expires_at())?;
        // Where no user is behind it, whatever the subject is called.
        if self.is_client() {
            fields.serialize_field("is_client", &true)?;
        }
        fields.end()
    }
}

/// A session in the making: see [`McpSession::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct McpSessionBuilder(Claims);

impl McpSessionBuilder {
    /// What the token allows; nothing unless set.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.0.scopes = scopes;
        self
    }

    /// When it was issued.
    pub fn issued_at(mut self, issued_at: Timestamp) -> Self {
        self.0.issued_at = issued_at;
        self
    }

    /// The grant it came of: revoking that grant then ends this session too.
    pub fn grant_id(mut self, grant_id: GrantId) -> Self {
        self.0.grant_id = Some(grant_id);
        self
    }

    /// It was issued to the client in its own name.
    pub fn of_client(mut self) -> Self {
        self.0.is_client = true;
        self
    }

    /// The token is bound to the key of this thumbprint (`cnf.jkt`): the layer then asks each
    /// request for a proof of that key.
    pub fn dpop_thumbprint(mut self, thumbprint: impl Into<Box<str>>) -> Self {
        self.0.dpop_thumbprint = Some(thumbprint.into());
        self
    }

    /// The session.
    #[must_use]
    pub fn build(self) -> McpSession {
        McpSession(Arc::new(self.0))
    }
}
