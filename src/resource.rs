//! What can be protected: resources, their scopes, and which of them a request means.

use crate::{
    error::{ConfigError, InvalidScope},
    hierarchy::ScopeHierarchy,
    resource_server::Operation,
    scope::Scopes,
    uri::ResourceUri,
};

/// A protected resource of this deployment, such as one MCP endpoint.
///
/// ```
/// use tower_mcp_auth::Resource;
///
/// let notes = Resource::new("https://api.example.com/mcp")
///     .scopes(["notes:read", "notes:write"])
///     .challenge(["notes:read"])
///     .name("Notes");
/// ```
#[derive(Clone, Debug)]
pub struct Resource {
    uri: String,
    scopes: Vec<String>,
    challenge: Option<Vec<String>>,
    name: Option<String>,
    documentation: Option<String>,
    operations: Vec<(Operation, Vec<String>)>,
    implied: Vec<(String, Vec<String>)>,
    descriptions: Vec<(String, String)>,
    requires_dpop: bool,
    jwt_access_tokens: bool,
}

impl Resource {
    /// A resource under the URL that clients are given: it is published byte for byte.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            scopes: Vec::new(),
            challenge: None,
            name: None,
            documentation: None,
            operations: Vec::new(),
            implied: Vec::new(),
            descriptions: Vec::new(),
            requires_dpop: false,
            jwt_access_tokens: false,
        }
    }

    /// The scopes that exist at this resource (`scopes_supported`, RFC 9728 §2).
    #[must_use]
    pub fn scopes<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// The scopes that a client without a token is told to ask for; all of the resource's by
    /// default, without `offline_access`.
    ///
    /// A client that needs more later is told so, and asks its user again. Not all can: those on
    /// versions 1 of the TypeScript SDK refresh instead, which gives them no more. Where that
    /// matters, leave this unset.
    #[must_use]
    pub fn challenge<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.challenge = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// The name that people see (`resource_name`, RFC 9728 §2).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A page for developers (`resource_documentation`, RFC 9728 §2).
    #[must_use]
    pub fn documentation(mut self, url: impl Into<String>) -> Self {
        self.documentation = Some(url.into());
        self
    }

    /// What one operation takes, on top of what the layer requires. The scopes exist at this
    /// resource without being named again, the consent page says which operations they are for,
    /// and [`McpAuth::protect_operations`](crate::McpAuth::protect_operations) enforces it all.
    #[must_use]
    pub fn operation<I>(mut self, operation: Operation, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let scopes = scopes.into_iter().map(Into::into).collect();
        self.operations.push((operation, scopes));
        self
    }

    /// `broad` contains these: whoever has it needs none of them.
    #[must_use]
    pub fn implies<I>(mut self, broad: impl Into<String>, narrow: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let narrow = narrow.into_iter().map(Into::into).collect();
        self.implied.push((broad.into(), narrow));
        self
    }

    /// What the consent page says of a scope.
    #[must_use]
    pub fn describe(mut self, scope: impl Into<String>, text: impl Into<String>) -> Self {
        self.descriptions.push((scope.into(), text.into()));
        self
    }

    /// Takes only tokens that are bound to a key, from who proves to have it (RFC 9449; published
    /// as `dpop_bound_access_tokens_required`, RFC 9728 §2). Few MCP clients can do that: without
    /// it, tokens are bound for the clients that ask for it.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn require_dpop(mut self) -> Self {
        self.requires_dpop = true;
        self
    }

    /// Gives out signed access tokens (`at+jwt`, RFC 9068) that others can read with the keys at
    /// `jwks_uri`, signed with RS256. The layer here looks them up in the store like all others,
    /// so that they can be revoked; whoever only checks signatures takes them until they expire.
    ///
    /// Of several machines, one that is not set so refuses them: it asks the store about no token
    /// that it could not have issued. So change all of them at once, or have users refresh meanwhile.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn jwt_access_tokens(mut self) -> Self {
        self.jwt_access_tokens = true;
        self
    }

    fn check(self) -> Result<KnownResource, ConfigError> {
        let mut hierarchy = ScopeHierarchy::default();
        for (broad, narrow) in &self.implied {
            Scopes::from_tokens([broad])?;
            hierarchy.add(broad, &Scopes::from_tokens(narrow)?);
        }
        let operations = self
            .operations
            .into_iter()
            .map(|(operation, scopes)| Ok((operation, Scopes::from_tokens(scopes)?)))
            .collect::<Result<Vec<_>, InvalidScope>>()?;
        let named = Scopes::from_tokens(&self.scopes)?.union(&hierarchy.scopes());
        let scopes = operations
            .iter()
            .fold(named, |all, (_, scopes)| all.union(scopes));
        let challenge = match &self.challenge {
            Some(asked) => Scopes::from_tokens(asked)?,
            None => scopes.of_resource(),
        };
        if let Some(url) = &self.documentation {
            ResourceUri::parse(url)?;
        }
        Ok(KnownResource {
            uri: ResourceUri::parse(&self.uri)?,
            scopes: scopes.union(&challenge),
            challenge,
            name: self.name,
            documentation: self.documentation,
            operations,
            hierarchy,
            descriptions: self.descriptions,
            requires_dpop: self.requires_dpop,
            jwt_access_tokens: self.jwt_access_tokens,
        })
    }
}

