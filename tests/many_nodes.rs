//! Three machines with one database between them are one authorization server: whatever reaches
//! which machine, whoever dies meanwhile.
#![cfg(all(feature = "postgres", feature = "redis"))]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
mod nodes;
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

#[path = "many_nodes/listening.rs"]
mod listening;
#[path = "many_nodes/load.rs"]
mod load;
#[path = "many_nodes/operations.rs"]
mod operations;
#[path = "many_nodes/partition.rs"]
mod partition;
#[path = "many_nodes/revocation.rs"]
mod revocation;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use tokio::{process::Command, sync::Semaphore, task::JoinSet};

use self::{
    caller::{Broken, Caller, PUBLIC},
    check::RESOURCE_SERVER,
    common::{Answer, CALLBACK, Tokens, VERIFIER},
    listening::many_machines_listen,
    load::one_machine_and_its_database_bear_all_there_is,
    nodes::{
        engine::{Engine, Kind},
        proxy::Proxy,
    },
    operations::each_request_asks_as_often_as_the_docs_say,
    outside::{
        Server, run,
        scripts::{node, python},
    },
    partition::no_machine_serves_what_it_did_not_hear_was_revoked,
    revocation::a_revocation_is_in_force_everywhere,
    rng::Rng,
    worker::Worker,
};

const NODES: usize = 3;
/// What a revocation may take to be in force everywhere, whatever happens.
const BOUND: Duration = Duration::from_secs(1);

fn flags(public: &str) -> [&str; 10] {
    [
        "--public-url",
        public,
        "--client",
        RESOURCE_SERVER,
        "--rate-limit",
        "off",
        "--refresh-grace",
        "300",
        "--session-key",
        "a key that all of these machines share",
    ]
}

/// Machines that share a database and a key for sign-in cookies.
struct Nodes {
    engine: Engine,
    servers: Vec<Server>,
}

impl Nodes {
    async fn start(kind: Kind) -> Option<Self> {
        Self::start_as(kind, PUBLIC).await
    }

    async fn start_as(kind: Kind, public: &str) -> Option<Self> {
        let engine = Engine::start(kind).await?;
        // All at once, on an empty database.
        let mut starting = JoinSet::new();
        for _ in 0..NODES {
            let (url, public) = (engine.url(), public.to_owned());
            starting.spawn(async move { Server::start_with(&url, &flags(&public)).await });
        }
        let servers = starting.join_all().await;
        Some(Self { engine, servers })
    }

    fn origins(&self) -> Vec<String> {
        let servers = self.servers.iter();
        servers.map(|server| server.origin.clone()).collect()
    }

    fn worker(&self, number: u64) -> Worker {
        Worker::over(
            &self.origins(),
            number,
            Rng::new(number),
            Arc::new(Semaphore::new(0)),
        )
    }

    /// A client, its user, and a code of theirs.
    async fn code(&self) -> (Caller, String, String) {
        let mut caller = Caller::over(&self.origins(), "alice");
        let client = caller.public_client("A client").await;
        let code = caller.approve(&client).await.unwrap();
        (caller, client, code)
    }

    async fn tokens(&self) -> (Caller, String, Tokens) {
        let (caller, client, code) = self.code().await;
        let tokens = Tokens::from(&redeem(&caller, &client, &code).await);
        (caller, client, tokens)
    }
}

async fn redeem(caller: &Caller, client: &str, code: &str) -> Answer {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    caller.call("/oauth/token", &form).await.unwrap()
}

async fn refresh(caller: &Caller, client: &str, token: &str) -> Answer {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("refresh_token", token),
    ];
    caller.call("/oauth/token", &form).await.unwrap()
}

/// What the bearer layer of the caller's next machine says.
async fn served(caller: &Caller, token: &str) -> bool {
    let answer = caller.bearing(Method::GET, "/mcp", token).await.unwrap();
    answer.status != StatusCode::UNAUTHORIZED
}

macro_rules! on_each_engine {
    ($($name:ident)*) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Kind::Postgres).await;
            })*
        }

        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Kind::Redis).await;
            })*
        }
    };
}

on_each_engine! {
    every_request_may_go_to_another_machine
    of_200_redemptions_one_succeeds
    parallel_refreshes_get_one_successor
    a_revocation_is_in_force_everywhere
    no_machine_serves_what_it_did_not_hear_was_revoked
    each_request_asks_as_often_as_the_docs_say
    one_machine_and_its_database_bear_all_there_is
    many_machines_listen
    a_machine_that_dies_takes_nothing_along
    while_the_database_is_gone_everybody_is_told_to_wait
    real_clients_do_not_notice
    everything_moves_in_from_sled
}

async fn every_request_may_go_to_another_machine(kind: Kind) {
    let Some(nodes) = Nodes::start(kind).await else {
        return;
    };
    let mut work = JoinSet::new();
    for number in 0..4 {
        let mut worker = nodes.worker(number);
        work.spawn(async move {
            for _ in 0..5 {
                worker.round().await.unwrap();
            }
            worker.check(true).await.unwrap()
        });
    }
    let checked: usize = work.join_all().await.iter().sum();
    assert!(checked > 200, "{checked}");
    for server in nodes.servers {
        assert!(server.terminate().await.success());
    }
}

