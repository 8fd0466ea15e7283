//! The tokens of our own store, for every resource of a deployment: one verifier, one cache.

use std::sync::Arc;

use http::HeaderMap;

use super::{
    Refusal, bearer,
    binding::SessionBinding,
    cache::{StaleFeed, TokenCache},
    guard::Guard,
    proof::{Called, Manner, Proofs},
    resource::{ProtectedResource, metadata_url},
    session::McpSession,
    verifier::{ErasedVerifier, PresentedToken, StoreVerifier, VerifierUnavailable},
};
#[cfg(feature = "jwt")]
use crate::dpop_nonces::DpopNonces;
use crate::{
    clock::Clock,
    error::ConfigError,
    event::{Admissions, Events},
    resource::KnownResource,
    secret::{AccessForms, Digest},
    store::{ErasedStore, Revocation},
    uri::ResourceUri,
};

/// What all resources of one deployment share.
pub(crate) struct TokenGate {
    verifier: Arc<dyn ErasedVerifier>,
    cache: TokenCache,
    clock: Arc<dyn Clock>,
    binding: Arc<SessionBinding>,
    events: Events,
    proofs: Proofs,
}

impl TokenGate {
    pub(crate) fn new(
        store: &Arc<dyn ErasedStore>,
        cache: TokenCache,
        clock: Arc<dyn Clock>,
        events: Events,
        forms: AccessForms,
        when_stale: StaleFeed,
        proofs: Proofs,
    ) -> Self {
        cache.follow(store, &events, when_stale);
        let (shared, time) = (Arc::clone(store), Arc::clone(&clock));
        Self {
            verifier: Arc::new(StoreVerifier::shared(shared, time, forms)),
            cache,
            clock,
            binding: Arc::new(SessionBinding::stored(Arc::clone(store))),
            events,
            proofs,
        }
    }

    /// One resource behind this gate.
    pub(crate) fn protect(
        &self,
        resource: &KnownResource,
    ) -> Result<ProtectedResource, ConfigError> {
        let guard = Guard {
            metadata_url: ResourceUri::parse(&metadata_url(&resource.uri))?,
            resource: resource.uri.clone(),
            challenge_scopes: resource.challenge.clone(),
            hierarchy: resource.hierarchy.clone(),
            verifier: Arc::clone(&self.verifier),
            cache: self.cache.clone(),
            clock: Arc::clone(&self.clock),
            events: self.events.clone(),
            binding: Arc::clone(&self.binding),
            proofs: self.proofs.clone(),
            requires_dpop: resource.requires_dpop,
            admissions: Admissions::default(),
        };
        Ok(ProtectedResource::from_guard(
            guard,
            resource.scopes.clone(),
        ))
    }

    /// The session behind a request, whatever resource its token is for: the userinfo endpoint is
    /// about the user alone.
    pub(crate) async fn session(
        &self,
        headers: &HeaderMap,
        called: Called<'_>,
    ) -> Result<Result<McpSession, Refusal>, VerifierUnavailable> {
        let (scheme, token) = match bearer::credentials(headers) {
            Ok(credentials) => credentials,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let digest = Digest::of_bytes(token);
        let found = match (
            self.cache.get(digest, self.clock.now()),
            bearer::text(token),
        ) {
            (Some(found), _) => found,
            (None, Err(refusal)) => Err(refusal),
            (None, Ok(token)) if !self.verifier.recognises(token) => Err(Refusal::UnknownToken),
            (None, Ok(token)) => {
                let token = PresentedToken::with_digest(token, digest);
                self.cache
                    .load(&*self.verifier, &token, &*self.clock)
                    .await?
            }
        };
        let now = self.clock.now();
        Ok(found.and_then(|standing| {
            if let Some(refusal) = standing.lost(now) {
                return Err(refusal);
            }
            let session = standing.session();
            let manner = Manner::of(scheme, headers, called, None, digest);
            self.proofs.check(session, &manner, false, now)?;
            Ok(session.clone())
        }))
    }

    /// What proofs of a key have to contain, where anything.
    #[cfg(feature = "jwt")]
    pub(crate) const fn nonces(&self) -> Option<&DpopNonces> {
        self.proofs.nonces.as_ref()
    }

    /// As [`Proofs::offer_nonce`].
    #[cfg(feature = "jwt")]
    pub(crate) fn offer_nonce(&self, headers: &mut HeaderMap) {
        self.proofs.offer_nonce(headers, self.clock.now());
    }

    /// Forgets what was revoked, everywhere in this process, and ends what still streams with it.
    pub(crate) fn revoke(&self, revocation: &Revocation) {
        self.cache.revoke(revocation);
    }
}
