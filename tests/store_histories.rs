//! Every store answers random histories as the simplest store would: one call after the other,
//! reopened and crashed in between, and many calls at once.
//!
//! More histories than usual: `PROPTEST_CASES=5000 cargo test --all-features --test store_histories`.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod histories;

use std::sync::{Arc, LazyLock};

use histories::{
    calls::{Call, contents},
    plan::{Plan, Step, pause, step},
    reference::Reference,
    tables::Tables,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, FileFailurePersistence},
};
use tokio::{runtime::Runtime, sync::Barrier};
use tower_mcp_auth::{MemoryStore, Timestamp, store::Store};

/// How many calls run at once.
const AT_ONCE: usize = 4;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A kind of store that can be put to the test.
trait Backend {
    type Store: Store;

    /// A store with nothing in it.
    async fn empty() -> Self;

    fn store(&self) -> &Arc<Self::Store>;

    /// Closes the store and opens it again, where there is anything to close.
    async fn reopen(&mut self) {}

    /// As after `kill -9`; false where nothing survives that.
    fn crash(&mut self) -> bool {
        false
    }
}

struct Memory(Arc<MemoryStore>);

impl Backend for Memory {
    type Store = MemoryStore;

    async fn empty() -> Self {
        Self(Arc::default())
    }

    fn store(&self) -> &Arc<MemoryStore> {
        &self.0
    }
}

#[cfg(feature = "sled")]
mod sled {
    use std::{fs, time::Duration};

    use tempfile::TempDir;
    use tower_mcp_auth::store::{SledOptions, SledStore};

    use super::{Arc, Backend};

    pub struct Sled {
        /// `None` only while it is opened anew.
        store: Option<Arc<SledStore>>,
        directory: TempDir,
    }

    fn open(directory: &TempDir) -> Option<Arc<SledStore>> {
        // What is on disk is what was synced: nothing is written in the background.
        let options = SledOptions::default().background_flush(Duration::from_secs(3600));
        let store = SledStore::with_options(directory.path().join("auth"), options).unwrap();
        Some(Arc::new(store))
    }

    impl Backend for Sled {
        type Store = SledStore;

        async fn empty() -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self {
                store: open(&directory),
                directory,
            }
        }

        fn store(&self) -> &Arc<SledStore> {
            self.store.as_ref().unwrap()
        }

        async fn reopen(&mut self) {
            self.store = None;
            self.store = open(&self.directory);
        }

        fn crash(&mut self) -> bool {
            // A copy of the files of an open store is what a killed process leaves.
            let left = tempfile::tempdir().unwrap();
            copy(
                &self.directory.path().join("auth"),
                &left.path().join("auth"),
            );
            self.store = open(&left);
            self.directory = left;
            true
        }
    }

    fn copy(from: &std::path::Path, to: &std::path::Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
}

#[cfg(feature = "postgres")]
#[path = "common/postgres.rs"]
mod databases;

#[cfg(feature = "postgres")]
mod postgres {
    use std::sync::Mutex;

    use tower_mcp_auth::PostgresStore;

    use super::{Arc, Backend, RUNTIME, databases::Database};

    /// Databases to be used again: a new one takes longer than a history.
    static IDLE: Mutex<Vec<Database>> = Mutex::new(Vec::new());

    pub struct Postgres {
        store: Arc<PostgresStore>,
        /// `None` only while it is dropped.
        database: Option<Database>,
    }

    impl Backend for Postgres {
        type Store = PostgresStore;

        async fn empty() -> Self {
            let idle = IDLE.lock().unwrap().pop();
            let database = match idle {
                Some(database) => database,
                None => Database::create().await.unwrap(),
            };
            let store = Arc::new(database.open().await);
            database.clear().await;
            Self {
                store,
                database: Some(database),
            }
        }

        fn store(&self) -> &Arc<PostgresStore> {
            &self.store
        }

        async fn reopen(&mut self) {
            let database = self.database.as_ref().unwrap();
            self.store = Arc::new(database.open().await);
        }
    }

    impl Drop for Postgres {
        fn drop(&mut self) {
            let database = self.database.take();
            IDLE.lock().unwrap().extend(database);
        }
    }

    /// Drops the databases at the end of a test.
    pub struct Server;

