//! From a random choice to a call that makes sense: what it names exists, or once did.

use std::time::Duration;

use proptest::prelude::*;
use tower_mcp_auth::{
    ClientId, CodeChallenge, Digest, GrantId, KeyMaterial, ResourceUri, Scopes, Subject, Timestamp,
    store::{record::*, *},
};

use super::calls::Call;

const CODE_TTL: u64 = 60;
const ACCESS_TTL: u64 = 100;
const REFRESH_TTL: u64 = 300;
const GRACE: u64 = 30;

/// A random step. Numbers name one of what there is, whatever that is by then.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    what: What,
    of: u8,
    which: u8,
    more: u8,
}

#[derive(Clone, Copy, Debug)]
enum What {
    CreateClient,
    ReadClient,
    UpdateClient,
    DeleteClient,
    Begin,
    Pending,
    End,
    Issue,
    Code,
    Redeem,
    IssueTokens,
    UseOnce,
    BeginDevice,
    Device,
    Decide,
    Poll,
    RedeemDevice,
    Refresh,
    Rotate,
    Access,
    Among,
    RevokeToken,
    RevokeMany,
    Lists,
    Keys,
    AddKey,
    Sweep,
}

pub fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        3 => Just(What::CreateClient),
        1 => Just(What::ReadClient),
        1 => Just(What::UpdateClient),
        1 => Just(What::DeleteClient),
        2 => Just(What::Begin),
        1 => Just(What::Pending),
        1 => Just(What::End),
        5 => Just(What::Issue),
        2 => Just(What::Code),
        10 => Just(What::Redeem),
        2 => Just(What::IssueTokens),
        2 => Just(What::UseOnce),
        3 => Just(What::BeginDevice),
        1 => Just(What::Device),
        3 => Just(What::Decide),
        3 => Just(What::Poll),
        3 => Just(What::RedeemDevice),
        2 => Just(What::Refresh),
        24 => Just(What::Rotate),
        4 => Just(What::Access),
        3 => Just(What::Among),
        3 => Just(What::RevokeToken),
        2 => Just(What::RevokeMany),
        3 => Just(What::Lists),
        1 => Just(What::Keys),
        1 => Just(What::AddKey),
        3 => Just(What::Sweep),
    ];
    (what, any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(what, of, which, more)| Step {
        what,
        of,
        which,
        more,
    })
}

/// How many seconds pass: mostly few, and often to the edge of something.
pub fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => Just(0_u64),
        3 => Just(1),
        3 => Just(GRACE),
        2 => Just(GRACE + 1),
        2 => Just(CODE_TTL),
        1 => Just(ACCESS_TTL),
        1 => Just(REFRESH_TTL),
    ]
}

/// What has been given a name so far.
#[derive(Default)]
pub struct Plan {
    flows: Vec<Flow>,
    pendings: u8,
    devices: u8,
    keys: u32,
}

#[derive(Clone)]
struct Flow {
    number: usize,
    subject: Subject,
    client: ClientId,
}

