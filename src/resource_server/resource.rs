//! One protected resource.

use std::{fmt, sync::Arc};

use http::{HeaderMap, request::Parts};

use super::{
    binding::SessionBinding,
    cache::TokenCache,
    guard::{Decision, Demand, Guard},
    layer::McpAuthLayer,
    proof::{Called, Proofs},
    session::McpSession,
    verifier::{ErasedVerifier, TokenVerifier, VerifierUnavailable},
};
#[cfg(feature = "jwt")]
use crate::dpop_nonces::DpopNonces;
use crate::{
    clock::{Clock, SystemClock},
    discovery::{
        MetadataResponder, ProtectedResourceMetadata, WellKnownLayer, published_scopes, standalone,
    },
    error::{ConfigError, InvalidScope},
    event::{Admissions, Events, Observer},
    hierarchy::ScopeHierarchy,
    scope::{IntoScopes, Scopes},
    uri::ResourceUri,
};

/// A resource that asks for tokens: its name, its scopes, and who verifies. Cloning it is cheap.
#[derive(Clone)]
pub struct ProtectedResource {
    guard: Arc<Guard>,
    scopes: Scopes,
    /// Of whoever asks for a session without a layer.
    nothing: Demand,
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
            requires_dpop: false,
            proofs: Proofs::default(),
        }
    }

    pub(crate) fn from_guard(guard: Guard, scopes: Scopes) -> Self {
        Self {
            guard: Arc::new(guard),
            scopes,
            nothing: Demand::new(Scopes::none()),
        }
    }

    /// What stands in front of the service behind this resource.
    pub fn layer(&self) -> McpAuthLayer {
        McpAuthLayer::new(Arc::clone(&self.guard))
    }

    /// Who stands behind a request with these headers: `None` when they bring no token that is
    /// good for this resource.
    ///
    /// For handlers that a layer does not fit. Scopes are left to the caller. A token that is bound
    /// to a key is good only together with the request that its proof was made for: see
    /// [`session_of`](Self::session_of).
    ///
    /// # Errors
    ///
    /// When nobody can say at the moment whether the token is good.
    pub async fn session(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<McpSession>, VerifierUnavailable> {
        self.find(headers, Called::Unknown).await
    }

    /// As [`session`](Self::session), for the whole head of a request: knows tokens that are bound
    /// to a key too. Each proof is good for one call of it.
    ///
    /// # Errors
    ///
    /// When nobody can say at the moment whether the token is good.
    pub async fn session_of(
        &self,
        request: &Parts,
    ) -> Result<Option<McpSession>, VerifierUnavailable> {
        let called = Called::Resource {
            method: &request.method,
            path: request.uri.path(),
            extensions: &request.extensions,
        };
        self.find(&request.headers, called).await
    }

    pub(crate) async fn find(
        &self,
        headers: &HeaderMap,
        called: Called<'_>,
    ) -> Result<Option<McpSession>, VerifierUnavailable> {
        let guard = &self.guard;
        match guard.decide(headers, called, &self.nothing, true) {
            Decision::Admit(standing, _) => Ok(Some(standing.session().clone())),
            Decision::Refuse(_) => Ok(None),
            Decision::Ask(question) => {
                let found = guard
                    .cache
                    .load(&*guard.verifier, &question.token, &*guard.clock)
                    .await?;
                let now = guard.clock.now();
                let judged = guard.judge(found, &question.manner, now, &self.nothing);
                Ok(judged.ok().map(|standing| standing.session().clone()))
            }
        }
    }

    /// Its document (RFC 9728), which tells clients that these are the servers to get tokens from.
    ///
    /// Mount it at the path of [`metadata_url`](Self::metadata_url), or let
    /// [`well_known`](Self::well_known) do that.
    pub fn metadata<I>(&self, authorization_servers: I) -> MetadataResponder
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut document =
            ProtectedResourceMetadata::new(self.uri().as_str(), authorization_servers);
        document.scopes_supported = published_scopes(&self.scopes);
        MetadataResponder::new(&document)
    }

    /// The same document as a layer for the whole application, which answers wherever clients look
    /// for it; every other path reaches the inner service untouched. Among several resources on one
    /// origin, the outermost answers those that only ask at the root.
    pub fn well_known<I>(&self, authorization_servers: I) -> WellKnownLayer
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let document = self.metadata(authorization_servers);
        standalone(&document, self.uri(), &self.guard.metadata_url)
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
    requires_dpop: bool,
    proofs: Proofs,
}

impl ProtectedResourceBuilder {
    /// The scopes there are, for the resource's metadata.
    pub fn scopes(mut self, scopes: impl IntoScopes) -> Self {
        self.scopes = scopes.into_scopes();
        self
    }

    /// The scopes that a client without a token is told to ask for: what it takes to get going. All
    /// of them unless set, without `offline_access`.
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

    /// Takes only tokens that are bound to a key, from who proves to have it (RFC 9449).
    #[cfg(feature = "jwt")]
    pub fn require_dpop(mut self) -> Self {
        self.requires_dpop = true;
        self
    }

    /// Proofs of a key have to contain a nonce of ours (RFC 9449 §9).
    #[cfg(feature = "jwt")]
    pub fn dpop_nonces(mut self, nonces: DpopNonces) -> Self {
        self.proofs.nonces = Some(nonces);
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
        self.verifier.connect(&self.cache);
        let guard = Guard {
            resource,
            metadata_url,
            challenge_scopes: self
                .challenge_scopes
                .unwrap_or_else(|| Ok(scopes.of_resource()))?,
            hierarchy: self.hierarchy?,
            verifier: self.verifier,
            cache: self.cache,
            clock: self.clock,
            events: self.events,
            binding: Arc::new(SessionBinding::ephemeral()),
            proofs: self.proofs,
            requires_dpop: self.requires_dpop,
            admissions: Admissions::default(),
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
