//! The connection: to one server, or to whichever node of a cluster has the deployment's keys.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, ProtocolVersion, RedisError, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
    io::tcp::TcpSettings,
};
use tokio::time::{sleep, timeout};

use super::{call::Call, error::Late};
use crate::store::{StoreError, server_clock::ServerClock};

/// Between two attempts to connect, or to be served: at first, and at most.
const WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// As long as nobody waits: a deadline may be longer than clocks go.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);
/// How a script answers that does nothing any more: with what time it is.
const LATE: &str = "LATE";

#[derive(Clone)]
enum Connection {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

/// Answers within a time limit, or fails. Connects again by itself.
#[derive(Clone)]
pub(super) struct Link {
    connection: Connection,
    deadline: Duration,
    clock: ServerClock,
}

impl Link {
    /// Connects to the first of `nodes` that answers, and finds out whether it is a cluster's.
    pub(super) async fn connect(
        nodes: &[ConnectionInfo],
        deadline: Duration,
    ) -> Result<Self, StoreError> {
        in_time(deadline, connect(nodes, deadline)).await
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.connection, Connection::Cluster(_))
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Runs a script.
    pub(super) async fn call<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, StoreError> {
        self.patiently(Ask::Script(call)).await
    }

    /// Runs a single command that names a key.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.patiently(Ask::Command(command)).await
    }

    /// Runs a command that names no key at the node that has `key`.
    pub(super) async fn query_at<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        if !self.is_cluster() {
            return self.query(command).await;
        }
        let slot: u16 = {
            let mut command = ::redis::cmd("CLUSTER");
            self.query(command.arg("KEYSLOT").arg(key)).await?
        };
        let route = Route::new(slot, SlotAddr::Master);
        self.patiently(Ask::At(route, command)).await
    }

    /// Tries again as long as the server says that it did nothing. Whatever else fails has failed:
    /// a script whose answer was lost may have run, and must not run twice. One that has not run by
    /// then does not run any more.
    async fn patiently<T: FromRedisValue>(&self, ask: Ask<'_>) -> Result<T, StoreError> {
        // A store is asked from deep within other futures, which this keeps small.
        let attempts = Box::pin(async {
            let last = Instant::now() + (self.deadline / 8 * 7).min(LONG);
            let mut wait = WAIT.0;
            loop {
                let too_late = self.clock.at(last);
                match self.attempt(&ask, too_late).await {
                    Err(error) if error.code() == Some(LATE) => {
                        self.clock.heard(told(&error)?);
                        if too_late > 0 {
                            sleep(wait).await;
                        }
                    }
                    Err(error) if is(&error, ServerErrorKind::ReadOnly) => {
                        self.leave().await;
                        sleep(wait).await;
                        wait = (wait * 2).min(WAIT.1);
                    }
                    Err(error) if is_not_now(&error) => {
                        sleep(wait).await;
                        wait = (wait * 2).min(WAIT.1);
                    }
                    answer => return Ok(T::from_redis_value(answer?.extract_error()?)?),
                }
            }
        });
        in_time(self.deadline, attempts).await
    }

    async fn attempt(&self, ask: &Ask<'_>, too_late: u64) -> RedisResult<Value> {
        match ask {
            Ask::Script(call) => match self.send(&call.by_hash(too_late)).await {
                // It never ran. In full it becomes known to the very node that must run it.
                Err(error) if is(&error, ServerErrorKind::NoScript) => {
                    self.send(&call.in_full(too_late)).await
                }
                answer => answer,
            },
            Ask::Command(command) => self.send(command).await,
            Ask::At(route, command) => match &self.connection {
                Connection::One(_) => self.send(command).await,
                Connection::Cluster(cluster) => {
                    let node = SingleNodeRoutingInfo::SpecificNode(*route);
                    let routing = RoutingInfo::SingleNode(node);
                    let mut cluster = cluster.clone();
                    cluster.route_command((*command).clone(), routing).await
                }
            },
        }
    }

    /// The server is a replica now, and took nothing. A new connection may lead to the one that was
    /// put in its place; a cluster says by itself which one that is.
    async fn leave(&self) {
        if let Connection::One(one) = &self.connection {
            let quit = ::redis::cmd("QUIT");
            let _: RedisResult<Value> = quit.query_async(&mut one.clone()).await;
        }
    }

    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        match &self.connection {
            Connection::One(one) => command.query_async(&mut one.clone()).await,
            Connection::Cluster(cluster) => command.query_async(&mut cluster.clone()).await,
        }
    }
}

