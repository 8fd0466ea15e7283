//! What clients ask for, and what becomes of it until they are answered.

use std::{convert::Infallible, sync::Arc};

use super::world::{Bytes, Disk, Target, Tokens, Truth, World, Wrong};
use crate::{
    scope::Scopes,
    store::{
        memory::rows::Rows,
        record::{GrantRecord, RefreshTokenRecord},
    },
};

/// A request as it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The user approves.
    Approve(usize),
    /// The code is presented, with the wrong verifier where `wrong`.
    Redeem {
        grant: usize,
        wrong: bool,
    },
    /// The refresh token number `known` of those that somebody has is presented, by another
    /// client where `wrong`.
    Refresh {
        grant: usize,
        known: usize,
        narrow: bool,
        wrong: bool,
    },
    Revoke(Target),
}

/// A call that nobody was answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) node: usize,
    /// Whether its client had been told of the revocation before it asked.
    pub(super) after_revocation: bool,
    pub(super) stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// The records are read; the store was not asked to change anything. Only a refresh is caught
    /// here: what others read never changes.
    Refresh(Box<Refreshing>),
    /// The store has answered; the client hears it once that is durable.
    Answer { answer: Answer, durable: bool },
}

/// A code that was found and may be redeemed.
pub(super) struct Redeeming {
    pub(super) grant: usize,
    pub(super) attempt: u8,
    pub(super) record: GrantRecord,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Refreshing {
    pub(super) grant: usize,
    pub(super) presented: String,
    pub(super) record: RefreshTokenRecord,
    pub(super) of: GrantRecord,
    pub(super) scopes: Scopes,
    /// The key that the store says was used first.
    pub(super) other_key: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Code {
        grant: usize,
        until: u64,
    },
    Tokens {
        grant: usize,
        tokens: Tokens,
    },
    /// Nothing is given. What was presented was a replay, where `revoked` names its grant.
    Refused {
        revoked: Option<usize>,
    },
    Revoked {
        grants: Vec<usize>,
        /// Of a revocation that reaches one access token: the token, and whose it is.
        access: Option<(usize, Bytes)>,
    },
}

impl World {
    /// Where a call stands now.
    pub(super) fn go_on(&mut self, call: Running) {
        match call.stage {
            // A client that is told at once can do all that it could be told later.
            Stage::Answer { answer, .. } if !self.may_crash => {
                self.hear(answer, call.after_revocation);
            }
            _ => self.calls.push(call),
        }
    }

    /// Tells the client of a call that has its answer.
    pub(super) fn answer(&mut self, call: usize) -> Option<()> {
        let call = self.calls.remove(call);
        let Stage::Answer { answer, .. } = call.stage else {
            return None;
        };
        self.hear(answer, call.after_revocation);
        Some(())
    }

    fn hear(&mut self, answer: Answer, after_revocation: bool) {
        match answer {
            Answer::Code { grant, until } => self.heard[grant].code_until = Some(until),
            Answer::Tokens { grant, tokens } => {
                self.heard[grant].tokens.insert(tokens);
                if after_revocation {
                    self.wrongs.insert(Wrong::RevokedServed);
                }
            }
            Answer::Refused { revoked: None } => {}
            Answer::Refused {
                revoked: Some(grant),
            } => self.heard[grant].revoked = true,
            Answer::Revoked { grants, access } => {
                for grant in grants {
                    self.heard[grant].revoked = true;
                }
                if let Some((grant, access)) = access {
                    self.heard[grant].dead.insert(access);
                }
            }
        }
    }
}

/// Runs one operation of the store on what is visible.
pub(super) fn change<T>(
    world: &mut World,
    step: impl FnOnce(&mut Rows, &mut Vec<Truth>) -> Result<T, Infallible>,
) -> T {
    let (mut rows, mut truth) = (world.visible.rows.clone(), world.visible.truth.clone());
    let Ok(value) = step(&mut rows, &mut truth);
    let changed = Disk::new(rows, truth);
    if changed != *world.visible {
        world.visible = Arc::new(changed);
    }
    if !world.may_crash {
        // Nobody can tell when it becomes durable.
        world.durable = Arc::clone(&world.visible);
    }
    value
}

/// An answer waits for every change before it, its own among them.
pub(super) fn waiting(world: &World, answer: Answer) -> Stage {
    Stage::Answer {
        answer,
        durable: world.visible == world.durable,
    }
}
