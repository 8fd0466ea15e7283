//! Revocations: one operation of the store.

use super::{
    calls::{Answer, Stage, change, waiting},
    cast::Cast,
    world::{Target, World, Wrong, grant_id},
};
use crate::{
    secret::Digest,
    store::{
        RevokeTarget,
        kv::{
            keys,
            revoke::{self, Reach},
        },
    },
};

impl Cast {
    pub(super) fn revoke(&self, world: &mut World, node: usize, target: Target) -> Stage {
        let now = world.clock(&self.bounds, node);
        let mut access = None;
        let named = match target {
            Target::Grant(grant) => RevokeTarget::Grant(grant_id(grant)),
            Target::RefreshToken(grant) => {
                let newest = world.heard[grant].tokens.last();
                let newest = newest.map_or("", |tokens| &*tokens.refresh);
                RevokeTarget::RefreshToken(Digest::of(newest))
            }
            Target::AccessToken(grant) => {
                let newest = world.heard[grant].tokens.last();
                let newest = newest.map(|tokens| tokens.access).unwrap_or_default();
                access = Some((grant, newest));
                RevokeTarget::AccessToken(Digest::from_bytes(newest))
            }
            Target::Subject => RevokeTarget::Subject(self.subject.clone()),
        };
        let meant = self.meant(world, target);
        let told = change(world, |rows, truth| {
            let reached = match Reach::from(named) {
                Reach::One(one) => revoke::one(rows, &one, now)?,
                Reach::Many(many) => rows.revoke_many(&many, now)?,
            };
            for grant in &meant {
                truth[*grant].revoked = true;
            }
            if target == Target::Subject {
                truth.iter_mut().for_each(|truth| truth.consented = false);
            }
            if let Some((grant, access)) = access {
                truth[grant].dead.insert(access);
            }
            let told = |grant: &usize| reached.grants.contains(&grant_id(*grant));
            Ok(meant.iter().all(told))
        });
        if !told {
            world.wrongs.insert(Wrong::Unreported);
        }
        let grants = meant;
        waiting(world, Answer::Revoked { grants, access })
    }

    /// The stored grants that a revocation names.
    pub(super) fn meant(&self, world: &World, target: Target) -> Vec<usize> {
        let disk = &world.visible;
        let named = |grant: &usize| match target {
            Target::Grant(named) => named == *grant,
            Target::RefreshToken(named) => {
                let newest = world.heard[*grant].tokens.last();
                let newest = newest.map_or("", |tokens| &*tokens.refresh);
                named == *grant && disk.has(&keys::refresh_token(&Digest::of(newest)))
            }
            Target::AccessToken(_) => false,
            Target::Subject => true,
        };
        let stored = |grant: &usize| disk.has(&keys::grant(&grant_id(*grant)));
        let grants = 0..self.bounds.grants;
        grants
            .filter(|grant| named(grant) && stored(grant))
            .collect()
    }
}
