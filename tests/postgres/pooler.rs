//! Behind pgbouncer, which hands out a session per transaction.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use tempfile::TempDir;
use tower_mcp_auth::{
    PostgresStore, StoreError,
    store::{PostgresOptions, Store, contract},
};

use super::{
    databases::{Database, open, server, skip},
    flow::Flow,
    until,
};

/// A pgbouncer of one test, gone when dropped.
struct Pooler {
    process: Child,
    program: PathBuf,
    directory: TempDir,
    port: u16,
}

impl Pooler {
    /// `None`, with a word about it, where there is no pgbouncer.
    async fn start() -> Option<Self> {
        // Debian installs it for administrators only.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .chain(["/usr/sbin".into()])
            .map(|directory| directory.join("pgbouncer"))
            .find(|program| program.exists());
        let Some(program) = program else {
            skip("pgbouncer is not installed");
            return None;
        };
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let directory = tempfile::tempdir().unwrap();
        let server = server();
        let url = server.to_url_lossy();
        let password = url
            .password()
            .map(|password| format!(" password='{password}'"));
        // Three sessions for everybody: whoever leaves something in one will be missed in another.
        // Settings are swallowed, as they often are: such a one is not told apart at the door.
        let config = format!(
            "[databases]\n\
             * = host={} port={} user={}{}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = 3\n\
             ignore_startup_parameters = options\n\
             max_client_conn = 500\n",
            server.get_host(),
            server.get_port(),
            server.get_username(),
            password.unwrap_or_default(),
        );
        fs::write(directory.path().join("pgbouncer.ini"), config).unwrap();
        let process = spawn(&program, &directory);
        let pooler = Self {
            process,
            program,
            directory,
            port,
        };
        pooler.answers().await;
        Some(pooler)
    }

    async fn answers(&self) {
        let server = self.through(&server());
        until("pgbouncer answers", async || server.connect().await.is_ok()).await;
    }

    /// The way to a database through this.
    fn through(&self, options: &PgConnectOptions) -> PgConnectOptions {
        let options = options.clone().host("127.0.0.1").port(self.port);
        options.extra_float_digits(None)
    }

    fn url(&self, database: &Database) -> String {
        let url = self.through(&database.options()).to_url_lossy();
        url.to_string()
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(program: &PathBuf, directory: &TempDir) -> Child {
    let mut command = Command::new(program);
    command.args(["--quiet", "pgbouncer.ini"]);
    let id = Command::new("id").arg("-u").output().unwrap();
    // It refuses to run as root, but knows how to become somebody else.
    if id.stdout == b"0\n" {
        command.args(["-u", "nobody"]);
    }
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_contract_is_kept_behind_a_pooler() {
    let Some(first) = Database::create().await else {
        return;
    };
    let Some(pooler) = Pooler::start().await else {
        return;
    };
    let second = Database::create().await.unwrap();
    let [one, other] = [&first, &second];
    let count = std::cell::Cell::new(0);
    contract::run(async || {
        count.set(count.get() + 1);
        let database = if count.get() % 2 == 0 { one } else { other };
        let store = open(pooler.through(&database.options())).await;
        database.clear().await;
        store
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_takes_the_direct_way_and_trusts_no_pooler() {
    let Some(database) = Database::create().await else {
        return;
    };
    let Some(pooler) = Pooler::start().await else {
        return;
    };
    let pooled = pooler.url(&database);
    let options = PostgresOptions::default().direct_url(database.url());
    let store = PostgresStore::connect_with(&pooled, options).await.unwrap();
    let direct = Store::feed(&store).unwrap();
    until("the direct way works", async || direct.is_current()).await;
    let beat = direct.stale_after() / 10;
    drop((store, direct));
    let mut watch = database.options().connect().await.unwrap();
    let mut listening = async || -> bool {
        let sessions = "select exists (select from pg_stat_activity \
            where datname = current_database() and query ilike 'listen %')";
        sqlx::query_scalar(sessions)
            .fetch_one(&mut watch)
            .await
            .unwrap()
    };
    until("nobody listens any more", async || !listening().await).await;

    // As many beats as would have been enough by far.
    let store = PostgresStore::connect(&pooled).await.unwrap();
    let swallowed = Store::feed(&store).unwrap();
    for _ in 0..20 {
        Flow::new("x").redeem(&store).await;
        assert!(!swallowed.is_current(), "a pooler swallows what is told");
        database.clear().await;
        let next = tokio::time::Instant::now() + beat;
        while tokio::time::Instant::now() < next {
            assert!(!listening().await, "a session that others use listens");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_a_while_costs_errors_and_nothing_else() {
    let Some(database) = Database::create().await else {
        return;
    };
    let Some(mut pooler) = Pooler::start().await else {
        return;
    };
    let store = PostgresStore::connect(&pooler.url(&database))
        .await
        .unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    pooler.stop();
    let away = flow.is_live(&store).await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    let away = Flow::new("y").try_redeem(&store).await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    pooler.process = spawn(&pooler.program, &pooler.directory);
    pooler.answers().await;
    until("it heals", async || {
        matches!(flow.is_live(&store).await, Ok(true))
    })
    .await;
    Flow::new("z").redeem(&store).await;
}
