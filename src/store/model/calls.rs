//! What clients ask for, and how it is done: the checks and derivations of `grant`, then one
//! operation of the store.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use super::world::{Bounds, Bytes, Disk, Peek, Target, Tokens, Truth, World, Wrong, grant_id};
use crate::{
    client::{Client, StaticClient, StaticClients},
    clock::Timestamp,
    grant::{
        code::{self, CodeRequest},
        issue,
        refresh::{self, RefreshRequest},
    },
    id::{ClientId, Subject},
    pkce::CodeChallenge,
    scope::Scopes,
    secret::{Access, Code, Digest, KeyMaterial, Refresh, SecretKey, Token, base64url},
    store::{
        IssueCode, IssueCodeOutcome, RedeemCode, RedeemCodeOutcome, RevokeTarget, RotateRefresh,
        RotateRefreshOutcome,
        kv::{
            keys, ops,
            revoke::{self, Reach},
        },
        memory::rows::Rows,
        record::{AuthorizationRequest, CodeRecord, GrantRecord, RefreshTokenRecord},
    },
    uri::ResourceUri,
};

const VERIFIER: &str = "a-verifier-that-only-the-right-client-can-know";
const CALLBACK: &str = "https://app.example/callback";

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
    after_revocation: bool,
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
struct Redeeming {
    grant: usize,
    attempt: u8,
    record: GrantRecord,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Refreshing {
    grant: usize,
    presented: String,
    record: RefreshTokenRecord,
    of: GrantRecord,
    scopes: Scopes,
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
    fn go_on(&mut self, call: Running) {
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

/// The one client, its user, and what both nodes know.
pub(super) struct Cast {
    pub(super) bounds: Bounds,
    client: Client,
    stranger: Client,
    subject: Subject,
    /// One for each node to begin with: the second has seen a newer one.
    keys: [SecretKey; 2],
    all: Scopes,
    resource: ResourceUri,
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

    fn count(&self, outcome: &'static str) {
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

    fn approve(&self, world: &mut World, node: usize, grant: usize) -> Stage {
        let now = world.clock(&self.bounds, node);
        let challenge = base64url(Digest::of(VERIFIER).as_bytes());
        let request = AuthorizationRequest {
            client_id: self.client.id.clone(),
            redirect_uri: CALLBACK.to_owned(),
            scopes: self.all.clone(),
            resource: self.resource.clone(),
            state: None,
            code_challenge: CodeChallenge::parse(&challenge).unwrap(),
            nonce: None,
            prompt_consent: false,
            prompt_login: false,
            prompt_none: false,
            max_age: None,
            dpop_jkt: None,
            login_hint: None,
        };
        let mut approval =
            issue::approve(&request, &self.subject, None, &self.bounds.lifetimes, now);
        // The same world must be found again by whoever looks for it twice.
        approval.grant.id = grant_id(grant);
        approval.code.grant = approval.grant.id;
        let until = approval.code.expires_at.as_secs();
        let issue = IssueCode {
            pending: None,
            digest: code_of(grant).digest(),
            code: approval.code,
            grant: approval.grant,
            consent: Some(approval.consent),
            renew_client: None,
        };
        let outcome = change(world, |rows, truth| {
            truth[grant].approved = true;
            truth[grant].consented = true;
            ops::issue_code(rows, &issue, now)
        });
        if outcome != IssueCodeOutcome::Issued {
            world.wrongs.insert(Wrong::Refused);
        }
        waiting(world, Answer::Code { grant, until })
    }

    fn read_code(&self, world: &mut World, grant: usize, wrong: bool) -> Option<Redeeming> {
        let digest = code_of(grant).digest();
        let Ok(found) = ops::code(&mut Peek(&world.visible), &digest);
        let (code, record) = found?;
        let verifier = if wrong { CALLBACK } else { VERIFIER };
        self.check_code(&code, &record, verifier).then(|| {
            if wrong {
                world.wrongs.insert(Wrong::ImpostorServed);
            }
            world.redemptions[grant] += 1;
            Redeeming {
                grant,
                attempt: world.redemptions[grant],
                record,
            }
        })
    }

    fn check_code(&self, code: &CodeRecord, record: &GrantRecord, verifier: &str) -> bool {
        let request = CodeRequest {
            redirect_uri: Some(CALLBACK),
            verifier: Some(verifier),
            resources: Vec::new(),
        };
        code::check(&request, &self.client, code, record).is_ok()
    }

    fn redeem(&self, world: &mut World, node: usize, read: &Redeeming) -> Stage {
        let Redeeming {
            grant,
            attempt,
            record,
        } = read;
        let now = world.clock(&self.bounds, node);
        let lifetimes = &self.bounds.lifetimes;
        let number = u8::try_from(*grant).unwrap_or(u8::MAX);
        let access = Token::<Access>::from_bytes(&[10 + number * 10 + attempt; 32]);
        let refresh = Token::<Refresh>::from_bytes(&[10 + number * 10 + attempt; 32]);
        let access_record = issue::access_token(record, record.scopes.clone(), lifetimes, now);
        let refresh_record = issue::refresh_token(record, lifetimes, now);
        let tokens = Tokens {
            generation: refresh_record.generation,
            refresh: refresh.reveal().to_owned(),
            refresh_until: refresh_record.expires_at.as_secs(),
            access: *access.digest().as_bytes(),
            access_until: access_record.expires_at.as_secs(),
            used: None,
        };
        let redeem = RedeemCode {
            code: code_of(*grant).digest(),
            access: (access.digest(), access_record),
            refresh: Some((refresh.digest(), refresh_record)),
            dpop_jkt: None,
            renew_client: None,
        };
        let until = world.heard[*grant].code_until.unwrap_or_default();
        let (surely, hardly) = (
            world.fastest(&self.bounds) < until,
            world.slowest(&self.bounds) >= until,
        );
        let mut wrong = None;
        let outcome = change(world, |rows, truth| {
            let outcome = ops::redeem_code(rows, &redeem, now)?;
            let truth = &mut truth[*grant];
            wrong = judge_redemption(outcome, truth, *grant, surely, hardly);
            Ok(outcome)
        });
        world.wrongs.extend(wrong);
        self.count(match outcome {
            RedeemCodeOutcome::Redeemed => "code redeemed",
            RedeemCodeOutcome::Replayed(_) => "code replayed",
            _ => "code refused",
        });
        let answer = match outcome {
            RedeemCodeOutcome::Redeemed => Answer::Tokens {
                grant: *grant,
                tokens,
            },
            RedeemCodeOutcome::Replayed(_) => Answer::Refused {
                revoked: Some(*grant),
            },
            _ => Answer::Refused { revoked: None },
        };
        waiting(world, answer)
    }

    fn read_refresh(
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
        let scopes = refresh::check(&request, client, &of).ok()?;
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

    fn refresh(&self, world: &mut World, node: usize, read: &Refreshing) -> Stage {
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
    fn rotation(&self, node: usize, read: &Refreshing, now: Timestamp) -> (RotateRefresh, String) {
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

    fn revoke(&self, world: &mut World, node: usize, target: Target) -> Stage {
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
    fn meant(&self, world: &World, target: Target) -> Vec<usize> {
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

fn judge_redemption(
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
struct Judge {
    grant: usize,
    generation: u32,
    /// By the right clock.
    time: u64,
    node: usize,
    /// Whether the token has not expired by any clock.
    surely: bool,
    /// Whether it has expired by every clock.
    hardly: bool,
    /// Whether the store was asked before, and named another key.
    again: bool,
    grace: u64,
    skew: u64,
}

impl Judge {
    fn rotation(&self, outcome: RotateRefreshOutcome, truth: &mut Truth) -> Option<Wrong> {
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
fn waiting(world: &World, answer: Answer) -> Stage {
    Stage::Answer {
        answer,
        durable: world.visible == world.durable,
    }
}

pub(super) fn code_of(grant: usize) -> Token<Code> {
    Token::from_bytes(&[u8::try_from(grant).unwrap_or(u8::MAX); 32])
}
