//! The HTTP client.

use std::{fmt, net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{
    BasicCredentials, Fetch, FetchError, FetchResult, Fetched, Limits,
    address::{AddressPolicy, Network, is_loopback_name, is_odd_number},
    connect::{BoxFuture, ConnectError, Connector, Resolve, SystemResolver},
    policy::CachePolicy,
    sites::Sites,
};
use crate::{error::ConfigError, uri::Parts};

/// How many exchanges run at once; the others wait, each for as long as one may take.
const MAX_EXCHANGES: usize = 64;
/// The longest URL that is fetched.
const MAX_URL: usize = 2048;
/// How much of an answer's head is read.
const MAX_HEAD: usize = 16 * 1024;
const USER_AGENT: &str = concat!("tower-mcp-auth/", env!("CARGO_PKG_VERSION"));

/// Fetches documents that others name: clients their metadata, issuers their keys.
///
/// Only over `https`, only from public addresses (checked on the address that is connected to, so
/// that no name can lead elsewhere), without redirects, cookies or proxies, and within bounds of
/// time and size. Certificates are checked against Mozilla's list. Cloning shares everything.
///
/// ```
/// use tower_mcp_auth::Fetcher;
///
/// # fn main() -> Result<(), tower_mcp_auth::ConfigError> {
/// // For development: clients and issuers on this machine, also without TLS.
/// let fetcher = Fetcher::builder().danger_allow_loopback(true).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    policy: Arc<AddressPolicy>,
    exchanges: Semaphore,
    sites: Sites,
}

impl Fetcher {
    /// Starts with public addresses only.
    pub fn builder() -> FetcherBuilder {
        FetcherBuilder {
            policy: AddressPolicy::default(),
            networks: Vec::new(),
            roots: Vec::new(),
            keep_alive: false,
            resolver: None,
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        limits: Limits,
    ) -> Result<Fetched, FetchError> {
        let line = async {
            // Where strangers name the address. What is asked by POST was configured.
            let turn = match *request.method() {
                Method::GET => self.0.sites.turn(request.uri().host().unwrap_or("")).await,
                _ => None,
            };
            (turn, self.0.exchanges.acquire().await)
        };
        // Who had to stand in line has all of their time left.
        let _places = tokio::time::timeout(limits.deadline, line)
            .await
            .map_err(|_| FetchError::Deadline)?;
        let exchange = async {
            let response = self
                .0
                .client
                .request(request)
                .await
                .map_err(|error| classify(&error))?;
            let (head, body) = response.into_parts();
            check(head.status, &head.headers)?;
            if body.size_hint().lower() > limits.max_bytes as u64 {
                return Err(FetchError::TooLarge);
            }
            let body = Limited::new(body, limits.max_bytes).collect().await;
            let body = body.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    FetchError::TooLarge
                } else {
                    FetchError::Connection
                }
            })?;
            Ok(Fetched {
                body: body.to_bytes(),
                cache: CachePolicy::of(&head.headers),
            })
        };
        tokio::time::timeout(limits.deadline, exchange)
            .await
            .unwrap_or(Err(FetchError::Deadline))
    }

    fn start(
        &self,
        url: &str,
        limits: Limits,
        request: impl FnOnce(Uri) -> Request<Full<Bytes>>,
    ) -> BoxFuture<'static, FetchResult> {
        match target(url, &self.0.policy) {
            Ok(uri) => {
                let (this, mut request) = (self.clone(), request(uri));
                let headers = request.headers_mut();
                headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
                headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
                Box::pin(async move { this.exchange(request, limits).await })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

impl Fetch for Fetcher {
    fn get(&self, url: &str, limits: Limits) -> BoxFuture<'static, FetchResult> {
        self.start(url, limits, |uri| {
            let mut request = Request::new(Full::default());
            *request.uri_mut() = uri;
            request
        })
    }

    fn post_form(
        &self,
        url: &str,
        credentials: Option<BasicCredentials<'_>>,
        form: String,
        limits: Limits,
    ) -> BoxFuture<'static, FetchResult> {
        let authorization = credentials.map(|credentials| credentials.header());
        self.start(url, limits, |uri| {
            let mut request = Request::new(Full::from(form));
            *request.uri_mut() = uri;
            *request.method_mut() = Method::POST;
            let headers = request.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            );
            if let Some(authorization) = authorization {
                headers.insert(header::AUTHORIZATION, authorization);
            }
            request
        })
    }
}

