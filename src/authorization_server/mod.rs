//! The authorization server: its endpoints over a [`Store`](crate::Store) and an
//! [`Authenticator`](crate::Authenticator).

mod authorize;
mod browser;
#[cfg(feature = "jwt")]
mod client_assertion;
mod client_auth;
#[cfg(feature = "cimd")]
mod client_documents;
mod clients;
mod consent;
mod device;
mod dpop;
mod endpoint;
mod get_session;
mod hint;
mod introspect;
mod issue_code;
mod layer;
mod limited;
mod manage;
#[cfg(feature = "jwt")]
mod openid;
mod page_debug;
mod pages;
mod par;
#[cfg(feature = "rate-limit")]
mod rate_limit;
mod refuse;
mod register;
mod request;
mod response;
mod revoke;
mod service;
mod sign_out_page;
#[cfg(feature = "jwt")]
mod signing;
mod token;
mod token_call;
#[cfg(feature = "jwt")]
mod trusted_issuer;
mod unsure;
mod userinfo;

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "pages")]
pub use self::pages::BuiltInPages;
#[cfg(feature = "rate-limit")]
pub use self::rate_limit::RateLimits;
#[cfg(feature = "jwt")]
pub use self::trusted_issuer::TrustedIssuer;
pub use self::{
    device::{DeviceCodePage, DeviceConfirmPage, MessagePage},
    endpoint::Endpoint,
    layer::{EndpointsLayer, EndpointsLayerService, FallbackLayer, FallbackService},
    pages::{ConsentPage, ErrorPage, Pages},
    service::{EndpointFuture, EndpointService, Endpoints},
    sign_out_page::SignOutPage,
};

use self::browser::FormKey;
#[cfg(feature = "cimd")]
pub(crate) use self::client_documents::{ClientDocuments, HostPolicy};
#[cfg(feature = "rate-limit")]
pub(crate) use self::rate_limit::{ClientKey, RateLimiter};
#[cfg(feature = "jwt")]
pub(crate) use self::trusted_issuer::TrustedIssuers;
pub(crate) use self::{browser::BrowserCookie, device::Guesses};
#[cfg(feature = "jwt")]
pub(crate) use self::{
    client_assertion::client_key_sets,
    signing::{ALGORITHMS as SIGNS, DEFAULT_ROTATION, SigningKeys},
};
#[cfg(feature = "jwt")]
use crate::issuer::KeySets;
#[cfg(feature = "jwt")]
use crate::sign_out::ErasedSignOut;
use crate::{
    authenticator::ErasedAuthenticator,
    client::{StaticClients, policy::ErasedPolicy, registration::Offer},
    clock::{Clock, Timestamp},
    discovery::Documents,
    event::{Event, Events},
    grant::issue::Lifetimes,
    resource::Catalog,
    resource_server::{ProtectedResource, TokenGate},
    secret::{AccessForms, Digest, SecretKey},
    store::{ErasedStore, Revocation, RevokeTarget, SharedKeys, StoreError, Sweeper},
    uri::Issuer,
};

/// How much is kept at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Registered clients.
    pub(crate) clients: u64,
    /// Authorizations that wait for their user.
    pub(crate) pending: u64,
    /// Devices that wait for their user.
    pub(crate) devices: u64,
    /// Assertions and proofs that are remembered as used.
    pub(crate) used: u64,
}

/// Who may register, and on which terms.
#[derive(Default)]
pub(crate) struct RegistrationRules {
    pub(crate) policy: Option<Arc<dyn ErasedPolicy>>,
    /// Digests of the initial access tokens; without any, everyone may register.
    pub(crate) initial_tokens: Vec<Digest>,
    /// Whether clients with a secret may manage their registration (RFC 7592).
    pub(crate) management: bool,
    /// How long a client's secret is accepted; `None` for ever.
    pub(crate) secret_ttl: Option<Duration>,
}