/// What to send.
enum Ask<'a> {
    Script(&'a Call<'a>),
    Command(&'a Cmd),
    At(Route, &'a Cmd),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("cluster", &self.is_cluster())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Where to connect to.
pub(super) fn nodes(
    urls: &[String],
    deadline: Duration,
) -> Result<Vec<ConnectionInfo>, StoreError> {
    let nodes = urls.iter().map(|url| connection_info(url, deadline));
    nodes
        .collect::<RedisResult<_>>()
        .map_err(StoreError::unavailable)
}

pub(super) async fn in_time<T>(
    deadline: Duration,
    work: impl Future<Output = RedisResult<T>>,
) -> Result<T, StoreError> {
    match timeout(deadline, work).await {
        Ok(answer) => answer.map_err(StoreError::unavailable),
        Err(_) => Err(StoreError::unavailable(Late(deadline))),
    }
}

fn connection_info(url: &str, deadline: Duration) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        provide_cryptography();
    }
    // With the third version of the protocol a lost connection is noticed, and made anew, before
    // somebody needs it.
    let settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    let tcp = tcp_settings(deadline);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp))
}

/// The library panics where the program has not chosen an implementation, and more than one is
/// compiled in.
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that somebody else was faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// A peer that is gone without a word is noticed.
fn tcp_settings(deadline: Duration) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(deadline);
    #[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
    let _ = deadline;
    settings
}

async fn connect(nodes: &[ConnectionInfo], deadline: Duration) -> RedisResult<Link> {
    let mut failed = RedisError::from((ErrorKind::InvalidClientConfig, "no server is named"));
    for node in nodes {
        match is_of_cluster(node, deadline).await {
            Ok(is_of_cluster) => {
                let connection = if is_of_cluster {
                    Connection::Cluster(cluster(nodes, deadline).await?)
                } else {
                    Connection::One(one(node.clone(), deadline).await?)
                };
                return Ok(Link {
                    connection,
                    deadline,
                    clock: ServerClock::default(),
                });
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Asks a server what it is; here a wrong password shows.
async fn is_of_cluster(node: &ConnectionInfo, deadline: Duration) -> RedisResult<bool> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(deadline))
        .set_response_timeout(Some(deadline));
    let client = Client::open(node.clone())?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let hello: HashMap<String, Value> = ::redis::cmd("HELLO").query_async(&mut connection).await?;
    Ok(hello.get("mode") == Some(&Value::BulkString(b"cluster".to_vec())))
}

async fn one(node: ConnectionInfo, deadline: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_min_delay(WAIT.0)
        .set_max_delay(WAIT.1)
        // The callers' deadlines are what ends their waiting.
        .set_number_of_retries(usize::MAX)
        .set_connection_timeout(Some(deadline))
        .set_response_timeout(Some(deadline));
    ConnectionManager::new_with_config(Client::open(node)?, config).await
}

async fn cluster(nodes: &[ConnectionInfo], deadline: Duration) -> RedisResult<ClusterConnection> {
    let client = ClusterClient::builder(nodes.iter().cloned())
        .use_protocol(ProtocolVersion::RESP3)
        .tcp_settings(tcp_settings(deadline))
        // It would also try again what may have been done.
        .retries(0)
        .connection_timeout(deadline)
        .response_timeout(deadline)
        .build()?;
    client.get_async_connection().await
}

fn is(error: &RedisError, kind: ServerErrorKind) -> bool {
    error.kind() == ErrorKind::Server(kind)
}

/// What time it is, by a script that is too late.
fn told(error: &RedisError) -> RedisResult<u64> {
    let time = error.detail().and_then(|time| time.parse().ok());
    time.ok_or_else(|| (ErrorKind::Parse, "LATE is followed by the time").into())
}

/// Whether the server refused before it did anything, and may be ready soon.
fn is_not_now(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
        )
    )
}