impl Plan {
    /// The call that a step stands for.
    pub fn call(&mut self, step: Step, now: Timestamp) -> Call {
        let Step {
            what,
            of,
            which,
            more,
        } = step;
        let flow = self.flow(of);
        match what {
            What::CreateClient => Call::CreateClient(client(of, now, more), 2),
            What::ReadClient => Call::Client(client_id(of)),
            What::UpdateClient => Call::UpdateClient(client(of, now, more)),
            What::DeleteClient => Call::DeleteClient(client_id(of)),
            What::Begin => {
                self.pendings = self.pendings.saturating_add(1);
                Call::Begin(named("pending", self.pendings), pending(of, now), 3)
            }
            What::Pending => Call::Pending(self.pending(which)),
            What::End => Call::End(self.pending(which)),
            What::Issue => {
                let flow = self.new_flow(of, which);
                let pending = more.is_multiple_of(3).then(|| self.pending(which));
                Call::IssueCode(flow.issue(pending, more, now))
            }
            What::Code => Call::Code(flow.code()),
            What::Redeem => Call::RedeemCode(RedeemCode {
                code: flow.code(),
                access: flow.access(0, 0, now),
                refresh: (more % 5 > 0).then(|| flow.refresh(now)),
                dpop_jkt: more.is_multiple_of(4).then(|| "thumbprint".to_owned()),
                renew_client: renewal(more, now),
            }),
            What::IssueTokens => {
                let flow = self.new_flow(of, which);
                let mut grant = flow.grant(now);
                if more.is_multiple_of(2) {
                    grant.holder = GrantHolder::Client;
                }
                let tokens = IssueTokens {
                    grant,
                    access: flow.access(0, 0, now),
                    refresh: more.is_multiple_of(3).then(|| flow.refresh(now)),
                    used: (more % 4 > 0).then(|| (named("used", which % 3), now.plus(TEN))),
                    renew_client: renewal(more, now),
                };
                Call::IssueTokens(tokens, 2)
            }
            What::UseOnce => Call::UseOnce(named("used", which % 3), now.plus(TEN), 2),
            What::BeginDevice => {
                self.devices = self.devices.saturating_add(1);
                let device = device(of, which, now);
                Call::BeginDevice(named("device", self.devices), device, 3)
            }
            What::Device => Call::Device(user_code(which)),
            What::Decide => Call::DecideDevice(user_code(which), self.decision(step, now)),
            What::Poll => Call::PollDevice(self.device(which), client_id(of)),
            What::RedeemDevice => Call::RedeemDevice(
                self.device(which),
                DeviceTokens {
                    access: flow.access(0, 1, now),
                    refresh: (more % 3 > 0).then(|| flow.refresh(now)),
                    dpop_jkt: more.is_multiple_of(5).then(|| "thumbprint".to_owned()),
                    renew_client: renewal(more, now),
                },
            ),
            What::Refresh => Call::RefreshToken(flow.refresh_digest(which % 3, 0)),
            What::Rotate => Call::Rotate(flow.rotate(which, more, now)),
            What::Access => Call::AccessToken(flow.access_digest(which % 4, more % 2)),
            What::Among => Call::Among(
                (0..4)
                    .map(|number| self.flow(number).grant(now).id)
                    .collect(),
                (0..4)
                    .map(|number| flow.access_digest(number, more % 2))
                    .collect(),
            ),
            What::RevokeToken => Call::Revoke(match more % 3 {
                0 => RevokeTarget::AccessToken(flow.access_digest(which % 3, 0)),
                1 => RevokeTarget::RefreshToken(flow.refresh_digest(which % 3, 0)),
                _ => RevokeTarget::Grant(flow.id()),
            }),
            What::RevokeMany => Call::Revoke(match more % 4 {
                0 => RevokeTarget::Subject(subject(of)),
                1 => RevokeTarget::Client(client_id(of)),
                2 => RevokeTarget::Consent(subject(of), client_id(which)),
                _ => RevokeTarget::Session(subject(of), session(which)),
            }),
            What::Lists => match more % 3 {
                0 => Call::Grants(subject(of)),
                1 => Call::Consent(
                    subject(of),
                    client_id(which),
                    resource(),
                    destination(which),
                ),
                _ => Call::Consents(subject(of)),
            },
            What::Keys => Call::Keys(KeyPurpose::RefreshSuccessor),
            What::AddKey => {
                // Mostly the next one.
                let id = self.keys;
                self.keys += u32::from(more % 3 > 0);
                Call::AddKey(key(id, now), Duration::from_secs(GRACE))
            }
            What::Sweep => Call::Sweep,
        }
    }

    /// Questions that together show everything that an export leaves out.
    pub fn questions(&self) -> Vec<Call> {
        let mut all = Vec::new();
        all.extend((1..=self.pendings).map(|number| Call::Pending(named("pending", number))));
        all.extend((0..2).map(|number| Call::Device(user_code(number))));
        for number in 0..2 {
            all.push(Call::Grants(subject(number)));
            all.push(Call::Consents(subject(number)));
        }
        all
    }

    fn flow(&self, of: u8) -> Flow {
        // The newest are asked for most: the oldest are dead for most of a history.
        let newest = self.flows.len().saturating_sub(1);
        let found = self
            .flows
            .get(newest.saturating_sub([0, 0, 0, 1, 2][usize::from(of % 5)]));
        found.cloned().unwrap_or_else(|| Flow::new(0, of, of))
    }