    impl Server {
        /// `None`, with a word about it, where there is none.
        pub fn find() -> Option<Self> {
            let database = RUNTIME.block_on(Database::create())?;
            IDLE.lock().unwrap().push(database);
            Some(Self)
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let idle = std::mem::take(&mut *IDLE.lock().unwrap());
            drop(idle);
        }
    }
}

#[cfg(feature = "redis")]
#[path = "common/redis.rs"]
mod redis_server;

#[cfg(feature = "redis")]
mod redis {
    use tower_mcp_auth::RedisStore;

    use super::{Arc, Backend, redis_server::Deployment};

    pub struct Redis {
        store: Arc<RedisStore>,
        deployment: Deployment,
    }

    /// Whether there is a server, with a word about it where there is none.
    pub fn is_there() -> bool {
        Deployment::create().is_some()
    }

    impl Backend for Redis {
        type Store = RedisStore;

        async fn empty() -> Self {
            let deployment = Deployment::create().unwrap();
            Self {
                store: Arc::new(deployment.open().await),
                deployment,
            }
        }

        fn store(&self) -> &Arc<RedisStore> {
            &self.store
        }

        async fn reopen(&mut self) {
            self.store = Arc::new(self.deployment.open().await);
        }
    }
}

/// What happens between two calls.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Reopen,
    Crash,
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        20 => Just(Between::Nothing),
        1 => Just(Between::Reopen),
        1 => Just(Between::Crash),
    ]
}

/// One call after the other.
type Line = Vec<(Step, u64, Between)>;

fn line() -> impl Strategy<Value = Line> {
    vec((step(), pause(), between()), 1..60)
}

/// Runs a history on a store and on the reference.
async fn follow<B: Backend>(line: Line) {
    let (mut backend, reference) = (B::empty().await, Reference::default());
    let (mut plan, mut now) = (Plan::default(), Timestamp::from_secs(1_000_000));
    for (step, pause, between) in line {
        now = now.plus(std::time::Duration::from_secs(pause));
        let call = plan.call(step, now);
        assert_alike(&**backend.store(), &reference, call, now).await;
        match between {
            Between::Nothing => continue,
            Between::Reopen => backend.reopen().await,
            Between::Crash => {
                if backend.crash() {
                    // What waits for a person may be forgotten, so counts would differ.
                    for _ in 0..2 {
                        backend.store().sweep(now, usize::MAX).await.unwrap();
                    }
                    reference.sweep(now, usize::MAX).await.unwrap();
                    reference.forget_as(&**backend.store(), now).await;
                }
            }
        }
        assert_same(&**backend.store(), &reference, &plan, now).await;
    }
    assert_same(&**backend.store(), &reference, &plan, now).await;
}

async fn assert_alike(store: &impl Store, reference: &Reference, call: Call, now: Timestamp) {
    let expected = call.clone().ask(reference, now).await;
    let found = call.clone().ask(store, now).await;
    assert_eq!(found, expected, "{call:?}");
}

async fn assert_same(store: &impl Store, reference: &Reference, plan: &Plan, now: Timestamp) {
    assert_eq!(contents(store).await, contents(reference).await);
    for question in plan.questions() {
        assert_alike(store, reference, question, now).await;
    }
}

/// Calls one after the other, then some at once, and so on.
type Rounds = Vec<(Vec<Step>, Vec<Step>, u64)>;

fn rounds() -> impl Strategy<Value = Rounds> {
    let round = (vec(step(), 0..5), vec(step(), 2..=AT_ONCE), pause());
    vec(round, 1..8)
}

/// Runs rounds on a store; there must be an order of the calls in which the reference answers all
/// of them alike, and holds the same afterwards.
async fn interleave<B: Backend>(rounds: Rounds) {
    let backend = B::empty().await;
    let store = backend.store();
    let (mut plan, mut now) = (Plan::default(), Timestamp::from_secs(1_000_000));
    let mut possible = vec![Tables::default()];
    for (first, at_once, pause) in rounds {
        now = now.plus(std::time::Duration::from_secs(pause));
        for step in first {
            let call = plan.call(step, now);
            let answer = call.clone().ask(&**store, now).await;
            possible = orders(possible, &[(call, answer)], now).await;
        }
        let calls: Vec<_> = at_once.iter().map(|step| plan.call(*step, now)).collect();
        let answered = ask_at_once(store, calls, now).await;
        let orders = orders(possible, &answered, now).await;
        let found = contents(&**store).await;
        possible = Vec::new();
        for tables in orders {
            if contents(&Reference::from(tables.clone())).await == found {
                possible.push(tables);
            }
        }
        assert!(!possible.is_empty(), "no order explains {answered:#?}");
    }
}

