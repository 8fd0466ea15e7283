//! Refreshes: the checks and derivations of `grant`, then one operation of the store.

use super::{
    calls::{Answer, Refreshing, Stage, change, waiting},
    cast::Cast,
    judge::Judge,
    world::{Peek, Tokens, World, Wrong},
};
use crate::{
    clock::Timestamp,
    grant::{
        issue,
        refresh::{self, RefreshRequest},
    },
    secret::{Access, Digest, Refresh, Token},
    store::{
        RotateRefresh, RotateRefreshOutcome,
        kv::{keys, ops},
        record::RefreshTokenRecord,
    },
};

impl Cast {
    pub(super) fn read_refresh(
        &self,
        world: &mut World,
        grant: usize,
        known: usize,
        narrow: bool,
        wrong: bool,
    ) -> Option<Refreshing> {
        let (_, presented) = *world.refresh_tokens(grant).get(known)?;
        let presented = presented.to_owned();
        let digest = Token::<Refresh>::digest_of_presented(&presented)?;
        let Ok(found) = ops::refresh_token(&mut Peek(&world.visible), &digest);
        let (record, of) = found?;
        let request = RefreshRequest {
            scope: narrow.then_some("notes:read"),
            resources: Vec::new(),
        };
        let client = if wrong { &self.stranger } else { &self.client };
        let scopes = refresh::check(&request, client, &of, &of.scopes).ok()?;
        if wrong {
            world.wrongs.insert(Wrong::ImpostorServed);
        }
        Some(Refreshing {
            grant,
            presented,
            record,
            of,
            scopes,
            other_key: None,
        })
    }

    pub(super) fn refresh(&self, world: &mut World, node: usize, read: &Refreshing) -> Stage {
        use RotateRefreshOutcome as Outcome;

        let grant = read.grant;
        let now = world.clock(&self.bounds, node);
        let (rotate, successor) = self.rotation(node, read, now);
        let judge = Judge {
            grant,
            generation: read.record.generation,
            time: world.time,
            node,
            surely: world.fastest(&self.bounds) < read.record.expires_at.as_secs(),
            hardly: world.slowest(&self.bounds) >= read.record.expires_at.as_secs(),
            again: read.other_key.is_some(),
            grace: self.bounds.lifetimes.refresh_grace.as_secs(),
            skew: self.bounds.skew,
        };
        let mut wrong = None;
        let outcome = change(world, |rows, truth| {
            let outcome = ops::rotate_refresh(rows, &rotate, now)?;
            wrong = judge.rotation(outcome, &mut truth[grant]);
            Ok(outcome)
        });
        world.wrongs.extend(wrong);
        self.count(match outcome {
            Outcome::Rotated => "refresh rotated",
            Outcome::Repeated { .. } => "refresh repeated",
            Outcome::OtherKey { .. } => "refresh with another key",
            Outcome::Replayed(_) => "refresh replayed",
            _ => "refresh refused",
        });
        let first_used_at = match outcome {
            Outcome::Rotated => now,
            Outcome::Repeated { first_used_at } => first_used_at,
            Outcome::OtherKey { key, .. } => {
                let again = Refreshing {
                    other_key: Some(key),
                    ..read.clone()
                };
                return Stage::Refresh(again.into());
            }
            Outcome::Replayed(_) => {
                let revoked = Some(grant);
                return waiting(world, Answer::Refused { revoked });
            }
            _ => return waiting(world, Answer::Refused { revoked: None }),
        };
        let stored: Option<RefreshTokenRecord> =
            world.visible.get(&keys::refresh_token(&rotate.successor));
        let access_until = first_used_at.plus(self.bounds.lifetimes.access_token);
        let tokens = Tokens {
            generation: read.record.generation + 1,
            refresh: successor,
            // An answer that names a token which nobody stored is found by the property.
            refresh_until: stored.map_or(u64::MAX, |stored| stored.expires_at.as_secs()),
            access: *rotate.access.0.as_bytes(),
            access_until: access_until.as_secs(),
            used: Some(*rotate.presented.as_bytes()),
        };
        let answer = Answer::Tokens { grant, tokens };
        waiting(world, answer)
    }

    /// What the token endpoint asks of the store, and the successor's text.
    pub(super) fn rotation(
        &self,
        node: usize,
        read: &Refreshing,
        now: Timestamp,
    ) -> (RotateRefresh, String) {
        let used = read.record.used.as_ref().map(|used| used.key);
        let newest = u32::try_from(node).unwrap_or_default();
        let key = read.other_key.or(used).unwrap_or(newest);
        let successor = refresh::successor(
            &self.keys[key as usize],
            &read.of,
            &read.record,
            &read.presented,
            &read.scopes,
            None,
        );
        let issued_at = refresh::issued_at(&read.record, now);
        let lifetimes = &self.bounds.lifetimes;
        let record = issue::access_token(&read.of, read.scopes.clone(), lifetimes, issued_at);
        let access = Token::<Access>::from_bytes(&successor.access).digest();
        let rotate = refresh::rotation(
            Digest::of(&read.presented),
            &successor.refresh,
            key,
            (access, record),
            lifetimes,
            now,
        );
        (rotate, successor.refresh.reveal().to_owned())
    }
}