    fn new_flow(&mut self, of: u8, which: u8) -> Flow {
        let flow = Flow::new(self.flows.len(), of, which);
        self.flows.push(flow.clone());
        flow
    }

    fn decision(&mut self, step: Step, now: Timestamp) -> DecideDevice {
        if step.more.is_multiple_of(4) {
            return DecideDevice::Deny;
        }
        let flow = self.new_flow(step.of, step.which);
        DecideDevice::Approve {
            grant: flow.grant(now),
            consent: step
                .more
                .is_multiple_of(2)
                .then(|| flow.consent(step.more, now)),
        }
    }

    fn pending(&self, which: u8) -> Digest {
        named("pending", self.pendings.saturating_sub(which % 2))
    }

    fn device(&self, which: u8) -> Digest {
        named("device", self.devices.saturating_sub(which % 2))
    }
}

impl Flow {
    fn new(number: usize, of: u8, which: u8) -> Self {
        Self {
            number,
            subject: subject(of),
            client: client_id(which),
        }
    }

    fn named(&self, what: &str) -> Digest {
        Digest::of(&format!("{what} of flow {}", self.number))
    }

    fn id(&self) -> GrantId {
        let digest = self.named("grant");
        GrantId::from_bytes(*digest.as_bytes().first_chunk().unwrap())
    }

    fn code(&self) -> Digest {
        self.named("code")
    }

    /// What follows depends on the key, as it does where it is derived.
    fn refresh_digest(&self, generation: u8, key: u8) -> Digest {
        self.named(&format!("refresh token {generation} by key {key}"))
    }

    fn access_digest(&self, generation: u8, variant: u8) -> Digest {
        self.named(&format!("access token {generation}.{variant}"))
    }

    fn grant(&self, now: Timestamp) -> GrantRecord {
        GrantRecord {
            id: self.id(),
            client_id: self.client.clone(),
            subject: self.subject.clone(),
            scopes: scopes(3),
            resource: resource(),
            created_at: now,
            expires_at: seconds(now, CODE_TTL),
            revoked_at: None,
            refresh_generation: 0,
            holder: GrantHolder::User,
            auth_time: None,
            dpop_jkt: None,
            session: self.number.is_multiple_of(2).then(|| session(0)),
        }
    }

    fn consent(&self, more: u8, now: Timestamp) -> ConsentRecord {
        ConsentRecord {
            subject: self.subject.clone(),
            client_id: self.client.clone(),
            resource: resource(),
            destination: destination(more),
            scopes: scopes(1 + more % 3),
            granted_at: now,
        }
    }

    fn issue(&self, pending: Option<Digest>, more: u8, now: Timestamp) -> IssueCode {
        IssueCode {
            pending,
            digest: self.code(),
            code: CodeRecord {
                grant: self.id(),
                redirect_uri: "https://app.example/callback".to_owned(),
                code_challenge: CodeChallenge::parse(&"c".repeat(43)).unwrap(),
                nonce: None,
                auth_time: None,
                expires_at: seconds(now, CODE_TTL),
                redeemed_at: None,
                dpop_jkt: None,
            },
            grant: self.grant(now),
            consent: more.is_multiple_of(2).then(|| self.consent(more, now)),
            renew_client: renewal(more, now),
        }
    }

    fn access(&self, generation: u8, variant: u8, now: Timestamp) -> (Digest, AccessTokenRecord) {
        let grant = self.grant(now);
        let record = AccessTokenRecord {
            grant: grant.id,
            client_id: grant.client_id,
            subject: grant.subject,
            scopes: scopes(1 + variant),
            resource: grant.resource,
            issued_at: now,
            expires_at: seconds(now, ACCESS_TTL),
            revoked_at: None,
            holder: GrantHolder::User,
            dpop_jkt: None,
        };
        (self.access_digest(generation, variant), record)
    }

    fn refresh(&self, now: Timestamp) -> (Digest, RefreshTokenRecord) {
        let record = RefreshTokenRecord {
            grant: self.id(),
            generation: 0,
            expires_at: seconds(now, REFRESH_TTL),
            used: None,
        };
        (self.refresh_digest(0, 0), record)
    }

