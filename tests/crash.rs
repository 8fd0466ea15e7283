//! What the example server acknowledged survives `kill -9` at any moment.
//!
//! A trial starts the server, lets clients and their users work on it at the same time, kills it
//! after a random number of answers, starts it again in the same directory and checks every answer
//! that was given; then it does so once more. 10 trials unless `CRASH_TRIALS` says otherwise. The
//! trials' seeds follow one another from `CRASH_SEED`, so that a trial runs again by itself with
//! `CRASH_SEED=<its seed> CRASH_TRIALS=1`, and a long run goes on where it stopped.
#![cfg(all(feature = "sled", unix))]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
mod outside;

#[path = "common/caller.rs"]
mod caller;
#[path = "crash/check.rs"]
mod check;
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
    let trials = number("CRASH_TRIALS").unwrap_or(10);
    let first = number("CRASH_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut all = Counts::default();
    for trial in 0..trials {
        let seed = first + trial;
        eprintln!("trial {} of {trials}: CRASH_SEED={seed}", trial + 1);
        let counts = run(seed).await;
        eprintln!(
            "  {} answers, {} requests without one, {} giants, {} checks",
            counts.acknowledged, counts.unanswered, counts.giants, counts.checked
        );
        all.acknowledged += counts.acknowledged;
        all.unanswered += counts.unanswered;
        all.checked += counts.checked;
    }
    eprintln!(
        "{trials} trials from CRASH_SEED={first}: {} changes acknowledged, {} requests without an \
         answer, {} checks, 0 lost, 0 resurrected",
        all.acknowledged, all.unanswered, all.checked
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

async fn run(seed: u64) -> Counts {
    let mut rng = Rng::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sled:{}", directory.path().join("auth").display());

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
    server.kill().await;

    let blobs = directory.path().join("auth/blobs").read_dir().unwrap();
    let mut workers = workers.join_all().await;
    let mut counts = Counts {
        acknowledged: usize::try_from(enough).unwrap() + acknowledged.available_permits(),
        giants: blobs.count(),
        ..Counts::default()
    };
    for client in workers.iter().flat_map(|worker| &worker.clients) {
        let asked = client.grants.iter().filter(|grant| grant.asked.is_some());
        counts.unanswered += asked.count();
        counts.unanswered += usize::from(client.deletion == ledger::Deletion::Asked);
    }
    for thorough in [false, true] {
        if rng.one_in(2) {
            die_young(&store, Duration::from_micros(rng.below(100_000))).await;
        }
        let server = Server::start_with(&store, &FLAGS).await;
        let mut checks = JoinSet::new();
        for mut worker in workers.drain(..) {
            worker.reconnect(&server.origin);
            checks.spawn(async move {
                let checked = worker.check(thorough).await;
                (worker, checked.unwrap())
            });
        }
        for (worker, checked) in checks.join_all().await {
            counts.checked += checked;
            workers.push(worker);
        }
        server.kill().await;
    }
    counts
}

/// Works until the server is gone.
async fn work(mut worker: Worker, killed: Arc<AtomicBool>) -> Worker {
    while let Ok(()) = worker.round().await {}
    assert!(
        killed.load(Ordering::SeqCst),
        "a request failed while the server was up"
    );
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
