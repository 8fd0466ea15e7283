//! Databases of a PostgreSQL server, each for one test.
//!
//! The server is that of `TEST_POSTGRES_URL`, or the one of this machine.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{io::Write, thread, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;
use tower_mcp_auth::PostgresStore;

const SERVER: &str = "postgres://postgres@127.0.0.1:5432/postgres";

/// The server's own database, from which others are created.
pub fn server() -> PgConnectOptions {
    let url = std::env::var("TEST_POSTGRES_URL").unwrap_or_else(|_| SERVER.to_owned());
    url.parse()
        .expect("TEST_POSTGRES_URL is the URL of a database")
}

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

/// A store with as much patience as a loaded machine takes.
pub async fn open(options: PgConnectOptions) -> PostgresStore {
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_secs(120))
        .test_before_acquire(false)
        .connect_lazy_with(options.disable_statement_logging());
    PostgresStore::new(pool).await.unwrap()
}

/// An empty database, gone when dropped.
pub struct Database {
    name: String,
}

impl Database {
    /// `None`, with a word about it, where there is no server.
    pub async fn create() -> Option<Self> {
        let server = server();
        let connected = timeout(Duration::from_secs(10), server.connect()).await;
        let mut connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                skip(&format!("no PostgreSQL server: {error}"));
                return None;
            }
            Err(_) => {
                skip("no PostgreSQL server answers in time");
                return None;
            }
        };
        let name = format!("tma_{:016x}", rand_number());
        // The other template may be in use by somebody who creates one as well.
        let create = format!("create database {name} template template0 encoding 'UTF8'");
        connection.execute(AssertSqlSafe(create)).await.unwrap();
        connection.close().await.unwrap();
        Some(Self { name })
    }

    pub fn options(&self) -> PgConnectOptions {
        server().database(&self.name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    pub async fn open(&self) -> PostgresStore {
        open(self.options()).await
    }

    /// Empties it, in far less time than a new one takes.
    pub async fn clear(&self) {
        let mut connection = self.connect().await;
        for table in [
            "clients",
            "pending_authorizations",
            "codes",
            "grants",
            "access_tokens",
            "refresh_tokens",
            "consents",
            "devices",
            "used",
            "keys",
        ] {
            let clear = format!("delete from tower_mcp_auth.{table}");
            connection.execute(AssertSqlSafe(clear)).await.unwrap();
        }
        let counters = "update tower_mcp_auth.counters set n = 0";
        connection.execute(counters).await.unwrap();
    }

    /// A connection for questions that the store does not answer.
    pub async fn connect(&self) -> sqlx::PgConnection {
        self.options().connect().await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A runtime cannot be entered from within another.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut connection = server().connect().await.unwrap();
                let drop = format!("drop database {name} with (force)");
                connection.execute(AssertSqlSafe(drop)).await.unwrap();
            });
        });
        let dropped = dropping.join();
        assert!(
            dropped.is_ok() || thread::panicking(),
            "the database is dropped"
        );
    }
}

fn rand_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