async fn ask_at_once<S: Store>(
    store: &Arc<S>,
    calls: Vec<Call>,
    now: Timestamp,
) -> Vec<(Call, String)> {
    let gate = Arc::new(Barrier::new(calls.len()));
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let (store, gate) = (Arc::clone(store), Arc::clone(&gate));
            tokio::spawn(async move {
                gate.wait().await;
                let answer = call.clone().ask(&*store, now).await;
                (call, answer)
            })
        })
        .collect();
    let mut answered = Vec::new();
    for task in tasks {
        answered.push(task.await.unwrap());
    }
    answered
}

/// What may be stored after calls that gave these answers, in any order.
async fn orders(possible: Vec<Tables>, answered: &[(Call, String)], now: Timestamp) -> Vec<Tables> {
    // What is stored, and which calls are still to come.
    let mut open: Vec<(Tables, Vec<usize>)> = possible
        .into_iter()
        .map(|tables| (tables, (0..answered.len()).collect()))
        .collect();
    let mut done = Vec::new();
    while let Some((tables, left)) = open.pop() {
        if left.is_empty() {
            if !done.contains(&tables) {
                done.push(tables);
            }
            continue;
        }
        for next in &left {
            let (call, answer) = &answered[*next];
            let reference = Reference::from(tables.clone());
            if call.clone().ask(&reference, now).await == *answer {
                let left = left.iter().filter(|other| *other != next).copied();
                let state = (reference.tables(), left.collect());
                if !open.contains(&state) {
                    open.push(state);
                }
            }
        }
    }
    assert!(!done.is_empty(), "no order explains {answered:#?}");
    done
}

fn config(usual: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: cases.map_or(usual, |cases| cases.parse().unwrap()),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config(800))]

    #[test]
    fn memory_answers_as_the_reference(line in line()) {
        RUNTIME.block_on(follow::<Memory>(line));
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn calls_at_once_on_memory_have_an_order(rounds in rounds()) {
        RUNTIME.block_on(interleave::<Memory>(rounds));
    }
}

#[cfg(feature = "sled")]
proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn sled_answers_as_the_reference(line in line()) {
        RUNTIME.block_on(follow::<sled::Sled>(line));
    }

    #[test]
    fn calls_at_once_on_sled_have_an_order(rounds in rounds()) {
        RUNTIME.block_on(interleave::<sled::Sled>(rounds));
    }
}

/// Runs a property as the macro would, with databases that are dropped at its end.
#[cfg(feature = "postgres")]
fn on_postgres<S: Strategy>(histories: S, run: impl Fn(S::Value)) {
    let Some(_server) = postgres::Server::find() else {
        return;
    };
    let config = Config {
        source_file: Some(file!()),
        ..config(24)
    };
    let result = proptest::test_runner::TestRunner::new(config).run(&histories, |history| {
        run(history);
        Ok(())
    });
    result.unwrap_or_else(|failed| panic!("{failed}"));
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_answers_as_the_reference() {
    on_postgres(line(), |line| {
        RUNTIME.block_on(follow::<postgres::Postgres>(line));
    });
}

#[cfg(feature = "postgres")]
#[test]
fn calls_at_once_on_postgres_have_an_order() {
    on_postgres(rounds(), |rounds| {
        RUNTIME.block_on(interleave::<postgres::Postgres>(rounds));
    });
}

#[cfg(feature = "redis")]
proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn redis_answers_as_the_reference(line in line()) {
        if redis::is_there() {
            RUNTIME.block_on(follow::<redis::Redis>(line));
        }
    }

    #[test]
    fn calls_at_once_on_redis_have_an_order(rounds in rounds()) {
        if redis::is_there() {
            RUNTIME.block_on(interleave::<redis::Redis>(rounds));
        }
    }
}
