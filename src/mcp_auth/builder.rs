//! Putting a deployment together; every mistake is found here, before a request is served.

mod build;
mod clients;
mod device;
mod lifetimes;
#[cfg(feature = "jwt")]
mod openid;
mod parts;
#[cfg(feature = "rate-limit")]
mod rate_limits;
#[cfg(feature = "jwt")]
mod trusted_issuers;

use std::{fmt, sync::Arc, time::Duration};

use super::McpOptions;
#[cfg(feature = "pages")]
use crate::authorization_server::BuiltInPages;
#[cfg(feature = "cimd")]
use crate::authorization_server::HostPolicy;
#[cfg(feature = "rate-limit")]
use crate::authorization_server::{ClientKey, RateLimits};
#[cfg(feature = "jwt")]
use crate::authorization_server::{DEFAULT_ROTATION, TrustedIssuer};
#[cfg(any(feature = "cimd", feature = "jwt"))]
use crate::fetch::Fetcher;
#[cfg(feature = "jwt")]
use crate::sign_out::ErasedSignOut;
use crate::{
    authenticator::ErasedAuthenticator,
    authorization_server::{Limits, Pages, RegistrationRules},
    client::StaticClient,
    clock::{Clock, SystemClock},
    event::Events,
    grant::issue::Lifetimes,
    resource::Resource,
    resource_server::{StaleFeed, TokenCache, proof::Proofs},
    store::ErasedStore,
    uri::Issuer,
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

/// Builds a [`McpAuth`](super::McpAuth). See there for an example.
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
    requires_registered_method: bool,
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
    #[cfg(feature = "jwt")]
    sign_out: Option<Arc<dyn ErasedSignOut>>,
    lifetimes: Lifetimes,
    limits: Limits,
    requires_push: bool,
    cache: TokenCache,
    when_stale: StaleFeed,
    proofs: Proofs,
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
            requires_registered_method: false,
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
            #[cfg(feature = "jwt")]
            sign_out: None,
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
            when_stale: StaleFeed::default(),
            proofs: Proofs::default(),
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
    /// [`McpAuth::resume_url`](super::McpAuth::resume_url).
    pub fn login_page(mut self, page: impl Into<String>) -> Self {
        self.login_page = Some(page.into());
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

    /// Takes only authorization requests that were pushed (RFC 9126): not by default, since few
    /// MCP clients push.
    pub fn require_pushed_authorization_requests(mut self) -> Self {
        self.requires_push = true;
        self
    }

    /// How many authorizations may wait for their users at once: 100,000 by default. More are
    /// sent back to their client as `temporarily_unavailable`.
    pub fn max_pending_authorizations(mut self, max: u64) -> Self {
        self.limits.pending = max;
        self
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

#[cfg(all(test, feature = "jwt"))]
mod tests {
    use http::{Request, StatusCode, request::Parts};
    use http_body_util::Full;
    use serde_json::json;
    use tower_service::Service;

    use super::*;
    use crate::{
        AssertedSubject, Authenticator, AuthenticatorError, MemoryStore, SignedIn, Subject,
        clock::Clock,
        jwt::{Algorithm, SigningKey, generate_key},
    };

    const IDP: &str = "https://idp.example";

    struct Everybody;

    impl Authenticator for Everybody {
        async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
            Ok(None)
        }

        async fn enterprise_subject(
            &self,
            asserted: &AssertedSubject,
        ) -> Result<Option<Subject>, AuthenticatorError> {
            Ok(Some(Subject::new(asserted.subject())?))
        }
    }

    #[tokio::test]
    async fn only_so_many_assertions_are_remembered_and_no_more_taken() {
        let der = generate_key(Algorithm::EdDSA).unwrap();
        let key = SigningKey::from_pkcs8(Algorithm::EdDSA, None, &der).unwrap();
        let keys = json!({ "keys": [key.public_jwk()] });
        let mut builder = McpAuthBuilder::new("https://a.example")
            .login_page("/sign-in")
            .authenticator(Everybody)
            .resource("https://a.example/mcp", ["notes:read"])
            .client(StaticClient::confidential(
                "robot",
                "secret",
                ["https://c.example/"],
            ))
            .trust_issuer(TrustedIssuer::new(IDP).jwks(keys))
            .store(MemoryStore::new());
        assert_eq!(builder.limits.used, 1_000_000);
        builder.limits.used = 2;
        let mut token = builder.build().unwrap().endpoint(crate::Endpoint::Token);
        for (jti, status) in [
            ("one", StatusCode::OK),
            ("two", StatusCode::OK),
            ("three", StatusCode::TOO_MANY_REQUESTS),
        ] {
            let now = SystemClock.now().as_secs();
            let claims = json!({
                "iss": IDP, "sub": "alice", "aud": "https://a.example", "client_id": "robot",
                "jti": jti, "iat": now, "exp": now + 60, "scope": "notes:read",
            });
            let assertion = key.sign("oauth-id-jag+jwt", &claims).unwrap();
            let form = format!(
                "grant_type={}&assertion={assertion}&client_id=robot&client_secret=secret",
                crate::grant::JWT_BEARER
            );
            let request = Request::post("/")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Full::<bytes::Bytes>::from(form))
                .unwrap();
            let answer = token.call(request).await.unwrap();
            assert_eq!(answer.status(), status, "{jti}");
            let is_full = status == StatusCode::TOO_MANY_REQUESTS;
            assert_eq!(answer.headers().contains_key("retry-after"), is_full);
        }
    }
}