/// Everything the endpoints share.
pub(crate) struct AuthorizationServer {
    pub(crate) issuer: Issuer,
    /// The path of the endpoints below the issuer's origin.
    pub(crate) endpoints_path: String,
    /// The absolute address of the application's sign-in page.
    pub(crate) login_page: String,
    pub(crate) catalog: Catalog,
    pub(crate) scope_descriptions: Vec<(String, String)>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) limits: Limits,
    /// Whether authorization requests must be pushed (RFC 9126).
    pub(crate) requires_push: bool,
    pub(crate) clients: StaticClients,
    pub(crate) registration: RegistrationRules,
    /// Whether a secret must come the way its client registered for, in the header or in the body.
    pub(crate) requires_registered_method: bool,
    #[cfg(feature = "cimd")]
    pub(crate) client_documents: ClientDocuments,
    /// Those of clients.
    #[cfg(feature = "jwt")]
    pub(crate) key_sets: KeySets,
    /// Who may vouch for users.
    #[cfg(feature = "jwt")]
    pub(crate) trusted_issuers: TrustedIssuers,
    /// Whether a client assertion may be for the token endpoint rather than for the issuer.
    #[cfg(feature = "jwt")]
    pub(crate) accepts_endpoint_audience: bool,
    #[cfg(feature = "jwt")]
    pub(crate) signing_keys: SigningKeys,
    /// How the application ends a session, if it can.
    #[cfg(feature = "jwt")]
    pub(crate) sign_out: Option<Arc<dyn ErasedSignOut>>,
    pub(crate) store: Arc<dyn ErasedStore>,
    pub(crate) authenticator: Arc<dyn ErasedAuthenticator>,
    pub(crate) pages: Arc<dyn Pages>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Events,
    pub(crate) cookie: BrowserCookie,
    pub(crate) documents: Arc<Documents>,
    pub(crate) access_forms: AccessForms,
    /// Looks tokens up, as the layer does, and forgets them when they are revoked.
    pub(crate) gate: TokenGate,
    /// The resources behind that gate; the first is the default.
    pub(crate) resources: Vec<ProtectedResource>,
    pub(crate) refresh_keys: SharedKeys,
    pub(crate) user_code_guesses: Guesses,
    pub(crate) sweeper: Sweeper,
    #[cfg(feature = "rate-limit")]
    pub(crate) rate_limiter: Option<RateLimiter>,
}

impl AuthorizationServer {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The absolute URL of an endpoint.
    pub(crate) fn url(&self, endpoint: Endpoint) -> String {
        format!(
            "{}{}/{}",
            self.issuer.origin(),
            self.endpoints_path,
            endpoint.segment()
        )
    }

    /// What clients may register for.
    fn offer(&self) -> Offer {
        Offer {
            scopes: self.catalog.supported(),
            #[cfg(feature = "jwt")]
            jwt_bearer: !self.trusted_issuers.is_empty(),
            #[cfg(not(feature = "jwt"))]
            jwt_bearer: false,
        }
    }

    /// The key that new refresh successors are derived with, and the one numbered `id` if that is
    /// another.
    pub(crate) async fn refresh_key(
        &self,
        id: Option<u32>,
    ) -> Result<(u32, SecretKey), StoreError> {
        let keys = self.refresh_keys.get(&*self.store, self.now()).await?;
        let key = match id {
            Some(id) => keys.iter().find(|(number, _)| *number == id),
            None => keys.last(),
        };
        key.cloned()
            .ok_or_else(|| StoreError::unavailable("the store has no key for refresh tokens"))
    }

    /// The key that tokens of forms are made with: whoever knows a browser's cookie, having planted
    /// it perhaps, can still not make one.
    async fn form_key(&self) -> Result<FormKey, StoreError> {
        self.oldest_key().await.map(FormKey::from)
    }

    /// The key that every machine has, whenever it started.
    async fn oldest_key(&self) -> Result<SecretKey, StoreError> {
        let keys = self.refresh_keys.get(&*self.store, self.now()).await?;
        let key = keys.first().map(|(_, key)| key.clone());
        key.ok_or_else(|| StoreError::unavailable("the store has no key to derive from"))
    }

    /// Makes every cache of this process forget what a revocation reached. Comes after the commit
    /// and before the answer.
    pub(crate) fn forget(&self, revocation: &Revocation) {
        self.gate.revoke(revocation);
    }

    /// Revokes: commits, forgets, and only then returns.
    pub(crate) async fn revoke(&self, target: RevokeTarget) -> Result<Revocation, StoreError> {
        let revocation = self.store.revoke(target, self.now()).await?;
        self.forget(&revocation);
        self.emit(&Event::Revoked {
            grants: &revocation.grants,
            access_tokens: revocation.access_tokens.len(),
        });
        Ok(revocation)
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.events.emit(event);
    }

    /// Notes that the store failed.
    pub(crate) fn store_failed(&self, error: &StoreError) {
        self.emit(&Event::StoreFailed { error });
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer")
            .field("issuer", &self.issuer)
            .field("endpoints_path", &self.endpoints_path)
            .finish_non_exhaustive()
    }
}
