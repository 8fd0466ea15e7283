//! Putting a deployment together; every mistake is found here, before a request is served.

mod device;
#[cfg(feature = "jwt")]
mod openid;
#[cfg(feature = "jwt")]
mod trusted_issuers;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::OnceCell;

use super::{McpAuth, McpOptions, documents};
#[cfg(feature = "pages")]
use crate::authorization_server::BuiltInPages;
#[cfg(feature = "cimd")]
use crate::authorization_server::{ClientDocuments, HostPolicy};
#[cfg(feature = "rate-limit")]
use crate::authorization_server::{ClientKey, RateLimiter, RateLimits};
#[cfg(feature = "jwt")]
use crate::authorization_server::{
    DEFAULT_ROTATION, SigningKeys, TrustedIssuer, TrustedIssuers, client_key_sets,
};
#[cfg(any(feature = "cimd", feature = "jwt"))]
use crate::fetch::Fetcher;
use crate::{
    authenticator::{Authenticator, ErasedAuthenticator},
    authorization_server::{
        AuthorizationServer, BrowserCookie, Guesses, Limits, Pages, RegistrationRules,
    },
    client::{StaticClient, StaticClients, policy::RegistrationPolicy},
    clock::{Clock, SystemClock},
    error::{ConfigError, InvalidUri},
    event::{Events, Observer},
    grant::issue::Lifetimes,
    resource::{Catalog, Resource},
    resource_server::{TokenCache, TokenGate},
    scope::Scopes,
    secret::{AccessForms, Digest},
    store::{ErasedStore, Store, Sweeper},
    uri::{Issuer, ResourceUri},
};

/// How long an authorization waits for its user to sign in and decide.
const PENDING_TTL: Duration = Duration::from_secs(600);
/// How long a client that registered and never came back is remembered.
const UNUSED_CLIENT_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long a client is remembered after its last use.
const USED_CLIENT_TTL: Duration = Duration::from_secs(90 * 24 * 3600);
/// How many clients may be registered at once.
const MAX_CLIENTS: u64 = 100_000;
/// How many authorizations may wait for their users at once.
const MAX_PENDING: u64 = 100_000;
/// How many assertions and proofs may be remembered as used at once.
const MAX_USED: u64 = 1_000_000;
/// How often what has expired is removed.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// A code lives minutes (RFC 6749 §4.1.2 recommends at most ten).
const MAX_CODE_TTL: Duration = Duration::from_secs(600);
/// Long enough for any lost response, short enough that a thief gains little.
const MAX_GRACE: Duration = Duration::from_secs(300);

/// Builds a [`McpAuth`]. See there for an example.
#[must_use]
pub struct McpAuthBuilder {
    issuer: String,
    endpoints_path: String,
    login_page: Option<String>,
    resources: Vec<Resource>,
    user_scopes: Vec<String>,
    default_scope: String,
    scope_descriptions: Vec<(String, String)>,
    clients: Vec<StaticClient>,
    registration: RegistrationRules,
    #[cfg(any(feature = "cimd", feature = "jwt"))]
    fetcher: Option<Fetcher>,
    #[cfg(feature = "cimd")]
    trusts_client_host: Option<HostPolicy>,
    #[cfg(feature = "jwt")]
    accepts_endpoint_audience: bool,
    #[cfg(feature = "jwt")]
    key_rotation: Duration,
    #[cfg(feature = "jwt")]
    trusted_issuers: Vec<TrustedIssuer>,
    lifetimes: Lifetimes,
    limits: Limits,
    requires_push: bool,
    cache: TokenCache,
    store: Option<Arc<dyn ErasedStore>>,
    authenticator: Option<Arc<dyn ErasedAuthenticator>>,
    pages: Option<Arc<dyn Pages>>,
    clock: Arc<dyn Clock>,
    events: Events,
    #[cfg(feature = "rate-limit")]
    rate_limits: Option<RateLimits>,
    #[cfg(feature = "rate-limit")]
    client_key: Option<ClientKey>,
}

