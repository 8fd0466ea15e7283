//! What the example server acknowledged survives `kill -9` at any moment.
//!
//! A trial starts the server, lets clients and their users work on it at the same time, kills it
//! after a random number of answers, starts it again on the same store and checks every answer
//! that was given; then it does so once more. Where the store is a database server, that is killed
//! too: the one, the other, or both. A few trials unless `CRASH_TRIALS` says otherwise. The trials'
//! seeds follow one another from `CRASH_SEED`, so that a trial runs again by itself with
//! `CRASH_SEED=<its seed> CRASH_TRIALS=1`, and a long run goes on where it stopped.
#![cfg(all(feature = "sled", unix))]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
mod nodes;
mod outside;

#[path = "common/caller.rs"]
mod caller;
#[path = "crash/check.rs"]
mod check;
#[path = "crash/kept.rs"]
mod kept;
#[path = "crash/ledger.rs"]
mod ledger;
#[path = "crash/rng.rs"]
mod rng;
#[path = "crash/worker.rs"]
mod worker;

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{process::Command, sync::Semaphore, task::JoinSet};

use self::{
    caller::PUBLIC,
    check::RESOURCE_SERVER,
    kept::Kept,
    outside::{Server, server::binary},
    rng::Rng,
    worker::Worker,
};

/// How many clients work at once.
const WORKERS: u64 = 8;
/// The longest grace that can be had: no restart takes so long.
const FLAGS: [&str; 8] = [
    "--public-url",
    PUBLIC,
    "--client",
    RESOURCE_SERVER,
    "--rate-limit",
    "off",
    "--refresh-grace",
    "300",
];

#[derive(Default)]
struct Counts {
    acknowledged: usize,
    unanswered: usize,
    checked: usize,
    /// What sled kept in files of their own when it died.
    giants: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_revoked_comes_back() {
    let mut trials = Trials::new(10);
    while let Some(seed) = trials.next() {
        trials.count(run(seed, &mut Kept::directory()).await);
    }
    trials.end();
}

#[cfg(all(feature = "postgres", feature = "redis"))]
mod engines {
    use super::{Kept, Trials, run};
    use crate::nodes::engine::{Engine, Kind};

    /// All trials in one database: its files grow old, as they do elsewhere.
    async fn nothing_is_lost(kind: Kind) {
        let Some(engine) = Engine::start(kind).await else {
            return;
        };
        let mut kept = Kept::Engine(Box::new(engine));
        let mut trials = Trials::new(3);
        while let Some(seed) = trials.next() {
            trials.count(run(seed, &mut kept).await);
        }
        trials.end();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_lost_in_postgres() {
        nothing_is_lost(Kind::Postgres).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_lost_in_redis() {
        nothing_is_lost(Kind::Redis).await;
    }
}

/// Seeds to try, and what came of them.
struct Trials {
    first: u64,
    begun: u64,
    many: u64,
    all: Counts,
}

impl Trials {
    fn new(many: u64) -> Self {
        Self {
            first: number("CRASH_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>())),
            begun: 0,
            many: number("CRASH_TRIALS").unwrap_or(many),
            all: Counts::default(),
        }
    }

    fn next(&mut self) -> Option<u64> {
        let seed = self.first + self.begun;
        self.begun += 1;
        (self.begun <= self.many).then(|| {
            eprintln!("trial {} of {}: CRASH_SEED={seed}", self.begun, self.many);
            seed
        })
    }

    fn count(&mut self, counts: Counts) {
        eprintln!(
            "  {} answers, {} requests without one, {} giants, {} checks",
            counts.acknowledged, counts.unanswered, counts.giants, counts.checked
        );
        self.all.acknowledged += counts.acknowledged;
        self.all.unanswered += counts.unanswered;
        self.all.checked += counts.checked;
    }

    fn end(self) {
        eprintln!(
            "{} trials from CRASH_SEED={}: {} changes acknowledged, {} requests without an \
             answer, {} checks, 0 lost, 0 resurrected",
            self.many, self.first, self.all.acknowledged, self.all.unanswered, self.all.checked
        );
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

async fn run(seed: u64, kept: &mut Kept) -> Counts {
    let mut rng = Rng::new(seed);
    let store = kept.url();
    let server = Server::start_with(&store, &FLAGS).await;
    let acknowledged = Arc::new(Semaphore::new(0));
    let killed = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let chance = Rng::new(rng.next());
        let worker = Worker::new(&server.origin, number, chance, acknowledged.clone());
        workers.spawn(work(worker, killed.clone()));
    }
    let enough = 1 + u32::try_from(rng.below(most())).unwrap();
    // A worker that failed ends before the others.
    tokio::select! {
        reached = acknowledged.acquire_many(enough) => reached.unwrap().forget(),
        ended = workers.join_next() => {
            let ended = ended.unwrap().map(|_| ());
            panic!("CRASH_SEED={seed}: ended early: {ended:?}");
        }
    }
    // Not always just after an answer.
    tokio::time::sleep(Duration::from_micros(rng.below(5000))).await;
    killed.store(true, Ordering::SeqCst);
    let mut lives = kept.crash(server, &mut rng).await;

    let mut workers = workers.join_all().await;
    let mut counts = Counts {
        acknowledged: usize::try_from(enough).unwrap() + acknowledged.available_permits(),
        giants: kept.giants(),
        ..Counts::default()
    };
    for client in workers.iter().flat_map(|worker| &worker.clients) {
        let asked = client.grants.iter().filter(|grant| grant.asked.is_some());
        counts.unanswered += asked.count();
        counts.unanswered += usize::from(client.deletion == ledger::Deletion::Asked);
    }
    for thorough in [false, true] {
        let server = match lives {
            Some(server) => server,
            None => {
                if rng.one_in(2) {
                    die_young(&store, Duration::from_micros(rng.below(100_000))).await;
                }
                Server::start_with(&store, &FLAGS).await
            }
        };
        let mut checks = JoinSet::new();
        for mut worker in workers.drain(..) {
            worker.reconnect(&server.origin);
            checks.spawn(async move {
                let checked = worker.check_when_up(thorough).await;
                (worker, checked.unwrap())
            });
        }
        for (worker, checked) in checks.join_all().await {
            counts.checked += checked;
            workers.push(worker);
        }
        lives = kept.crash(server, &mut rng).await;
    }
    counts
}

/// Works until the server is gone; or its database, which may be back before anybody noticed.
async fn work(mut worker: Worker, killed: Arc<AtomicBool>) -> Worker {
    let killed = || killed.load(Ordering::SeqCst);
    while !killed() {
        let done = worker.round().await;
        assert!(done.is_ok() || killed(), "while all was up: {done:?}");
    }
    worker
}

/// A debug build answers more slowly, and the normal run is to be short.
fn most() -> u64 {
    match cfg!(debug_assertions) {
        true => 60,
        false => 500,
    }
}

/// Starts the server and kills it while it starts: what it repairs must bear that too.
async fn die_young(store: &str, age: Duration) {
    let mut child = Command::new(binary())
        .args(["--listen", "127.0.0.1:0", "--store", store])
        .args(FLAGS)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    tokio::time::sleep(age).await;
    child.kill().await.unwrap();
}