/// A resource after validation.
#[derive(Clone, Debug)]
pub(crate) struct KnownResource {
    pub(crate) uri: ResourceUri,
    pub(crate) scopes: Scopes,
    pub(crate) challenge: Scopes,
    pub(crate) name: Option<String>,
    pub(crate) documentation: Option<String>,
    pub(crate) operations: Vec<(Operation, Scopes)>,
    pub(crate) hierarchy: ScopeHierarchy,
    descriptions: Vec<(String, String)>,
    /// Whether only tokens that are bound to a key are good here.
    pub(crate) requires_dpop: bool,
    /// Whether its access tokens are signed.
    pub(crate) jwt_access_tokens: bool,
}

impl KnownResource {
    /// What people are told of a scope: the application's words, or the operations it is for.
    pub(crate) fn describe(&self, scope: &str) -> Option<String> {
        let described = self.descriptions.iter().find(|(known, _)| known == scope);
        if let Some((_, text)) = described {
            return Some(text.clone());
        }
        let operations: Vec<_> = self
            .operations
            .iter()
            .filter(|(_, scopes)| scopes.contains(scope))
            .map(|(operation, _)| operation.to_string())
            .collect();
        (!operations.is_empty()).then(|| operations.join(", "))
    }
}

/// All resources of a deployment and the scopes that exist beside theirs.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    resources: Vec<KnownResource>,
    /// Scopes about the user rather than about a resource.
    user_scopes: Scopes,
    /// What a request without `scope` gets, beside the challenge scopes of its resource.
    default_scope: Scopes,
}

impl Catalog {
    pub(crate) fn new(
        resources: Vec<Resource>,
        user_scopes: Scopes,
        default_scope: Scopes,
    ) -> Result<Self, ConfigError> {
        let mut known: Vec<KnownResource> = Vec::with_capacity(resources.len());
        for resource in resources {
            let resource = resource.check()?;
            if known.iter().any(|other| other.uri == resource.uri) {
                return Err(ConfigError::DuplicateResource(resource.uri.to_string()));
            }
            known.push(resource);
        }
        if known.is_empty() {
            return Err(ConfigError::NoResource);
        }
        Ok(Self {
            resources: known,
            user_scopes,
            default_scope,
        })
    }

    pub(crate) fn resources(&self) -> &[KnownResource] {
        &self.resources
    }

    /// The resource meant by a request that names none: the first one registered.
    pub(crate) fn default_resource(&self) -> &KnownResource {
        &self.resources[0]
    }

    pub(crate) fn find(&self, uri: &ResourceUri) -> Option<&KnownResource> {
        self.resources.iter().find(|known| known.uri == *uri)
    }

    /// The resource that a developer names by its path or its whole URL.
    pub(crate) fn find_by_path(&self, path_or_url: &str) -> Option<&KnownResource> {
        let trimmed = path_or_url.trim_end_matches('/');
        self.resources.iter().find(|known| {
            known.uri.as_str() == path_or_url || known.uri.path().trim_end_matches('/') == trimmed
        })
    }

    /// Every scope that can be granted at `resource`.
    pub(crate) fn grantable(&self, resource: &KnownResource) -> Scopes {
        resource.scopes.union(&self.user_scopes)
    }

    /// Every scope that can be granted anywhere.
    pub(crate) fn supported(&self) -> Scopes {
        self.resources
            .iter()
            .fold(self.user_scopes.clone(), |all, resource| {
                all.union(&resource.scopes)
            })
    }

    /// Whether any access token is signed.
    pub(crate) fn signs_access_tokens(&self) -> bool {
        let mut resources = self.resources.iter();
        resources.any(|resource| resource.jwt_access_tokens)
    }

    /// Whether users can be named to clients (OpenID Connect).
    pub(crate) fn speaks_openid(&self) -> bool {
        cfg!(feature = "jwt") && self.user_scopes.contains("openid")
    }

    /// The scopes that the authorization server's document names. Those of OpenID Connect are
    /// accepted but not promised where no id_token is issued; `offline_access` is promised here
    /// and only here, since no resource cares for it.
    pub(crate) fn advertised(&self) -> Scopes {
        const OPENID: [&str; 5] = ["openid", "profile", "email", "address", "phone"];
        let all = self.supported();
        let promised = all
            .iter()
            .filter(|scope| self.speaks_openid() || !OPENID.contains(scope));
        Scopes::from_tokens(promised).unwrap_or_default()
    }

    /// What a request without `scope` is understood to ask for.
    pub(crate) fn default_scopes(&self, resource: &KnownResource) -> Scopes {
        self.default_scope.union(&resource.challenge)
    }
}
