//! The life of grants as a state machine, searched for a way to break a promise.
//!
//! Two nodes, with clocks that may differ and with different keys, share one store. Clients and
//! thieves present every code and refresh token that anybody was ever told of, at any moment and
//! at once; the store crashes, and forgets what was not yet durable; nodes sweep; users revoke.
//! Every order of all that is tried. What decides is not a copy: the checks and derivations are
//! those of [`grant`](crate::grant), and the operations are those of [`kv`](super::kv) over
//! [`transition`](super::transition), as the stores run them.
//!
//! ```sh
//! cargo test --all-features --lib store::model -- --nocapture
//! MODEL=deep cargo test --release --all-features --lib store::model -- --nocapture
//! ```

mod calls;
mod properties;
mod world;

use std::{num::NonZero, thread, time::Duration};

use stateright::{Checker, Model, Property};

use self::{
    calls::{Answer, Cast, Request, Stage},
    world::{Bounds, Target, World},
};
use crate::grant::issue::Lifetimes;

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A second passes.
    Tick,
    /// A request arrives at a node.
    Begin(usize, Request),
    /// A call asks the store for its change.
    Commit(usize),
    /// All changes so far become durable.
    Sync,
    /// The client of a call hears the answer.
    Answer(usize),
    /// A node sweeps what has expired by its clock.
    Sweep(usize),
    /// Everything stops; what was not durable is lost, and so are all calls.
    Crash,
}

impl Model for Cast {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.bounds)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let bounds = &self.bounds;
        if world.time < bounds.end {
            actions.push(Action::Tick);
        }
        if world.visible != world.durable {
            actions.push(Action::Sync);
        }
        if world.crashes < bounds.crashes {
            actions.push(Action::Crash);
        }
        actions.extend([0, 1].map(Action::Sweep));
        for (number, call) in world.calls.iter().enumerate() {
            match call.stage {
                Stage::Answer { durable: true, .. } => actions.push(Action::Answer(number)),
                Stage::Answer { .. } => {}
                _ => actions.push(Action::Commit(number)),
            }
        }
        if world.calls.len() < bounds.calls {
            let mut requests = Vec::new();
            self.requests(world, &mut requests);
            for request in requests {
                actions.extend([0, 1].map(|node| Action::Begin(node, request)));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = match action {
            Action::Begin(node, request) => self.begin(world, node, request)?,
            Action::Commit(call) => self.commit(world, call)?,
            Action::Answer(call) => self.answer(world, call)?,
            Action::Tick => World {
                time: world.time + 1,
                ..world.clone()
            },
            Action::Sync => sync(world),
            Action::Sweep(node) => self.sweep(world, node)?,
            Action::Crash => crash(world),
        };
        next.order_calls();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Cast {
    /// Every request that somebody could make.
    fn requests(&self, world: &World, requests: &mut Vec<Request>) {
        let bounds = &self.bounds;
        for (grant, heard) in world.heard.iter().enumerate() {
            // In one order: it makes no difference which of two grants is called the first.
            let earlier = grant == 0 || world.heard[grant - 1].code_until.is_some();
            if earlier && !world.visible.truth[grant].approved {
                requests.push(Request::Approve(grant));
            }
            if heard.code_until.is_some() {
                requests.push(Request::Redeem { grant, wrong: true });
                if world.redemptions[grant] < bounds.redemptions {
                    let wrong = false;
                    requests.push(Request::Redeem { grant, wrong });
                }
            }
            for (known, (generation, _)) in world.refresh_tokens(grant).iter().enumerate() {
                let refresh = |narrow, wrong| Request::Refresh {
                    grant,
                    known,
                    narrow,
                    wrong,
                };
                if *generation < bounds.generations {
                    requests.extend([refresh(false, false), refresh(false, true)]);
                    requests.extend(bounds.narrows.then(|| refresh(true, false)));
                }
            }
        }
        let revocable = bounds.revocations.iter().filter(|target| match **target {
            Target::Grant(grant) => world.heard[grant].code_until.is_some(),
            Target::RefreshToken(grant) | Target::AccessToken(grant) => {
                !world.heard[grant].tokens.is_empty()
            }
            Target::Subject => true,
        });
        requests.extend(revocable.copied().map(Request::Revoke));
    }

    fn answer(&self, world: &World, call: usize) -> Option<World> {
        let mut next = world.clone();
        let Stage::Answer { answer, .. } = next.calls.remove(call).stage else {
            return None;
        };
        match answer {
            Answer::Code { grant, until } => next.heard[grant].code_until = Some(until),
            Answer::Tokens { grant, tokens, .. } => {
                next.heard[grant].tokens.insert(tokens);
            }
            Answer::Refused { revoked } => {
                if let Some(grant) = revoked {
                    next.heard[grant].revoked = true;
                }
            }
            Answer::Revoked { grants, access } => {
                grants.into_iter().for_each(|grant| next.heard[grant].revoked = true);
                if let Some((grant, access)) = access {
                    next.heard[grant].dead.insert(access);
                }
            }
        }
        Some(next)
    }

    fn sweep(&self, world: &World, node: usize) -> Option<World> {
        let mut next = world.clone();
        let now = world.clock(&self.bounds, node);
        calls::change(&mut next, |rows, _| rows.sweep(now, usize::MAX));
        (next.visible != world.visible).then_some(next)
    }
}

fn sync(world: &World) -> World {
    let mut next = world.clone();
    next.durable = next.visible.clone();
    for call in &mut next.calls {
        if let Stage::Answer { durable, .. } = &mut call.stage {
            *durable = true;
        }
    }
    next
}

fn crash(world: &World) -> World {
    let mut next = world.clone();
    next.undone |= next.visible != next.durable;
    next.visible = next.durable.clone();
    next.calls.clear();
    next.crashes += 1;
    next
}

/// Searches the whole world, and says how large it was.
fn explore(name: &str, bounds: Bounds) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let began = std::time::Instant::now();
    let found = Cast::new(bounds).checker().threads(threads);
    let found = found.spawn_bfs().join();
    println!(
        "model, {name}: {} states, {} steps between them, at most {} steps deep, {:.1} s",
        found.unique_state_count(),
        found.state_count(),
        found.max_depth(),
        began.elapsed().as_secs_f64(),
    );
    found.assert_properties();
}

/// Whether there is time for larger worlds.
fn is_deep() -> bool {
    std::env::var("MODEL").is_ok_and(|model| model == "deep")
}

fn lifetimes(code: u64, access: u64, refresh: u64, grace: u64) -> Lifetimes {
    let seconds = Duration::from_secs;
    Lifetimes {
        code: seconds(code),
        device_code: seconds(code),
        access_token: seconds(access),
        refresh_token: seconds(refresh),
        refresh_grace: seconds(grace),
        pending: seconds(code),
        unused_client: seconds(refresh),
        used_client: seconds(refresh),
    }
}

#[test]
fn one_grant_on_two_nodes() {
    let bounds = Bounds {
        grants: 1,
        skew: 0,
        calls: 2,
        redemptions: 2,
        generations: 2,
        crashes: 1,
        revocations: vec![Target::RefreshToken(0)],
        narrows: false,
        end: 4,
        lifetimes: lifetimes(2, 2, 3, 1),
    };
    explore("one grant on two nodes", bounds);
}
