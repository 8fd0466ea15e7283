//! Who says whether a token is good.

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc};

use zeroize::Zeroizing;

use super::{
    Refusal,
    cache::{StaleFeed, TokenCache},
    patience::patiently,
    session::McpSession,
};
use crate::{
    clock::{Clock, SystemClock},
    event::Events,
    secret::{AccessForms, Digest},
    store::{ErasedStore, Store, record::GrantHolder},
};

/// What a verifier says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is good, and this is what it allows.
    Verified(McpSession),
    /// There is no such token, or it is not well-formed, or not signed by the issuer.
    Unknown,
    /// It was good once.
    Expired,
    /// It, or the grant it came of, was revoked.
    Revoked,
    /// It is the issuer's, but for another resource. For verifiers that are told which resource
    /// they verify for; the layer looks at the resource of every session itself.
    WrongAudience,
}

impl Verdict {
    pub(crate) fn session(self) -> Result<McpSession, Refusal> {
        match self {
            Self::Verified(session) => Ok(session),
            Self::Unknown => Err(Refusal::UnknownToken),
            Self::Expired => Err(Refusal::ExpiredToken),
            Self::Revoked => Err(Refusal::RevokedToken),
            Self::WrongAudience => Err(Refusal::WrongAudience),
        }
    }
}

/// Nobody could say whether a token is good: the layer answers 503, never 401, since a client
/// would throw a good token away.
#[derive(Clone, Debug)]
pub struct VerifierUnavailable(Arc<dyn Error + Send + Sync>);

impl VerifierUnavailable {
    /// Wraps what failed.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }
}

impl fmt::Display for VerifierUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tokens cannot be verified at the moment")
    }
}

impl Error for VerifierUnavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// A token as it came, with its digest. Wiped when dropped, never shown by `Debug`.
pub struct PresentedToken {
    text: Zeroizing<String>,
    digest: Digest,
}

impl PresentedToken {
    /// Takes a token as it came.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::with_digest(text, Digest::of(text))
    }

    pub(crate) fn with_digest(text: &str, digest: Digest) -> Self {
        Self {
            text: Zeroizing::new(text.to_owned()),
            digest,
        }
    }

    /// The token itself, for verifiers that read or pass it on. Keep it out of logs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// SHA-256 of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedToken")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Says whether a token is good: from our own store ([`StoreVerifier`]), from a signature, from an
/// introspection endpoint (RFC 7662).
///
/// It judges the token alone. Whether it was issued for this very resource and has the scopes is
/// the layer's to decide, and so is caching.
///
/// ```
/// use tower_mcp_auth::{PresentedToken, TokenVerifier, Verdict, VerifierUnavailable};
///
/// struct NobodyIsIn;
///
/// impl TokenVerifier for NobodyIsIn {
///     async fn verify(&self, _: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
///         Ok(Verdict::Unknown)
///     }
/// }
/// ```
pub trait TokenVerifier: Send + Sync + 'static {
    /// Whether `token` could be one of ours by its form alone. What is turned away here costs no
    /// I/O, however much of it comes.
    fn recognises(&self, token: &str) -> bool {
        let _ = token;
        true
    }

    /// Called with the cache of each resource that this verifier is put in front of. One that hears
    /// of revocations passes them on to [`TokenCache::revoke`] from now on.
    fn connect(&self, cache: &TokenCache) {
        let _ = cache;
    }

    /// Judges one token. Dropping the future must be harmless.
    ///
    /// It has to come to an end: nobody else sets it a deadline, and as long as it takes, every
    /// request with this token waits. The verifiers of this crate give up after ten seconds.
    fn verify(
        &self,
        token: &PresentedToken,
    ) -> impl Future<Output = Result<Verdict, VerifierUnavailable>> + Send;
}

impl<V: TokenVerifier> TokenVerifier for Arc<V> {
    fn recognises(&self, token: &str) -> bool {
        V::recognises(self, token)
    }

    fn connect(&self, cache: &TokenCache) {
        V::connect(self, cache);
    }

    fn verify(
        &self,
        token: &PresentedToken,
    ) -> impl Future<Output = Result<Verdict, VerifierUnavailable>> + Send {
        V::verify(self, token)
    }
}

