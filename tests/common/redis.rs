//! Redis servers: the one that is there, with keys for each test, and some of the tests' own.
//!
//! The server that is there is that of `TEST_REDIS_URL`, or the one of this machine.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    hash::{BuildHasher, RandomState},
    io::Write,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::{Client, Connection, RedisResult};
use tempfile::TempDir;
use tower_mcp_auth::RedisStore;

const SERVER: &str = "redis://127.0.0.1:6379";
/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says so where the test harness does not swallow it, or fails where nothing may be missing.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{why}; nothing may be skipped where CI is set"
    );
    let test = thread::current();
    let test = test.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The keys of one test, gone when dropped.
pub struct Deployment {
    pub url: String,
    pub prefix: String,
}

impl Deployment {
    /// Keys at the server that is there; `None`, with a word about it, where there is none.
    pub fn create() -> Option<Self> {
        let url = std::env::var("TEST_REDIS_URL").unwrap_or_else(|_| SERVER.to_owned());
        let deployment = Self::at(url);
        match deployment.try_connect() {
            Ok(_) => Some(deployment),
            Err(error) => {
                skip(&format!("no Redis server: {error}"));
                None
            }
        }
    }

    pub fn at(url: impl Into<String>) -> Self {
        let number = RandomState::new().hash_one(std::process::id());
        Self {
            url: url.into(),
            prefix: format!("test-{number:016x}"),
        }
    }

    fn try_connect(&self) -> RedisResult<Connection> {
        Client::open(&*self.url)?.get_connection_with_timeout(Duration::from_secs(10))
    }

    /// A connection for questions that the store does not answer.
    pub fn connect(&self) -> Connection {
        self.try_connect().unwrap()
    }

    pub async fn open(&self) -> RedisStore {
        let builder = RedisStore::builder(&*self.url).prefix(&*self.prefix);
        builder.connect().await.unwrap()
    }

    pub fn keys(&self) -> Vec<String> {
        let mut connection = self.connect();
        let mut keys = redis::cmd("SCAN");
        let keys = keys
            .cursor_arg(0)
            .arg("MATCH")
            .arg(format!("{{{}}}:*", self.prefix))
            .arg("COUNT")
            .arg(1000);
        let found = keys.clone().iter::<String>(&mut connection).unwrap();
        found.map(Result::unwrap).collect()
    }

    /// As if so much time had passed for Redis, and for nobody else.
    pub fn let_redis_age(&self, by: Duration) {
        let mut connection = self.connect();
        for key in self.keys() {
            let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
            if left >= 0 {
                let left = left.saturating_sub(i64::try_from(by.as_millis()).unwrap());
                let mut command = redis::cmd("PEXPIRE");
                let _: () = command.arg(&key).arg(left).query(&mut connection).unwrap();
            }
        }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        // A server of the test's own may be gone by now.
        if self.try_connect().is_ok() {
            for keys in self.keys().chunks(500) {
                let _: () = redis::cmd("DEL")
                    .arg(keys)
                    .query(&mut self.connect())
                    .unwrap();
            }
        }
    }
}

/// A server of the test's own, in a directory of its own.
pub struct Server {
    child: Child,
    settings: Vec<String>,
    directory: TempDir,
    pub port: u16,
}

impl Server {
    /// With what stands on its command line; `None`, with a word about it, where there is no Redis.
    pub fn start(settings: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let settings: Vec<_> = settings.iter().map(|word| (*word).to_owned()).collect();
        let child = match spawn(&directory, port, &settings) {
            Ok(child) => child,
            Err(error) => {
                skip(&format!("no redis-server: {error}"));
                return None;
            }
        };
        let server = Self {
            child,
            settings,
            directory,
            port,
        };
        server.wait();
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Waits until it has read its files, or asks for a password.
    fn wait(&self) {
        until("the server starts", || {
            let client = Client::open(self.url()).unwrap();
            let connection = client.get_connection_with_timeout(Duration::from_secs(1));
            connection.is_ok_and(|mut connection| {
                match redis::cmd("PING").query::<String>(&mut connection) {
                    Ok(_) => true,
                    Err(error) => error.code() == Some("NOAUTH"),
                }
            })
        });
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.directory, self.port, &self.settings).unwrap();
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &TempDir, port: u16, settings: &[String]) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--daemonize", "no", "--dir"])
        .arg(directory.path())
        .args(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Three masters.
pub struct Cluster(pub Vec<Server>);

impl Cluster {
    pub fn start() -> Option<Self> {
        let mut servers = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            let settings = [
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ];
            servers.push(Server::start(&settings)?);
        }
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(servers.iter().map(|one| format!("127.0.0.1:{}", one.port)))
            .args(["--cluster-replicas", "0", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(created.status.success(), "{created:?}");
        let cluster = Self(servers);
        cluster.wait();
        Some(cluster)
    }

    /// Waits until every node says that the cluster is well.
    pub fn wait(&self) {
        for server in &self.0 {
            until("the cluster is well", || {
                let mut connection = Client::open(server.url())
                    .unwrap()
                    .get_connection()
                    .unwrap();
                let mut command = redis::cmd("CLUSTER");
                let info: String = command.arg("INFO").query(&mut connection).unwrap();
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            });
        }
    }

    /// Which node has the keys of a deployment.
    pub fn owner_of(&self, deployment: &Deployment) -> usize {
        // `redis-cli --cluster create` deals the 16384 slots out in order.
        usize::from(self.slot_of(deployment)) * 3 / 16384
    }

    fn slot_of(&self, deployment: &Deployment) -> u16 {
        let key = format!("{{{}}}:schema", deployment.prefix);
        self.ask(0, &["CLUSTER", "KEYSLOT", &key])
    }

    fn ask<T: redis::FromRedisValue>(&self, node: usize, words: &[&str]) -> T {
        let client = Client::open(self.0[node].url()).unwrap();
        let mut command = redis::Cmd::new();
        let command = words
            .iter()
            .fold(&mut command, |command, word| command.arg(word));
        command
            .query(&mut client.get_connection().unwrap())
            .unwrap()
    }

    /// Moves all keys of a deployment to another node.
    pub fn move_slot(&self, deployment: &Deployment, from: usize, to: usize) {
        let slot = self.slot_of(deployment).to_string();
        let [source, target]: [String; 2] =
            [from, to].map(|node| self.ask(node, &["CLUSTER", "MYID"]));
        let set_slot = |node, words: &[&str]| -> () {
            self.ask(node, &[&["CLUSTER", "SETSLOT", &slot], words].concat())
        };
        set_slot(to, &["IMPORTING", &source]);
        set_slot(from, &["MIGRATING", &target]);
        let keys: Vec<String> = self.ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]);
        let port = self.0[to].port.to_string();
        for key in keys {
            let moved: String = self.ask(from, &["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]);
            assert_eq!(moved, "OK");
        }
        for node in [to, from] {
            set_slot(node, &["NODE", &target]);
        }
    }
}
