//! Records to test with, and the steps that most checks begin with.

use crate::{
    ApplicationType, ClientAuthMethod, CodeChallenge, Scopes, store::contract::prelude::*,
};

/// When it is, unless a check says otherwise.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_000_000);
pub(super) const CODE_TTL: u64 = 600;
pub(super) const ACCESS_TTL: u64 = 3600;
pub(super) const REFRESH_TTL: u64 = 604_800;
pub(super) const GRACE: u64 = 30;
pub(super) const MAX_ACCESS_TOKENS: u8 = 3;

pub(super) fn after(seconds: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + seconds)
}

pub(super) fn subject(name: &str) -> Subject {
    Subject::new(name).expect("a subject")
}

pub(super) fn client_id(name: &str) -> ClientId {
    ClientId::new(name).expect("a client id")
}

pub(super) fn resource() -> ResourceUri {
    ResourceUri::parse("https://api.example.com/mcp").expect("a resource")
}

pub(super) fn destination() -> Option<Destination> {
    Some(Destination::of("http://127.0.0.1:4000/callback"))
}

pub(super) fn scopes(list: &str) -> Scopes {
    Scopes::parse(list).expect("scopes")
}

fn challenge() -> CodeChallenge {
    CodeChallenge::parse(&"c".repeat(43)).expect("a challenge")
}

pub(super) fn client(name: &str) -> ClientRecord {
    ClientRecord {
        id: client_id(name),
        secret: Some(Digest::of("a client secret")),
        secret_expires_at: None,
        metadata: ClientMetadata {
            redirect_uris: vec!["http://127.0.0.1/callback".to_owned()],
            token_endpoint_auth_method: ClientAuthMethod::ClientSecretBasic,
            grant_types: vec!["authorization_code".to_owned(), "refresh_token".to_owned()],
            response_types: vec!["code".to_owned()],
            application_type: ApplicationType::Native,
            scope: Some("notes:read".to_owned()),
            client_name: Some("Nötizen \"✎\"".to_owned()),
            client_uri: None,
            logo_uri: None,
            tos_uri: None,
            policy_uri: None,
            contacts: vec!["someone@example.com".to_owned()],
            software_id: None,
            software_version: None,
            jwks: None,
            jwks_uri: None,
            dpop_bound_access_tokens: false,
            post_logout_redirect_uris: Vec::new(),
            token_endpoint_auth_signing_alg: None,
            id_token_signed_response_alg: None,
        },
        issued_at: NOW,
        expires_at: after(1000),
        management: None,
    }
}

pub(super) fn pending(client: &str) -> PendingAuthorization {
    PendingAuthorization {
        request: AuthorizationRequest {
            client_id: client_id(client),
            redirect_uri: "http://127.0.0.1:4000/callback".to_owned(),
            scopes: scopes("notes:read"),
            resource: resource(),
            state: Some("state".to_owned()),
            code_challenge: challenge(),
            nonce: None,
            prompt_consent: false,
            prompt_login: false,
            prompt_none: false,
            max_age: None,
            dpop_jkt: None,
            login_hint: None,
            hinted: None,
        },
        browser: Some(Digest::of("a cookie")),
        client: None,
        created_at: NOW,
        expires_at: after(CODE_TTL),
    }
}

pub(super) fn consent(subject_: &str, client: &str, list: &str) -> ConsentRecord {
    ConsentRecord {
        subject: subject(subject_),
        client_id: client_id(client),
        resource: resource(),
        destination: destination(),
        scopes: scopes(list),
        granted_at: NOW,
    }
}

/// One approval and what comes of it; every secret is named after `label`.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    label: String,
    pub(super) issue: IssueCode,
}

impl Flow {
    pub(super) fn new(label: &str, subject_: &str, client: &str) -> Self {
        let grant = GrantRecord {
            id: GrantId::random(),
            client_id: client_id(client),
            subject: subject(subject_),
            scopes: scopes("notes:read notes:write"),
            resource: resource(),
            created_at: NOW,
            expires_at: after(CODE_TTL),
            revoked_at: None,
            refresh_generation: 0,
            holder: GrantHolder::User,
            auth_time: None,
            dpop_jkt: None,
            session: None,
        };
        let issue = IssueCode {
            pending: None,
            digest: Digest::of(&format!("code {label}")),
            code: CodeRecord {
                grant: grant.id,
                redirect_uri: "http://127.0.0.1:4000/callback".to_owned(),
                code_challenge: challenge(),
                nonce: Some("nonce".to_owned()),
                auth_time: Some(NOW),
                expires_at: after(CODE_TTL),
                redeemed_at: None,
                dpop_jkt: None,
            },
            grant,
            consent: Some(consent(subject_, client, "notes:read")),
            renew_client: None,
        };
        Self {
            label: label.to_owned(),
            issue,
        }
    }