/// A boxed verdict, on the miss path only.
type BoxVerdict<'a> =
    Pin<Box<dyn Future<Output = Result<Verdict, VerifierUnavailable>> + Send + 'a>>;

/// The object-safe face of every [`TokenVerifier`].
pub(crate) trait ErasedVerifier: Send + Sync + 'static {
    fn recognises(&self, token: &str) -> bool;
    fn connect(&self, cache: &TokenCache);
    fn verify<'a>(&'a self, token: &'a PresentedToken) -> BoxVerdict<'a>;
}

impl<V: TokenVerifier> ErasedVerifier for V {
    fn recognises(&self, token: &str) -> bool {
        TokenVerifier::recognises(self, token)
    }

    fn connect(&self, cache: &TokenCache) {
        TokenVerifier::connect(self, cache);
    }

    fn verify<'a>(&'a self, token: &'a PresentedToken) -> BoxVerdict<'a> {
        Box::pin(TokenVerifier::verify(self, token))
    }
}

/// Asks our own store. Ten seconds without an answer are as good as an error.
pub struct StoreVerifier {
    store: Arc<dyn ErasedStore>,
    clock: Arc<dyn Clock>,
    forms: AccessForms,
    when_stale: StaleFeed,
}

impl StoreVerifier {
    /// Asks `store`, which may be shared with an authorization server on another machine.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        let forms = AccessForms::default();
        Self::shared(Arc::new(store), Arc::new(SystemClock), forms)
    }

    /// Takes signed tokens too, as the store has them for a resource with
    /// [`jwt_access_tokens`](crate::Resource::jwt_access_tokens). Without it they are refused
    /// before the store is asked.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn jwt_access_tokens(mut self) -> Self {
        self.forms.signed = true;
        self
    }

    /// Judges expiry by `clock`.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What becomes of requests while revocations by other machines are not heard: the store is
    /// asked about each token, unless set.
    #[must_use]
    pub fn on_stale_feed(mut self, policy: StaleFeed) -> Self {
        self.when_stale = policy;
        self
    }

    pub(crate) fn shared(
        store: Arc<dyn ErasedStore>,
        clock: Arc<dyn Clock>,
        forms: AccessForms,
    ) -> Self {
        Self {
            store,
            clock,
            forms,
            when_stale: StaleFeed::default(),
        }
    }
}

impl fmt::Debug for StoreVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreVerifier").finish_non_exhaustive()
    }
}

impl TokenVerifier for StoreVerifier {
    fn recognises(&self, token: &str) -> bool {
        self.forms.digest(token, || self.clock.now()).is_some()
    }

    fn connect(&self, cache: &TokenCache) {
        cache.follow(&self.store, &Events::default(), self.when_stale);
    }

    async fn verify(&self, token: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        let found = patiently(async {
            let found = async {
                let now = self.clock.now();
                self.forms.prepare(&*self.store, now).await?;
                match self.forms.digest(token.reveal(), || now) {
                    Some(digest) => self.store.access_token(digest).await,
                    None => Ok(None),
                }
            };
            found.await.map_err(VerifierUnavailable::new)
        });
        let Some(found) = found.await? else {
            return Ok(Verdict::Unknown);
        };
        if found.revoked {
            return Ok(Verdict::Revoked);
        }
        let record = found.record;
        if record.expires_at <= self.clock.now() {
            return Ok(Verdict::Expired);
        }
        let mut session = McpSession::builder(
            record.subject,
            record.client_id,
            record.resource,
            record.expires_at,
        )
        .scopes(record.scopes)
        .issued_at(record.issued_at)
        .grant_id(record.grant);
        if record.holder == GrantHolder::Client {
            session = session.of_client();
        }
        if let Some(thumbprint) = record.dpop_jkt {
            session = session.dpop_thumbprint(thumbprint);
        }
        Ok(Verdict::Verified(session.build()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_said_without_being_shown_to_clients() {
        let error = VerifierUnavailable::new("the disk is on fire");
        let said = error.to_string();
        assert_eq!(said, "tokens cannot be verified at the moment");
        assert_eq!(error.source().unwrap().to_string(), "the disk is on fire");
    }
}