impl McpAuthBuilder {
    pub(super) fn new(issuer: &str) -> Self {
        let defaults = McpOptions::new("").oidc_config;
        Self {
            issuer: issuer.to_owned(),
            endpoints_path: "/oauth".to_owned(),
            login_page: None,
            resources: Vec::new(),
            scope_descriptions: Vec::new(),
            clients: Vec::new(),
            registration: RegistrationRules::default(),
            #[cfg(any(feature = "cimd", feature = "jwt"))]
            fetcher: None,
            #[cfg(feature = "cimd")]
            trusts_client_host: None,
            #[cfg(feature = "jwt")]
            accepts_endpoint_audience: false,
            #[cfg(feature = "jwt")]
            key_rotation: DEFAULT_ROTATION,
            #[cfg(feature = "jwt")]
            trusted_issuers: Vec::new(),
            lifetimes: Lifetimes {
                code: defaults.code_ttl(),
                device_code: device::DEFAULT_TTL,
                access_token: defaults.access_token_ttl(),
                refresh_token: defaults.refresh_token_ttl(),
                refresh_grace: Duration::from_secs(30),
                pending: PENDING_TTL,
                unused_client: UNUSED_CLIENT_TTL,
                used_client: USED_CLIENT_TTL,
            },
            user_scopes: defaults.scopes,
            default_scope: defaults.default_scope,
            limits: Limits {
                clients: MAX_CLIENTS,
                pending: MAX_PENDING,
                devices: device::MAX_PENDING,
                used: MAX_USED,
            },
            requires_push: false,
            cache: TokenCache::new(),
            store: None,
            authenticator: None,
            #[cfg(feature = "pages")]
            pages: Some(Arc::new(BuiltInPages)),
            #[cfg(not(feature = "pages"))]
            pages: None,
            clock: Arc::new(SystemClock),
            events: Events::default(),
            #[cfg(feature = "rate-limit")]
            rate_limits: Some(RateLimits::default()),
            #[cfg(feature = "rate-limit")]
            client_key: None,
        }
    }

    /// The settings of Better Auth's plugin, all at once.
    pub fn options(mut self, options: McpOptions) -> Self {
        let config = options.oidc_config;
        self.lifetimes.code = config.code_ttl();
        self.lifetimes.access_token = config.access_token_ttl();
        self.lifetimes.refresh_token = config.refresh_token_ttl();
        self.default_scope = config.default_scope;
        self.user_scopes = config.scopes;
        let resource = options.resource.unwrap_or_else(|| {
            // An issuer that does not parse is reported by `build`.
            Issuer::parse(&self.issuer)
                .map_or_else(|_| self.issuer.clone(), |issuer| issuer.origin().to_owned())
        });
        self.resources.push(Resource::new(resource));
        self.login_page(options.login_page)
    }

    /// Where the endpoints are mounted: `/oauth` by default. It decides the published URLs.
    pub fn endpoints(mut self, path: impl Into<String>) -> Self {
        self.endpoints_path = path.into();
        self
    }

    /// Where a browser without a session goes: a path on this origin, or a URL. The page finds a
    /// `transaction` in its query and, once the user is signed in, redirects to
    /// [`McpAuth::resume_url`].
    pub fn login_page(mut self, page: impl Into<String>) -> Self {
        self.login_page = Some(page.into());
        self
    }

    /// Who knows which user is signed in.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Protects the resource at `url`, with these scopes. The first one is the default for
    /// clients that name none.
    pub fn resource<I>(self, url: impl Into<String>, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.resource_with(Resource::new(url).scopes(scopes))
    }

    /// Protects a resource that needs more saying.
    pub fn resource_with(mut self, resource: Resource) -> Self {
        self.resources.push(resource);
        self
    }

    /// What the consent page says of a scope.
    pub fn describe_scope(mut self, scope: impl Into<String>, text: impl Into<String>) -> Self {
        self.scope_descriptions.push((scope.into(), text.into()));
        self
    }

    /// A client that is known without registering.
    pub fn client(mut self, client: StaticClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Who may register, besides everyone whose metadata is in order.
    pub fn registration_policy(mut self, policy: impl RegistrationPolicy) -> Self {
        self.registration.policy = Some(Arc::new(policy));
        self
    }

    /// A token that a client has to bring to register (RFC 7591 §1.2); may be given several times.
    /// Only its digest is kept.
    pub fn initial_access_token(mut self, token: &str) -> Self {
        self.registration.initial_tokens.push(Digest::of(token));
        self
    }

    /// Whether clients with a secret may read, change and delete their registration (RFC 7592):
    /// not by default. Public clients get no such credentials: whoever sends the same metadata is
    /// the same client.
    pub fn registration_management(mut self, on: bool) -> Self {
        self.registration.management = on;
        self
    }

    /// What fetches the metadata documents and keys of clients.
    #[cfg(any(feature = "cimd", feature = "jwt"))]
    pub fn fetcher(mut self, fetcher: Fetcher) -> Self {
        self.fetcher = Some(fetcher);
        self
    }

    /// Which hosts may describe clients by a metadata document: all of them by default. Who may
    /// ask is still the user's decision, on a page that names the host.
    #[cfg(feature = "cimd")]
    pub fn trust_client_hosts<F>(mut self, trusts: F) -> Self
    where
        F: Fn(&str) -> bool + Send + Sync + 'static,
    {
        self.trusts_client_host = Some(Arc::new(trusts));
        self
    }

    /// Also takes client assertions that are addressed to the token endpoint, as older software
    /// signs them. An assertion for one server can then be used at another that shares the
    /// endpoint's address, which is why new specifications forbid it.
    #[cfg(feature = "jwt")]
    pub fn danger_accept_endpoint_audience(mut self) -> Self {
        self.accepts_endpoint_audience = true;
        self
    }

    /// How long the secret of a registered client is accepted: for ever by default.
    pub fn client_secret_ttl(mut self, ttl: Duration) -> Self {
        self.registration.secret_ttl = Some(ttl);
        self
    }

    /// Where everything is kept.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// How long an authorization code lives: 600 s by default, and at most (RFC 6749 §4.1.2).
    pub fn code_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.code = ttl;
        self
    }