async fn of_200_redemptions_one_succeeds(kind: Kind) {
    let Some(nodes) = Nodes::start(kind).await else {
        return;
    };
    let (caller, client, code) = nodes.code().await;
    let caller = Arc::new(caller);
    let mut all = JoinSet::new();
    for _ in 0..200 {
        let (caller, client, code) = (Arc::clone(&caller), client.clone(), code.clone());
        all.spawn(async move { redeem(&caller, &client, &code).await });
    }
    let answers = all.join_all().await;
    let (good, bad): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.status == StatusCode::OK);
    assert_eq!(good.len(), 1);
    for answer in bad {
        answer.assert_error(400, "invalid_grant");
    }
    // The code was stolen by somebody: what the winner got is worth nothing, on every machine.
    let tokens = Tokens::from(good[0]);
    for _ in 0..NODES {
        assert!(!served(&caller, &tokens.access).await);
    }
}

async fn parallel_refreshes_get_one_successor(kind: Kind) {
    let Some(nodes) = Nodes::start(kind).await else {
        return;
    };
    let (caller, client, first) = nodes.tokens().await;
    let caller = Arc::new(caller);
    let mut all = JoinSet::new();
    for _ in 0..30 {
        let (caller, client) = (Arc::clone(&caller), client.clone());
        let token = first.refresh.clone();
        all.spawn(async move { Tokens::from(&refresh(&caller, &client, &token).await) });
    }
    let answers = all.join_all().await;
    for tokens in &answers {
        assert_eq!(tokens.refresh, answers[0].refresh);
        assert_eq!(tokens.access, answers[0].access);
    }
    let next = Tokens::from(&refresh(&caller, &client, &answers[0].refresh).await);
    assert!(served(&caller, &next.access).await);
}

async fn a_machine_that_dies_takes_nothing_along(kind: Kind) {
    let Some(mut nodes) = Nodes::start(kind).await else {
        return;
    };
    let acknowledged = Arc::new(Semaphore::new(0));
    let mut work = JoinSet::new();
    for number in 0..4 {
        let mut worker = nodes.worker(number);
        worker.acknowledged = Arc::clone(&acknowledged);
        work.spawn(async move {
            let end = loop {
                if let Err(broken) = worker.round().await {
                    break broken;
                }
            };
            assert!(matches!(end, Broken::Connection(_)), "{end:?}");
            worker
        });
    }
    acknowledged.acquire_many(40).await.unwrap().forget();
    nodes.servers.pop().unwrap().kill().await;
    let left = nodes.origins();
    for mut worker in work.join_all().await {
        worker.reconnect_over(&left);
        worker.check(true).await.unwrap();
    }
}

async fn while_the_database_is_gone_everybody_is_told_to_wait(kind: Kind) {
    let Some(mut nodes) = Nodes::start(kind).await else {
        return;
    };
    let acknowledged = Arc::new(Semaphore::new(0));
    let mut work = JoinSet::new();
    for number in 0..4 {
        let mut worker = nodes.worker(number);
        worker.acknowledged = Arc::clone(&acknowledged);
        work.spawn(async move {
            let end = loop {
                if let Err(broken) = worker.round().await {
                    break broken;
                }
            };
            (worker, end)
        });
    }
    acknowledged.acquire_many(40).await.unwrap().forget();
    nodes.engine.kill().await;
    let down = Instant::now();
    let mut workers = Vec::new();
    for (worker, end) in work.join_all().await {
        let Broken::Unavailable(answer) = end else {
            panic!("{end:?}");
        };
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        workers.push(worker);
    }
    // However long it lasts.
    while down.elapsed() < Duration::from_secs(10) {
        let caller = Caller::over(&nodes.origins(), "alice");
        let form = [("client_id", "somebody"), ("grant_type", "refresh_token")];
        let answer = caller.call("/oauth/token", &form).await;
        assert!(matches!(answer, Err(Broken::Unavailable(_))), "{answer:?}");
    }
    nodes.engine.restart().await;
    for mut worker in workers {
        worker.reconnect_over(&nodes.origins());
        worker.check_when_up(true).await.unwrap();
    }
}

async fn real_clients_do_not_notice(kind: Kind) {
    let proxy = Proxy::start().await;
    let Some(nodes) = Nodes::start_as(kind, &proxy.origin).await else {
        return;
    };
    proxy.serve(nodes.origins());
    let data = tempfile::tempdir().unwrap();
    let scripts = [
        node("typescript_client.mjs"),
        node("typescript_sdk.mjs"),
        python("python_client.py"),
    ];
    for (number, script) in scripts.iter().flatten().enumerate() {
        let state = data.path().join(number.to_string());
        for phase in ["first", "second"] {
            play(script, phase, &proxy, &state).await;
        }
    }
    assert!(proxy.passed() > 0);
}

async fn play(script: &Command, phase: &str, proxy: &Proxy, state: &Path) {
    let script = script.as_std();
    let mut command = Command::new(script.get_program());
    command
        .args(script.get_args())
        .arg(phase)
        .arg(format!("{}/mcp", proxy.origin))
        .arg(state);
    run(command).await;
}

async fn everything_moves_in_from_sled(kind: Kind) {
    let Some(engine) = Engine::start(kind).await else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let sled = format!("sled:{}", data.path().join("auth").display());
    let url = engine.url();
    let flags = flags(PUBLIC);
    let server = Server::start_with(&sled, &flags).await;
    let acknowledged = Arc::new(Semaphore::new(0));
    let mut worker = Worker::new(&server.origin, 0, Rng::new(7), acknowledged);
    for _ in 0..5 {
        worker.round().await.unwrap();
    }
    assert!(server.terminate().await.success());

    let mut copy = Command::new(outside::server::binary());
    copy.args(["--store", &sled, "--copy-to", &url]);
    assert!(run(copy).await.ends_with("records copied\n"));
    let server = Server::start_with(&url, &flags).await;
    worker.reconnect(&server.origin);
    assert!(worker.check(true).await.unwrap() > 50);
}
