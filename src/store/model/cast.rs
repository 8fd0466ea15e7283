//! Who takes part, and how their calls go from step to step.

use std::{collections::BTreeMap, sync::Mutex};

use super::{
    calls::{Request, Running, Stage},
    codes::CALLBACK,
    world::{Bounds, World},
};
use crate::{
    client::{Client, StaticClient, StaticClients},
    id::{ClientId, Subject},
    scope::Scopes,
    secret::{KeyMaterial, SecretKey},
    uri::ResourceUri,
};

/// The one client, its user, and what both nodes know.
pub(super) struct Cast {
    pub(super) bounds: Bounds,
    pub(super) client: Client,
    pub(super) stranger: Client,
    pub(super) subject: Subject,
    /// One for each node to begin with: the second has seen a newer one.
    pub(super) keys: [SecretKey; 2],
    pub(super) all: Scopes,
    pub(super) resource: ResourceUri,
    /// How often the store said what.
    pub(super) outcomes: Mutex<BTreeMap<&'static str, usize>>,
}

impl Cast {
    pub(super) fn new(bounds: Bounds) -> Self {
        let client = |name: &str| {
            let known = StaticClients::new(vec![StaticClient::public(name, [CALLBACK])]);
            let id = ClientId::new(name).unwrap();
            known.unwrap().get(&id).unwrap().clone()
        };
        let key = |byte| KeyMaterial::new(vec![byte; 32]).secret_key().unwrap();
        Self {
            bounds,
            client: client("app"),
            stranger: client("stranger"),
            subject: Subject::new("ann").unwrap(),
            keys: [key(1), key(2)],
            all: Scopes::parse("notes:read notes:write").unwrap(),
            resource: ResourceUri::parse("https://api.example/mcp").unwrap(),
            outcomes: Mutex::default(),
        }
    }

    pub(super) fn count(&self, outcome: &'static str) {
        *self.outcomes.lock().unwrap().entry(outcome).or_default() += 1;
    }

    /// Lets a request begin: `None` when it is refused at once, or makes no difference.
    pub(super) fn begin(&self, world: &World, node: usize, request: Request) -> Option<World> {
        let mut next = world.clone();
        let (stage, of) = match request {
            Request::Approve(grant) => (self.approve(&mut next, node, grant), Some(grant)),
            Request::Redeem { grant, wrong } => {
                let read = self.read_code(&mut next, grant, wrong)?;
                (self.redeem(&mut next, node, &read), Some(grant))
            }
            Request::Refresh {
                grant,
                known,
                narrow,
                wrong,
            } => {
                let read = self.read_refresh(&mut next, grant, known, narrow, wrong)?;
                (Stage::Refresh(read.into()), Some(grant))
            }
            Request::Revoke(target) => (self.revoke(&mut next, node, target), None),
        };
        let running = Running {
            node,
            after_revocation: of.is_some_and(|grant| world.heard[grant].revoked),
            stage,
        };
        next.go_on(running);
        Some(next)
    }

    /// Lets a call that has read its records go on.
    pub(super) fn commit(&self, world: &World, call: usize) -> Option<World> {
        let mut next = world.clone();
        let running = next.calls.remove(call);
        let stage = match &running.stage {
            Stage::Refresh(read) => self.refresh(&mut next, running.node, read),
            Stage::Answer { .. } => return None,
        };
        next.go_on(Running { stage, ..running });
        Some(next)
    }
}