    /// How long an access token lives: 3600 s by default.
    pub fn access_token_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.access_token = ttl;
        self
    }

    /// How long a refresh token lives, counted anew at each refresh: a week by default.
    pub fn refresh_token_ttl(mut self, ttl: Duration) -> Self {
        self.lifetimes.refresh_token = ttl;
        self
    }

    /// How long after its first use a refresh token is still answered, always with the same
    /// successor: 30 s by default, at most 300 s. Zero makes every repeat a theft.
    pub fn refresh_grace(mut self, grace: Duration) -> Self {
        self.lifetimes.refresh_grace = grace;
        self
    }

    /// Takes only authorization requests that were pushed (RFC 9126): not by default, since few
    /// MCP clients push.
    pub fn require_pushed_authorization_requests(mut self) -> Self {
        self.requires_push = true;
        self
    }

    /// How many clients may be registered at once: 100,000 by default. More are refused with 429.
    pub fn max_clients(mut self, max: u64) -> Self {
        self.limits.clients = max;
        self
    }

    /// How many authorizations may wait for their users at once: 100,000 by default. More are
    /// sent back to their client as `temporarily_unavailable`.
    pub fn max_pending_authorizations(mut self, max: u64) -> Self {
        self.limits.pending = max;
        self
    }

    /// How often one caller may register, authorize and ask for tokens.
    #[cfg(feature = "rate-limit")]
    pub fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.rate_limits = Some(limits);
        self
    }

    /// Lets everyone ask as often as they like: for load tests, and behind something that limits
    /// already. Otherwise secrets of configured clients can be guessed at full speed.
    #[cfg(feature = "rate-limit")]
    pub fn danger_no_rate_limits(mut self) -> Self {
        self.rate_limits = None;
        self
    }

    /// What tells the callers of one client apart: usually the peer's address, which a tower
    /// service does not know by itself. Take it from where your server puts it (such as axum's
    /// `ConnectInfo` extension), never from a header that callers can write.
    #[cfg(feature = "rate-limit")]
    pub fn client_key<F>(mut self, key: F) -> Self
    where
        F: Fn(&http::request::Parts) -> Option<String> + Send + Sync + 'static,
    {
        self.client_key = Some(Arc::new(key));
        self
    }

    /// How verified tokens are remembered.
    pub fn cache(mut self, cache: TokenCache) -> Self {
        self.cache = cache;
        self
    }

    /// The pages that people see.
    pub fn pages(mut self, pages: impl Pages) -> Self {
        self.pages = Some(Arc::new(pages));
        self
    }

    /// What time it is: the system's clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Who sees every event, in place of the log lines of the feature `tracing`.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.events = Events::to(Arc::new(observer));
        self
    }

    /// Checks everything and puts it together.
    ///
    /// # Errors
    ///
    /// Says which setting is wrong or missing.
    pub fn build(self) -> Result<McpAuth, ConfigError> {
        let issuer = Issuer::parse(&self.issuer)?;
        let endpoints_path = check_path(&self.endpoints_path)?;
        let login_page = self
            .login_page
            .as_deref()
            .ok_or(ConfigError::Missing("login_page"))?;
        let login_page = absolute(&issuer, login_page)?;
        check_lifetimes(&self.lifetimes)?;
        let catalog = Catalog::new(
            self.resources,
            Scopes::from_tokens(&self.user_scopes)?,
            Scopes::parse(&self.default_scope)?,
        )?;
        let store = self.store.ok_or(ConfigError::Missing("store"))?;
        #[cfg(feature = "jwt")]
        let trusted_issuers = TrustedIssuers::new(self.trusted_issuers, &issuer, &self.clock)?;
        let documents = Arc::new(documents::of(
            &issuer,
            &endpoints_path,
            &catalog,
            self.requires_push,
            #[cfg(feature = "jwt")]
            &trusted_issuers,
        ));
        let access_forms = AccessForms {
            signed: catalog.signs_access_tokens(),
        };
        let gate = TokenGate::new(
            &store,
            self.cache,
            Arc::clone(&self.clock),
            self.events.clone(),
            access_forms,
        );
        let resources = catalog
            .resources()
            .iter()
            .map(|resource| gate.protect(resource))
            .collect::<Result<_, _>>()?;
        let sweeper = Sweeper::new(Arc::clone(&store), Arc::clone(&self.clock), SWEEP_EVERY);
        #[cfg(any(feature = "cimd", feature = "jwt"))]
        let fetcher = match self.fetcher {
            Some(fetcher) => fetcher,
            None => Fetcher::builder().build()?,
        };
        let server = AuthorizationServer {
            cookie: BrowserCookie::new(&issuer),
            issuer,
            endpoints_path,
            login_page,
            catalog,
            scope_descriptions: self.scope_descriptions,
            lifetimes: self.lifetimes,
            limits: self.limits,
            requires_push: self.requires_push,
            clients: StaticClients::new(self.clients)?,
            registration: self.registration,
            #[cfg(feature = "cimd")]
            client_documents: ClientDocuments::new(
                fetcher.clone(),
                self.trusts_client_host,
                Arc::clone(&self.clock),
            ),
            #[cfg(feature = "jwt")]
            key_sets: client_key_sets(fetcher, Arc::clone(&self.clock)),
            #[cfg(feature = "jwt")]
            trusted_issuers,
            #[cfg(feature = "jwt")]
            accepts_endpoint_audience: self.accepts_endpoint_audience,
            #[cfg(feature = "jwt")]
            signing_keys: SigningKeys::new(openid::check_rotation(self.key_rotation)?),
            store,
            authenticator: self
                .authenticator
                .ok_or(ConfigError::Missing("authenticator"))?,
            pages: self.pages.ok_or(ConfigError::Missing("pages"))?,
            clock: self.clock,
            events: self.events,
            documents,
            access_forms,
            gate,
            resources,
            refresh_keys: OnceCell::new(),
            user_code_guesses: Guesses::default(),
            sweeper,
            #[cfg(feature = "rate-limit")]
            rate_limiter: self
                .rate_limits
                .map(|limits| RateLimiter::new(limits, self.client_key)),
        };
        Ok(McpAuth::new(server))
    }
}

