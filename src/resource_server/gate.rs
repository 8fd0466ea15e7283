//! The tokens of our own store, for every resource of a deployment: one verifier, one cache.

use std::sync::Arc;

use http::HeaderMap;

use super::{
    Refusal, bearer,
    binding::SessionBinding,
    cache::TokenCache,
    guard::Guard,
    resource::{ProtectedResource, metadata_url},
    session::McpSession,
    verifier::{ErasedVerifier, PresentedToken, StoreVerifier, Verdict, VerifierUnavailable},
};
use crate::{
    clock::Clock,
    error::ConfigError,
    event::Events,
    resource::KnownResource,
    secret::Digest,
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
}

impl TokenGate {
    pub(crate) fn new(
        store: &Arc<dyn ErasedStore>,
        cache: TokenCache,
        clock: Arc<dyn Clock>,
        events: Events,
    ) -> Self {
        Self {
            verifier: Arc::new(StoreVerifier::shared(Arc::clone(store), Arc::clone(&clock))),
            cache,
            clock,
            binding: Arc::new(SessionBinding::stored(Arc::clone(store))),
            events,
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
    ) -> Result<Result<McpSession, Refusal>, VerifierUnavailable> {
        let token = match bearer::presented(headers) {
            Ok(token) => token,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let digest = Digest::of(token);
        let verdict = match self.cache.get(digest, self.clock.now()) {
            Some(verdict) => verdict,
            None if !self.verifier.recognises(token) => Verdict::Unknown,
            None => {
                let token = PresentedToken::with_digest(token, digest);
                self.cache
                    .load(&*self.verifier, &token, &*self.clock)
                    .await?
            }
        };
        Ok(match verdict {
            Verdict::Verified(session) if session.expires_at() <= self.clock.now() => {
                Err(Refusal::ExpiredToken)
            }
            Verdict::Verified(session) => Ok(session),
            Verdict::Unknown => Err(Refusal::UnknownToken),
            Verdict::Expired => Err(Refusal::ExpiredToken),
            Verdict::Revoked => Err(Refusal::RevokedToken),
        })
    }

    /// Forgets what was revoked, everywhere in this process.
    pub(crate) fn revoke(&self, revocation: &Revocation) {
        self.cache.revoke(revocation);
    }
}
