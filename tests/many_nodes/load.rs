//! As many requests as one machine and one database hold: the rates in `docs/scaling.md`.
//!
//! For figures: `LOAD_SECONDS=10 cargo test --release --all-features --test many_nodes \
//! one_machine -- --nocapture --test-threads 1`. Clients, machine and database share the processor.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    Kind, PUBLIC, RESOURCE_SERVER, Server, StatusCode,
    caller::Caller,
    common::Tokens,
    flags,
    nodes::{cpu, engine::Engine},
    redeem, refresh, served,
};

/// How many clients there are, each with a connection of its own and one request at a time.
const CLIENTS: usize = 16;

/// What is asked for again and again, in this order: each has what those before left.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Registration, signing in, consent, and the code's tokens: 7 requests.
    FirstSignIn,
    Refresh,
    /// A token that this machine has not seen.
    ColdHit,
    CachedHit,
    Introspection,
    Revocation,
}

pub(super) async fn one_machine_and_its_database_bear_all_there_is(kind: Kind) {
    let Some(engine) = Engine::start(kind).await else {
        return;
    };
    let server = Server::start_with(&engine.url(), &flags(PUBLIC)).await;
    let origin: Arc<str> = server.origin.as_str().into();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|number| Client::new(&origin, number))
        .collect();
    for step in [
        Step::FirstSignIn,
        Step::Refresh,
        Step::ColdHit,
        Step::CachedHit,
        Step::Introspection,
        Step::Revocation,
    ] {
        let cpu = || Some([cpu::time(server.pid())?, cpu::time(engine.pid())?]);
        let (before, begun) = (cpu(), Instant::now());
        let mut work = JoinSet::new();
        for client in clients {
            work.spawn(client.repeat(step, begun + time()));
        }
        let (left, done): (Vec<_>, Vec<_>) = work.join_all().await.into_iter().unzip();
        clients = left;
        let (done, took) = (done.iter().sum::<usize>(), begun.elapsed());
        assert!(done > 0, "{step:?}");
        let rate = done as f64 / took.as_secs_f64();
        eprint!("{kind:?}: {step:?}: {rate:.0} a second");
        if let Some((before, after)) = before.zip(cpu()) {
            let each = |part: usize| (after[part] - before[part]).as_secs_f64() * 1e6 / done as f64;
            eprint!(
                "; each takes the machine {:.0} us of CPU, the database {:.0} us",
                each(0),
                each(1)
            );
        }
        eprintln!(" ({done} in {took:.1?})");
    }
}

/// How long each step is repeated.
pub(super) fn time() -> Duration {
    let seconds = std::env::var("LOAD_SECONDS");
    let seconds = seconds.map_or(0.5, |text| text.parse().expect("LOAD_SECONDS is a number"));
    Duration::from_secs_f64(seconds)
}

struct Client {
    origin: Arc<str>,
    number: usize,
    caller: Caller,
    id: String,
    tokens: Option<Tokens>,
    /// All access tokens of that grant.
    access: Vec<String>,
    turn: usize,
}

impl Client {
    fn new(origin: &Arc<str>, number: usize) -> Self {
        Self {
            origin: Arc::clone(origin),
            number,
            caller: Caller::new(origin, "alice"),
            id: String::new(),
            tokens: None,
            access: Vec::new(),
            turn: 0,
        }
    }

    async fn repeat(mut self, step: Step, until: Instant) -> (Self, usize) {
        let mut done = 0;
        self.turn = 0;
        while Instant::now() < until && self.take(step).await {
            done += 1;
        }
        (self, done)
    }

    /// Does it once; `false` when there is nothing left to do it with.
    async fn take(&mut self, step: Step) -> bool {
        let turn = self.turn;
        self.turn += 1;
        match step {
            Step::FirstSignIn => {
                self.caller = Caller::new(&self.origin, "alice");
                let name = format!("Client {} of {}", turn, self.number);
                self.id = self.caller.public_client(&name).await;
                let code = self.caller.approve(&self.id).await.unwrap();
                self.access.clear();
                self.keep(Tokens::from(&redeem(&self.caller, &self.id, &code).await));
            }
            Step::Refresh => {
                let token = &self.tokens.as_ref().unwrap().refresh;
                let answer = refresh(&self.caller, &self.id, token).await;
                self.keep(Tokens::from(&answer));
            }
            Step::ColdHit => {
                let Some(token) = self.access.get(turn) else {
                    return false;
                };
                assert!(served(&self.caller, token).await);
            }
            Step::CachedHit => {
                // The first is cached, however short the step before was.
                assert!(served(&self.caller, &self.access[0]).await);
            }
            Step::Introspection => {
                let (id, secret) = RESOURCE_SERVER.split_once(':').unwrap();
                let token = &*self.access[turn % self.access.len()];
                let form = [
                    ("client_id", id),
                    ("client_secret", secret),
                    ("token", token),
                ];
                let answer = self.caller.call("/oauth/introspect", &form).await.unwrap();
                assert_eq!(answer.json()["active"], true);
            }
            Step::Revocation => {
                let Some(token) = self.access.pop() else {
                    return false;
                };
                let form = [("client_id", &*self.id), ("token", &*token)];
                let answer = self.caller.call("/oauth/revoke", &form).await.unwrap();
                assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            }
        }
        true
    }

    fn keep(&mut self, tokens: Tokens) {
        self.access.push(tokens.access.clone());
        self.tokens = Some(tokens);
    }
}