    fn rotate(&self, which: u8, more: u8, now: Timestamp) -> RotateRefresh {
        // Mostly the first generations, and mostly one key.
        let generation = [0, 0, 0, 1, 1, 2][usize::from(which % 6)];
        let key = u8::from(more.is_multiple_of(8));
        RotateRefresh {
            presented: self.refresh_digest(generation, 0),
            successor: self.refresh_digest(generation + 1, key),
            successor_expires_at: seconds(now, REFRESH_TTL),
            key: u32::from(key),
            access: self.access(generation + 1, more % 3, now),
            grace: GRACE,
            max_access_tokens: 2,
            renew_client: renewal(more, now),
        }
    }
}

const TEN: Duration = Duration::from_secs(10);

fn seconds(now: Timestamp, later: u64) -> Timestamp {
    now.plus(Duration::from_secs(later))
}

fn renewal(more: u8, now: Timestamp) -> Option<Timestamp> {
    more.is_multiple_of(7).then(|| seconds(now, 400))
}

fn named(what: &str, number: u8) -> Digest {
    Digest::of(&format!("{what} {number}"))
}

fn user_code(number: u8) -> Digest {
    named("user code", number % 2)
}

fn session(number: u8) -> String {
    format!("session {}", number % 2)
}

fn subject(number: u8) -> Subject {
    Subject::new(["ann", "bob"][usize::from(number % 2)]).unwrap()
}

fn client_id(number: u8) -> ClientId {
    ClientId::new(["app", "ann", "other"][usize::from(number % 3)]).unwrap()
}

fn resource() -> ResourceUri {
    ResourceUri::parse("https://api.example.com/mcp").unwrap()
}

/// A device's, or one of two.
fn destination(which: u8) -> Option<Destination> {
    match which / 2 % 3 {
        0 => None,
        1 => Some(Destination::of("https://app.example/callback")),
        _ => Some(Destination::of("https://app.example/callback/2")),
    }
}

fn scopes(bits: u8) -> Scopes {
    let names = ["notes:read", "notes:write"].iter().enumerate();
    Scopes::from_tokens(names.filter_map(|(bit, name)| (bits >> bit & 1 == 1).then_some(name)))
        .unwrap()
}

fn key(id: u32, now: Timestamp) -> KeyRecord {
    KeyRecord {
        purpose: KeyPurpose::RefreshSuccessor,
        id,
        key: KeyMaterial::new(id.to_be_bytes().to_vec()),
        created_at: now,
        retires_at: None,
        expires_at: None,
    }
}

fn client(number: u8, now: Timestamp, more: u8) -> ClientRecord {
    let metadata = serde_json::json!({
        "redirect_uris": ["https://app.example/callback"],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "application_type": "web",
        "client_name": format!("Version {more}"),
    });
    ClientRecord {
        id: client_id(number),
        secret: None,
        secret_expires_at: None,
        metadata: serde_json::from_value(metadata).unwrap(),
        issued_at: now,
        expires_at: seconds(now, [40, 200][usize::from(more % 2)]),
        management: None,
    }
}

fn pending(number: u8, now: Timestamp) -> PendingAuthorization {
    PendingAuthorization {
        request: AuthorizationRequest {
            client_id: client_id(number),
            redirect_uri: "https://app.example/callback".to_owned(),
            scopes: scopes(3),
            resource: resource(),
            state: None,
            code_challenge: CodeChallenge::parse(&"c".repeat(43)).unwrap(),
            nonce: None,
            prompt_consent: false,
            prompt_login: false,
            prompt_none: false,
            max_age: None,
            dpop_jkt: None,
            login_hint: None,
            hinted: None,
        },
        browser: None,
        client: None,
        created_at: now,
        expires_at: seconds(now, CODE_TTL),
    }
}

fn device(number: u8, code: u8, now: Timestamp) -> DeviceRecord {
    DeviceRecord {
        client_id: client_id(number),
        scopes: scopes(3),
        resource: resource(),
        user_code: user_code(code),
        created_at: now,
        expires_at: seconds(now, CODE_TTL),
        interval: 5,
        last_poll: None,
        decision: None,
        client: None,
        dpop_jkt: None,
    }
}
