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
//! MODEL_DEEPER=4 cargo test --release --all-features --lib store::model -- --nocapture
//! ```

mod calls;
mod cast;
mod codes;
mod judge;
mod properties;
mod refreshes;
mod revocations;
mod world;

use std::time::{Duration, Instant};

use stateright::{Checker, Model, Property};

use self::{
    calls::{Request, Stage},
    cast::Cast,
    world::{Bounds, Target, World},
};
use crate::{clock::Timestamp, grant::issue::Lifetimes};

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
    /// The node whose clock is ahead sweeps: it takes all that the other one would.
    Sweep,
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
        if world.may_crash {
            actions.push(Action::Crash);
        }
        actions.push(Action::Sweep);
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
                let nodes = 0..=self.last_node(request);
                actions.extend(nodes.map(|node| Action::Begin(node, request)));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = match action {
            Action::Begin(node, request) => self.begin(world, node, request)?,
            Action::Commit(call) => self.commit(world, call)?,
            Action::Answer(call) => {
                let mut next = world.clone();
                next.answer(call)?;
                next
            }
            Action::Tick => World {
                time: world.time + 1,
                ..world.clone()
            },
            Action::Sync => sync(world),
            Action::Sweep => self.sweep(world)?,
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
    /// The second node is of no interest where the first does the same: they differ in their keys,
    /// and where their clocks do, in what they say has expired.
    fn last_node(&self, request: Request) -> usize {
        usize::from(match request {
            Request::Refresh { .. } => true,
            Request::Redeem { .. } => self.bounds.skew > 0,
            Request::Approve(_) | Request::Revoke(_) => false,
        })
    }

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

    fn sweep(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        let due = Timestamp::from_secs(world.swept_until(&self.bounds));
        calls::change(&mut next, |rows, _| rows.sweep(due, usize::MAX));
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
    next.visible = next.durable.clone();
    next.calls.clear();
    next.may_crash = false;
    next
}

/// Searches every world that can be reached in `depth` steps, or in as many more as `MODEL_DEEPER`
/// says, and says how many they were. All of `outcomes` must be met, or the search missed the point.
fn explore(name: &str, bounds: Bounds, depth: usize, outcomes: &[&str]) {
    let deeper = std::env::var("MODEL_DEEPER").map_or(0, |deeper| deeper.parse().unwrap());
    // Only one thread looks at states in the order of their depth.
    let checker = Cast::new(bounds).checker().threads(1);
    let checker = checker.target_max_depth(depth + deeper);
    let began = Instant::now();
    let found = checker.spawn_bfs().join();
    let met = found.model().outcomes.lock().unwrap().clone();
    println!(
        "model, {name}: {} states, {} steps between them, depth {}, {:.1} s; {met:?}",
        found.unique_state_count(),
        found.state_count(),
        found.max_depth(),
        began.elapsed().as_secs_f64(),
    );
    found.assert_properties();
    for outcome in outcomes {
        assert!(met.contains_key(outcome), "{outcome} was never met");
    }
}

#[test]
fn two_nodes_refresh_at_once() {
    let bounds = Bounds {
        generations: 2,
        ..usual()
    };
    let outcomes = [
        "refresh rotated",
        "refresh repeated",
        "refresh with another key",
        "refresh replayed",
        "refresh refused",
    ];
    explore("two nodes refresh at once", bounds, 12, &outcomes);
}

#[test]
fn the_clocks_of_two_nodes_differ() {
    let bounds = Bounds {
        skew: 1,
        revocations: vec![Target::AccessToken(0)],
        // As bad as it gets: an access token dies before the repeats of its refresh token end.
        lifetimes: Lifetimes {
            access_token: Duration::from_secs(1),
            refresh_grace: Duration::from_secs(2),
            ..usual().lifetimes
        },
        ..usual()
    };
    let outcomes = ["refresh repeated", "refresh replayed"];
    explore("the clocks of two nodes differ", bounds, 12, &outcomes);
}

#[test]
fn the_store_crashes() {
    let bounds = Bounds {
        crashes: true,
        redemptions: 2,
        revocations: vec![Target::RefreshToken(0)],
        end: 2,
        ..usual()
    };
    let outcomes = ["code redeemed", "code replayed", "refresh repeated"];
    explore("the store crashes", bounds, 15, &outcomes);
}

#[test]
fn a_user_has_two_grants() {
    let bounds = Bounds {
        grants: 2,
        calls: 1,
        redemptions: 2,
        revocations: vec![Target::Grant(0), Target::AccessToken(0), Target::Subject],
        narrows: true,
        end: 2,
        ..usual()
    };
    let outcomes = ["code replayed", "code refused", "refresh repeated"];
    explore("a user has two grants", bounds, 9, &outcomes);
}

/// One grant that everyone is after.
fn usual() -> Bounds {
    let seconds = Duration::from_secs;
    Bounds {
        grants: 1,
        skew: 0,
        calls: 2,
        redemptions: 1,
        generations: 1,
        crashes: false,
        revocations: Vec::new(),
        narrows: false,
        end: 4,
        lifetimes: Lifetimes {
            code: seconds(2),
            device_code: seconds(2),
            access_token: seconds(2),
            refresh_token: seconds(3),
            refresh_grace: seconds(1),
            pending: seconds(2),
            unused_client: seconds(3),
            used_client: seconds(3),
        },
    }
}
