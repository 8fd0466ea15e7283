//! What the outcome of an operation should have been.

use super::world::{Truth, Wrong, grant_id};
use crate::store::{RedeemCodeOutcome, RotateRefreshOutcome};

/// What is wrong with the outcome of a redemption, of which `truth` takes note. The code has not
/// expired by any clock where `surely`, and by every clock where `hardly`.
pub(super) fn redemption(
    outcome: RedeemCodeOutcome,
    truth: &mut Truth,
    grant: usize,
    surely: bool,
    hardly: bool,
) -> Option<Wrong> {
    let (redeemed, revoked) = (truth.redeemed, truth.revoked);
    match outcome {
        RedeemCodeOutcome::Redeemed => {
            truth.redeemed = true;
            [
                (redeemed, Wrong::CodeTwice),
                (revoked, Wrong::RevokedServed),
                (hardly, Wrong::ExpiredServed),
            ]
            .into_iter()
            .find_map(|(is_so, wrong)| is_so.then_some(wrong))
        }
        RedeemCodeOutcome::Replayed(id) => {
            truth.revoked = true;
            (!redeemed || id != grant_id(grant)).then_some(Wrong::Refused)
        }
        RedeemCodeOutcome::Revoked => (!revoked || redeemed).then_some(Wrong::Refused),
        RedeemCodeOutcome::Expired | RedeemCodeOutcome::Unknown => surely.then_some(Wrong::Refused),
    }
}

/// What is known before a rotation.
pub(super) struct Judge {
    pub(super) grant: usize,
    pub(super) generation: u32,
    /// By the right clock.
    pub(super) time: u64,
    pub(super) node: usize,
    /// Whether the token has not expired by any clock.
    pub(super) surely: bool,
    /// Whether it has expired by every clock.
    pub(super) hardly: bool,
    /// Whether the store was asked before, and named another key.
    pub(super) again: bool,
    pub(super) grace: u64,
    pub(super) skew: u64,
}

impl Judge {
    /// What is wrong with the outcome, of which `truth` takes note.
    pub(super) fn rotation(
        &self,
        outcome: RotateRefreshOutcome,
        truth: &mut Truth,
    ) -> Option<Wrong> {
        use RotateRefreshOutcome as Outcome;

        let generation = self.generation as usize;
        let first = truth.first_use.get(generation).copied();
        let superseded = truth.first_use.len() > generation + 1;
        // Between two clocks that differ nobody can promise more than this.
        let since = first.map_or(0, |(at, _)| self.time - at);
        let skew = if first.is_some_and(|(_, node)| node != self.node) {
            self.skew
        } else {
            0
        };
        let in_time = !superseded && since + skew <= self.grace;
        let too_late = superseded || since > self.grace + skew;
        let revoked = truth.revoked;
        match outcome {
            Outcome::Rotated | Outcome::Repeated { .. } => {
                let rotated = outcome == Outcome::Rotated;
                if rotated {
                    truth.first_use.push((self.time, self.node));
                }
                [
                    (revoked, Wrong::RevokedServed),
                    (self.hardly, Wrong::ExpiredServed),
                    (rotated && first.is_some(), Wrong::SecondSuccessor),
                    (!rotated && first.is_none(), Wrong::SecondSuccessor),
                    (too_late, Wrong::LateRepeat),
                ]
                .into_iter()
                .find_map(|(is_so, wrong)| is_so.then_some(wrong))
            }
            Outcome::Replayed(id) => {
                truth.revoked = true;
                (in_time || id != grant_id(self.grant)).then_some(Wrong::RaceRevoked)
            }
            Outcome::OtherKey { .. } => (self.again || too_late).then_some(Wrong::Refused),
            Outcome::Revoked => (!revoked).then_some(Wrong::Refused),
            Outcome::Expired | Outcome::Unknown => self.surely.then_some(Wrong::Refused),
            Outcome::TooManyAccessTokens => Some(Wrong::Refused),
        }
    }
}