    pub(super) fn grant(&self) -> GrantId {
        self.issue.grant.id
    }

    pub(super) fn code(&self) -> Digest {
        self.issue.digest
    }

    pub(super) fn access(&self, generation: u32) -> Digest {
        Digest::of(&format!("access {} {generation}", self.label))
    }

    pub(super) fn refresh(&self, generation: u32) -> Digest {
        Digest::of(&format!("refresh {} {generation}", self.label))
    }

    pub(super) fn access_record(&self, issued_at: Timestamp) -> AccessTokenRecord {
        let grant = &self.issue.grant;
        AccessTokenRecord {
            grant: grant.id,
            client_id: grant.client_id.clone(),
            subject: grant.subject.clone(),
            scopes: grant.scopes.clone(),
            resource: grant.resource.clone(),
            issued_at,
            expires_at: Timestamp::from_secs(issued_at.as_secs() + ACCESS_TTL),
            revoked_at: None,
            holder: GrantHolder::User,
            dpop_jkt: None,
        }
    }

    pub(super) fn redeem(&self) -> RedeemCode {
        let refresh = RefreshTokenRecord {
            grant: self.grant(),
            generation: 0,
            expires_at: after(REFRESH_TTL),
            used: None,
        };
        RedeemCode {
            code: self.code(),
            access: (self.access(0), self.access_record(NOW)),
            refresh: Some((self.refresh(0), refresh)),
            dpop_jkt: None,
            renew_client: None,
        }
    }

    /// The same tokens, without a code.
    pub(super) fn tokens(&self) -> IssueTokens {
        let RedeemCode {
            access, refresh, ..
        } = self.redeem();
        IssueTokens {
            grant: self.issue.grant.clone(),
            access,
            refresh,
            used: None,
            renew_client: None,
        }
    }

    /// The same tokens, for a device.
    pub(super) fn device_tokens(&self) -> DeviceTokens {
        let RedeemCode {
            access, refresh, ..
        } = self.redeem();
        DeviceTokens {
            access,
            refresh,
            dpop_jkt: None,
            renew_client: None,
        }
    }

    /// Presents the refresh token of `generation` at `now`.
    pub(super) fn rotate(&self, generation: u32, now: Timestamp) -> RotateRefresh {
        RotateRefresh {
            presented: self.refresh(generation),
            successor: self.refresh(generation + 1),
            successor_expires_at: Timestamp::from_secs(now.as_secs() + REFRESH_TTL),
            key: 7,
            access: (self.access(generation + 1), self.access_record(now)),
            grace: GRACE,
            max_access_tokens: MAX_ACCESS_TOKENS,
            renew_client: None,
        }
    }

    /// Stores the approval.
    pub(super) async fn issued<S: Store>(self, store: &S) -> Self {
        let outcome = store.issue_code(self.issue.clone(), NOW).await;
        assert_eq!(
            outcome.expect("no store error"),
            IssueCodeOutcome::Issued,
            "an approval without a page is stored"
        );
        self
    }

    /// Stores the approval and redeems its code.
    pub(super) async fn redeemed<S: Store>(self, store: &S) -> Self {
        let flow = self.issued(store).await;
        let outcome = store.redeem_code(flow.redeem(), NOW).await;
        assert_eq!(
            outcome.expect("no store error"),
            RedeemCodeOutcome::Redeemed,
            "a fresh code is redeemed"
        );
        flow
    }

    pub(super) async fn grant_record<S: Store>(&self, store: &S) -> GrantRecord {
        let found = store.code(self.code()).await.expect("no store error");
        found.expect("the code and its grant are stored").1
    }

    pub(super) async fn refresh_record<S: Store>(
        &self,
        store: &S,
        generation: u32,
    ) -> RefreshTokenRecord {
        let found = store.refresh_token(self.refresh(generation)).await;
        let found = found.expect("no store error");
        found.expect("the refresh token and its grant are stored").0
    }

    /// Whether the access token of that generation is alive.
    pub(super) async fn is_live<S: Store>(&self, store: &S, generation: u32) -> bool {
        let found = store.access_token(self.access(generation)).await;
        found
            .expect("no store error")
            .is_some_and(|token| !token.revoked)
    }
}

/// Runs `count` calls at once and collects their answers.
pub(super) async fn all<T, F>(count: usize, call: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let gate = std::sync::Arc::new(tokio::sync::Barrier::new(count));
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let (gate, call) = (gate.clone(), call(number));
            tokio::spawn(async move {
                gate.wait().await;
                call.await
            })
        })
        .collect();
    let mut answers = Vec::with_capacity(count);
    for task in tasks {
        let answer = task.await.expect("the call does not panic");
        answers.push(answer.expect("no store error"));
    }
    answers
}
