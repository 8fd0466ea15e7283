//! Connections to addresses that were looked at first.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Semaphore};
use tower_service::Service;

use super::address::{AddressPolicy, is_loopback_name};

/// How long one address is tried before the next.
const PER_ADDRESS: Duration = Duration::from_secs(3);
/// How many addresses of one name are tried.
const MAX_ADDRESSES: usize = 8;
/// How many names are looked up at once. The system's resolver takes a thread each of those for
/// what blocks, of which a runtime has 512 unless told, and a slow name server keeps it beyond our
/// deadline.
const MAX_LOOKUPS: usize = 128;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Finds the addresses of a name.
pub(crate) trait Resolve: Send + Sync + 'static {
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// Asks the operating system.
pub(crate) struct SystemResolver(Arc<Semaphore>);

impl SystemResolver {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LOOKUPS)))
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let permits = Arc::clone(&self.0);
        Box::pin(async move {
            let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            let found = tokio::task::spawn_blocking(move || {
                let found = (host.as_str(), 0).to_socket_addrs();
                // The thread is taken until now, whether or not anybody still waits.
                drop(permit);
                found.map(|addresses| addresses.map(|address| address.ip()).collect())
            });
            found.await.map_err(io::Error::other)?
        })
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The name does not exist, or its name server does not answer.
    Lookup,
    /// Every address it leads to is one that may not be connected to.
    Forbidden,
    /// Nobody listens there.
    Refused,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lookup => "its host cannot be found",
            Self::Forbidden => "its host leads to an address that must not be connected to",
            Self::Refused => "its host takes no connection",
        })
    }
}

impl std::error::Error for ConnectError {}

/// Opens connections for the HTTP client, each to an address that the policy allows. What is
/// checked is what is connected to: the name is not looked up again.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) policy: Arc<AddressPolicy>,
    pub(crate) resolver: Arc<dyn Resolve>,
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = uri.host().unwrap_or_default();
        let default_port = if uri.scheme_str() == Some("http") {
            80
        } else {
            443
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = self.addresses(host).await?;
        for ip in addresses.into_iter().take(MAX_ADDRESSES) {
            let attempt = TcpStream::connect(SocketAddr::new(ip, port));
            if let Ok(Ok(stream)) = tokio::time::timeout(PER_ADDRESS, attempt).await {
                // Small requests that wait for their answer.
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
        }
        Err(ConnectError::Refused)
    }

    /// The addresses of `host` that may be connected to, at least one.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = if let Ok(ip) = bare.parse::<IpAddr>() {
            vec![ip]
        } else if is_loopback_name(host) {
            // Never a question for a name server.
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        } else {
            let found = self.resolver.resolve(host.to_owned()).await;
            found.map_err(|_| ConnectError::Lookup)?
        };
        if found.is_empty() {
            return Err(ConnectError::Lookup);
        }
        let allowed: Vec<_> = found
            .into_iter()
            .filter(|ip| self.policy.allows(host, *ip))
            .collect();
        if allowed.is_empty() {
            Err(ConnectError::Forbidden)
        } else {
            Ok(allowed)
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
