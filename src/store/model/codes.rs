//! Codes: the checks and records of `grant`, then one operation of the store.

use super::{
    calls::{Answer, Redeeming, Stage, change, waiting},
    cast::Cast,
    judge,
    world::{Peek, Tokens, World, Wrong, grant_id},
};
use crate::{
    authenticator::SignedIn,
    grant::{
        code::{self, CodeRequest},
        issue,
    },
    pkce::CodeChallenge,
    secret::{Access, Code, Digest, Refresh, Token, base64url},
    store::{
        IssueCode, IssueCodeOutcome, RedeemCode, RedeemCodeOutcome,
        kv::ops,
        record::{AuthorizationRequest, CodeRecord, GrantRecord},
    },
};

const VERIFIER: &str = "a-verifier-that-only-the-right-client-can-know";
pub(super) const CALLBACK: &str = "https://app.example/callback";

impl Cast {
    pub(super) fn approve(&self, world: &mut World, node: usize, grant: usize) -> Stage {
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
            hinted: None,
        };
        let user = SignedIn::new(self.subject.clone());
        let mut approval = issue::approve(&request, &user, &self.bounds.lifetimes, now);
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

    pub(super) fn read_code(
        &self,
        world: &mut World,
        grant: usize,
        wrong: bool,
    ) -> Option<Redeeming> {
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

    pub(super) fn check_code(
        &self,
        code: &CodeRecord,
        record: &GrantRecord,
        verifier: &str,
    ) -> bool {
        let request = CodeRequest {
            redirect_uri: Some(CALLBACK),
            verifier: Some(verifier),
            resources: Vec::new(),
        };
        code::check(&request, &self.client, code, record).is_ok()
    }

    pub(super) fn redeem(&self, world: &mut World, node: usize, read: &Redeeming) -> Stage {
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
            wrong = judge::redemption(outcome, truth, *grant, surely, hardly);
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
}

pub(super) fn code_of(grant: usize) -> Token<Code> {
    Token::from_bytes(&[u8::try_from(grant).unwrap_or(u8::MAX); 32])
}