impl fmt::Debug for McpAuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpAuthBuilder")
            .field("issuer", &self.issuer)
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}

fn check_path(path: &str) -> Result<String, ConfigError> {
    let probe = format!("https://host{path}");
    let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains(['?', '#', '{']);
    match ResourceUri::parse(&probe) {
        Ok(_) if is_path => Ok(path.to_owned()),
        _ => Err(InvalidUri::new(path, "the endpoints need a path such as /oauth").into()),
    }
}

/// A path on the issuer's origin, or a URL as it is.
fn absolute(issuer: &Issuer, page: &str) -> Result<String, ConfigError> {
    let url = if page.starts_with('/') && !page.starts_with("//") {
        format!("{}{page}", issuer.origin())
    } else {
        page.to_owned()
    };
    ResourceUri::parse(&url)?;
    Ok(url)
}

fn check_lifetimes(lifetimes: &Lifetimes) -> Result<(), ConfigError> {
    let second = Duration::from_secs(1);
    let out_of_range = |name, why| Err(ConfigError::OutOfRange { name, why });
    if !(second..=MAX_CODE_TTL).contains(&lifetimes.code) {
        return out_of_range("code_ttl", "1 to 600 s (RFC 6749 §4.1.2)");
    }
    device::check_ttl(lifetimes.device_code)?;
    if lifetimes.access_token < second {
        return out_of_range("access_token_ttl", "at least 1 s");
    }
    if lifetimes.refresh_token < second {
        return out_of_range("refresh_token_ttl", "at least 1 s");
    }
    if lifetimes.refresh_grace > MAX_GRACE {
        return out_of_range(
            "refresh_grace",
            "0 to 300 s: a stolen token is not noticed within it",
        );
    }
    Ok(())
}
