//! What many sessions have in common, kept once for all of them.

use std::{collections::HashSet, hash::Hash};

use crate::{id::ClientId, resource_server::McpSession, scope::Scopes, uri::ResourceUri};

/// How many of a kind are known; where there are more, sharing is not worth looking for.
const MAX: usize = 1024;

/// Sessions come with everything of their own. Here they give up what somebody else has already.
#[derive(Default)]
pub(super) struct Pool {
    clients: HashSet<ClientId>,
    scopes: HashSet<Scopes>,
    resources: HashSet<ResourceUri>,
}

impl Pool {
    pub(super) fn share(&mut self, session: &mut McpSession) {
        session.rewrite(|client, scopes, resource| {
            share(&mut self.clients, client);
            share(&mut self.scopes, scopes);
            let spelling = resource.clone();
            share(&mut self.resources, resource);
            if resource.as_str() != spelling.as_str() {
                *resource = spelling;
            }
        });
    }
}

fn share<T: Clone + Eq + Hash>(known: &mut HashSet<T>, own: &mut T) {
    if let Some(known) = known.get(own) {
        *own = known.clone();
    } else if known.len() < MAX {
        known.insert(own.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_known() {
        let mut known = HashSet::new();
        for number in 0..MAX + 10 {
            share(&mut known, &mut number.to_string());
            assert_eq!(known.len(), MAX.min(number + 1));
        }
    }
}