impl BasicCredentials<'_> {
    fn header(&self) -> HeaderValue {
        let encode =
            |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let pair = Zeroizing::new(format!(
            "{}:{}",
            encode(self.client_id),
            encode(self.client_secret)
        ));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Basic"));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("policy", &self.0.policy)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Fetcher`].
#[must_use]
pub struct FetcherBuilder {
    policy: AddressPolicy,
    networks: Vec<(IpAddr, u8)>,
    roots: Vec<u8>,
    keep_alive: bool,
    resolver: Option<Arc<dyn Resolve>>,
}

impl FetcherBuilder {
    /// Also fetches from `127.0.0.1`, `[::1]` and `localhost`, on any port and without TLS too. For
    /// development: on a server it lets whoever names a URL talk to what listens there.
    pub fn danger_allow_loopback(mut self, allow: bool) -> Self {
        self.policy.loopback = allow;
        self
    }

    /// Also fetches from these addresses, such as `10.0.0.0` with 8 bits, though still over
    /// `https`: for an issuer in a private network. Not for a fetcher whose URLs clients name.
    pub fn danger_allow_network(mut self, address: IpAddr, prefix_bits: u8) -> Self {
        self.networks.push((address, prefix_bits));
        self
    }

    /// Trusts these certificates too, in PEM: for an issuer with a certificate of its own
    /// authority.
    pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.extend_from_slice(pem.as_ref());
        self.roots.push(b'\n');
        self
    }

    /// Keeps connections open for a while: for hosts that we choose and ask often.
    #[cfg(feature = "jwt")]
    pub(crate) fn keep_alive(mut self) -> Self {
        self.keep_alive = true;
        self
    }

    #[cfg(test)]
    pub(crate) fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// The fetcher.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be read, or a network has more bits than its address.
    pub fn build(self) -> Result<Fetcher, ConfigError> {
        let mut policy = self.policy;
        for (address, bits) in self.networks {
            let network = Network::new(address, bits).ok_or(ConfigError::OutOfRange {
                name: "danger_allow_network",
                why: "an IPv4 address has 32 bits, an IPv6 address 128",
            })?;
            policy.networks.push(network);
        }
        let policy = Arc::new(policy);
        let connector = Connector {
            policy: Arc::clone(&policy),
            resolver: self
                .resolver
                .unwrap_or_else(|| Arc::new(SystemResolver::new())),
        };
        // The policy on schemes is ours, see `target`.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&self.roots)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(std::time::Duration::from_secs(30))
            // Otherwise whoever names many hosts would make us keep as many connections.
            .pool_max_idle_per_host(if self.keep_alive { 8 } else { 0 })
            .http1_max_buf_size(MAX_HEAD)
            .build(connector);
        Ok(Fetcher(Arc::new(Inner {
            client,
            policy,
            exchanges: Semaphore::new(MAX_EXCHANGES),
            sites: Sites::default(),
        })))
    }
}

impl fmt::Debug for FetcherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetcherBuilder")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

fn tls(roots: &[u8]) -> Result<ClientConfig, ConfigError> {
    let mut store = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in CertificateDer::pem_slice_iter(roots) {
        let certificate =
            certificate.map_err(|error| ConfigError::Certificate(error.to_string()))?;
        store
            .add(certificate)
            .map_err(|error| ConfigError::Certificate(error.to_string()))?;
    }
    // Named here, so that what else is in the process cannot make the choice ambiguous.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::Certificate(error.to_string()))?;
    Ok(config.with_root_certificates(store).with_no_client_auth())
}

/// The URL to ask, if it is one that is fetched at all.
fn target(url: &str, policy: &AddressPolicy) -> Result<Uri, FetchError> {
    let refuse = |why| Err(FetchError::Url(why));
    if url.len() > MAX_URL {
        return refuse("it is too long");
    }
    let Some(parts) = Parts::parse(url) else {
        return refuse("it is no absolute URL");
    };
    let loopback = policy.loopback && is_loopback_name(parts.host);
    if !(parts.is_https() || (loopback && parts.is_http())) {
        return refuse("it is not https");
    }
    if parts.userinfo.is_some() || parts.fragment {
        return refuse("it carries credentials or a fragment");
    }
    if parts.host.is_empty() || is_odd_number(parts.host) {
        return refuse("its host is neither a name nor an address in the usual notation");
    }
    let port = parts.port.map_or(Ok(443), str::parse::<u16>);
    if parts.port != Some("") && !port.is_ok_and(|port| port > 0) {
        return refuse("its port is out of range");
    }
    match url.parse::<Uri>() {
        // Two parsers of one mind: what was looked at is what is asked.
        Ok(uri) if uri.host() == Some(parts.host) => Ok(uri),
        _ => refuse("it is no URL that HTTP can ask for"),
    }
}

fn check(status: StatusCode, headers: &HeaderMap) -> Result<(), FetchError> {
    if status.is_redirection() {
        return Err(FetchError::Redirect(status.as_u16()));
    }
    if status != StatusCode::OK {
        return Err(FetchError::Status(status.as_u16()));
    }
    // Nothing compressed was asked for, and a small body must not unfold into a huge one.
    let plain = headers
        .get(header::CONTENT_ENCODING)
        .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let kind = headers.get(header::CONTENT_TYPE);
    if plain
        && kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(is_json)
    {
        Ok(())
    } else {
        Err(FetchError::ContentType)
    }
}

/// `application/json` or `application/*+json`.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|subtype| {
        subtype == "json"
            || subtype
                .strip_suffix("+json")
                .is_some_and(|name| !name.is_empty())
    })
}

fn classify(error: &hyper_util::client::legacy::Error) -> FetchError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<ConnectError>() {
            Some(ConnectError::Forbidden) => return FetchError::ForbiddenAddress,
            Some(ConnectError::Lookup) => return FetchError::UnknownHost,
            Some(ConnectError::Refused) => return FetchError::Connection,
            None => cause = error.source(),
        }
    }
    FetchError::Connection
}
