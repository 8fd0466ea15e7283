//! One protected resource.

use std::{fmt, sync::Arc};

use http::HeaderMap;

use super::{
    binding::SessionBinding,
    cache::TokenCache,
    guard::{Decision, Guard},
    layer::McpAuthLayer,
    session::McpSession,
    verifier::{ErasedVerifier, TokenVerifier, VerifierUnavailable},
};
use crate::{
    clock::{Clock, SystemClock},
    error::{ConfigError, InvalidScope},
    event::{Events, Observer},
    hierarchy::ScopeHierarchy,
    scope::{IntoScopes, Scopes},
    uri::ResourceUri,
};

/// A resource that asks for tokens: its name, its scopes, and who verifies. Cloning it is cheap.
#[derive(Clone)]
pub struct ProtectedResource {
    guard: Arc<Guard>,
    scopes: Scopes,
}

impl ProtectedResource {
    /// Starts to describe the resource at `url`, whose tokens `verifier` judges.
    pub fn builder(
        url: impl Into<String>,
        verifier: impl TokenVerifier,
    ) -> ProtectedResourceBuilder {
        ProtectedResourceBuilder {
            url: url.into(),
            verifier: Arc::new(verifier),
            scopes: Ok(Scopes::none()),
            challenge_scopes: None,
            hierarchy: Ok(ScopeHierarchy::default()),
            metadata_url: None,
            cache: TokenCache::new(),
            clock: Arc::new(SystemClock),
            events: Events::default(),
        }
    }

    pub(crate) fn from_guard(guard: Guard, scopes: Scopes) -> Self {
        Self {
            guard: Arc::new(guard),
            scopes,
        }
    }

    /// What stands in front of the service behind this resource.
    pub fn layer(&self) -> McpAuthLayer {
        McpAuthLayer::new(Arc::clone(&self.guard))
    }

    /// Who stands behind a request with these headers: `None` when they bring no token that is
    /// good for this resource.
    ///
    /// For handlers that a layer does not fit. Scopes are left to the caller.
    ///
    /// # Errors
    ///
    /// When nobody can say at the moment whether the token is good.
    pub async fn session(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<McpSession>, VerifierUnavailable> {
        let required = Scopes::none();
        let guard = &self.guard;
        match guard.decide(headers, &required) {
            Decision::Admit(session) => Ok(Some(session)),
            Decision::Refuse(_) => Ok(None),
            Decision::Ask(token) => {
                let verdict = guard
                    .cache
                    .load(&*guard.verifier, &token, &*guard.clock)
                    .await?;
                Ok(guard.judge(verdict, guard.clock.now(), &required).ok())
            }
        }
    }

    /// Its name.
    #[must_use]
    pub fn uri(&self) -> &ResourceUri {
        &self.guard.resource
    }

    /// Its scopes, as its metadata lists them.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// What a client without a token is told to ask for.
    #[must_use]
    pub fn challenge_scopes(&self) -> &Scopes {
        &self.guard.challenge_scopes
    }

    /// Where challenges say its metadata is.
    #[must_use]
    pub fn metadata_url(&self) -> &str {
        self.guard.metadata_url.as_str()
    }

    /// The verdicts it remembers, to tell them of a revocation.
    #[must_use]
    pub fn cache(&self) -> &TokenCache {
        &self.guard.cache
    }
}

impl fmt::Debug for ProtectedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectedResource")
            .field("uri", self.uri())
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// A [`ProtectedResource`] in the making.
#[must_use]
pub struct ProtectedResourceBuilder {
    url: String,
    verifier: Arc<dyn ErasedVerifier>,
    scopes: Result<Scopes, InvalidScope>,
    challenge_scopes: Option<Result<Scopes, InvalidScope>>,
    hierarchy: Result<ScopeHierarchy, InvalidScope>,
    metadata_url: Option<String>,
    cache: TokenCache,
    clock: Arc<dyn Clock>,
    events: Events,
}

impl ProtectedResourceBuilder {
    /// The scopes there are, for the resource's metadata.
    pub fn scopes(mut self, scopes: impl IntoScopes) -> Self {
        self.scopes = scopes.into_scopes();
        self
    }

    /// The scopes that a client without a token is told to ask for: what it takes to get going. All
    /// of them unless set.
    pub fn challenge_scopes(mut self, scopes: impl IntoScopes) -> Self {
        self.challenge_scopes = Some(scopes.into_scopes());
        self
    }

    /// `broad` contains these: a token that has it needs none of them.
    pub fn implies(mut self, broad: &str, narrow: impl IntoScopes) -> Self {
        self.hierarchy = self.hierarchy.and_then(|mut hierarchy| {
            Scopes::from_tokens([broad])?;
            hierarchy.add(broad, &narrow.into_scopes()?);
            Ok(hierarchy)
        });
        self
    }

    /// Where the resource's metadata is, if not where RFC 9728 §3 puts it.
    pub fn metadata_url(mut self, url: impl Into<String>) -> Self {
        self.metadata_url = Some(url.into());
        self
    }

    /// Remembers verdicts here. Share a cache only among resources with the same verifier.
    pub fn cache(mut self, cache: TokenCache) -> Self {
        self.cache = cache;
        self
    }

    /// Judges expiry by `clock`.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Tells `observer` of every decision, instead of writing log lines.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.events = Events::to(Arc::new(observer));
        self
    }

    /// The resource.
    ///
    /// # Errors
    ///
    /// When a URL or a scope cannot be used.
    pub fn build(self) -> Result<ProtectedResource, ConfigError> {
        let resource = ResourceUri::parse(&self.url)?;
        let metadata_url = match self.metadata_url {
            Some(url) => ResourceUri::parse(&url)?,
            None => ResourceUri::parse(&metadata_url(&resource))?,
        };
        let scopes = self.scopes?;
        let guard = Guard {
            resource,
            metadata_url,
            challenge_scopes: self
                .challenge_scopes
                .unwrap_or_else(|| Ok(scopes.clone()))?,
            hierarchy: self.hierarchy?,
            verifier: self.verifier,
            cache: self.cache,
            clock: self.clock,
            events: self.events,
            binding: Arc::new(SessionBinding::ephemeral()),
        };
        Ok(ProtectedResource::from_guard(guard, scopes))
    }
}

impl fmt::Debug for ProtectedResourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectedResourceBuilder")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Where RFC 9728 §3 puts a resource's metadata: the well-known name goes between host and path.
pub(crate) fn metadata_url(resource: &ResourceUri) -> String {
    let origin = resource.origin();
    let path = match resource.path() {
        "/" => "",
        path => path,
    };
    let query = resource
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    format!("{origin}/.well-known/oauth-protected-resource{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_name_goes_between_host_and_path() {
        for (resource, metadata) in [
            (
                "https://a.example",
                "https://a.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://a.example/mcp",
                "https://a.example/.well-known/oauth-protected-resource/mcp",
            ),
            (
                "https://a.example/mcp/",
                "https://a.example/.well-known/oauth-protected-resource/mcp/",
            ),
            (
                "https://a.example:8443/t/mcp?x=1",
                "https://a.example:8443/.well-known/oauth-protected-resource/t/mcp?x=1",
            ),
        ] {
            let resource = ResourceUri::parse(resource).unwrap();
            assert_eq!(metadata_url(&resource), metadata);
        }
    }
}
