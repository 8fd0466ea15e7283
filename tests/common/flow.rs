//! Approvals and tokens to fill a store with, named after a label.
#![allow(dead_code, reason = "each test program uses a part of it")]

use tower_mcp_auth::{
    ClientId, CodeChallenge, Digest, GrantId, ResourceUri, Scopes, Subject, Timestamp,
    store::{
        IssueCode, IssueCodeOutcome, RedeemCode, RedeemCodeOutcome, RotateRefresh,
        RotateRefreshOutcome, Store, StoreError,
        record::{
            AccessTokenRecord, ClientRecord, CodeRecord, ConsentRecord, Destination, GrantHolder,
            GrantRecord, Record, RefreshTokenRecord, RefreshUse,
        },
    },
};

/// When it is.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_000_000);

/// `seconds` after [`NOW`].
pub(crate) fn after(seconds: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + seconds)
}

/// One approval and what comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    label: String,
}

impl Flow {
    pub(crate) fn new(label: &str) -> Self {
        Self {
            label: label.to_owned(),
        }
    }

    fn digest(&self, what: &str) -> Digest {
        Digest::of(&format!("{what} {}", self.label))
    }

    pub(crate) fn grant(&self) -> GrantId {
        let digest = self.digest("grant");
        let (id, _) = digest.as_bytes().split_first_chunk().unwrap();
        GrantId::from_bytes(*id)
    }

    pub(crate) fn access(&self, generation: u32) -> Digest {
        self.digest(&format!("access {generation}"))
    }

    pub(crate) fn refresh(&self, generation: u32) -> Digest {
        self.digest(&format!("refresh {generation}"))
    }

    pub(crate) fn subject(&self) -> Subject {
        let short: String = self.label.chars().take(200).collect();
        Subject::new(format!("user of {short}")).unwrap()
    }

    pub(crate) fn client(&self) -> ClientId {
        ClientId::new(format!("client-{}", self.label.replace(' ', "-"))).unwrap()
    }

    pub(crate) fn resource(&self) -> ResourceUri {
        ResourceUri::parse("https://api.example.com/mcp").unwrap()
    }

    pub(crate) fn destination(&self) -> Option<Destination> {
        Some(Destination::of("http://127.0.0.1/callback"))
    }

    pub(crate) fn issue_request(&self) -> IssueCode {
        let scopes = Scopes::parse("notes:read notes:write").unwrap();
        IssueCode {
            pending: None,
            digest: self.digest("code"),
            code: CodeRecord {
                grant: self.grant(),
                redirect_uri: "http://127.0.0.1/callback".to_owned(),
                code_challenge: CodeChallenge::parse(&"c".repeat(43)).unwrap(),
                nonce: None,
                auth_time: None,
                expires_at: after(600),
                redeemed_at: None,
                dpop_jkt: None,
            },
            grant: GrantRecord {
                id: self.grant(),
                client_id: self.client(),
                subject: self.subject(),
                scopes: scopes.clone(),
                resource: self.resource(),
                created_at: NOW,
                expires_at: after(600),
                revoked_at: None,
                refresh_generation: 0,
                holder: GrantHolder::User,
                auth_time: None,
                dpop_jkt: None,
                session: None,
            },
            consent: Some(ConsentRecord {
                subject: self.subject(),
                client_id: self.client(),
                resource: self.resource(),
                destination: self.destination(),
                scopes,
                granted_at: NOW,
            }),
            renew_client: None,
        }
    }

    fn access_record(&self) -> AccessTokenRecord {
        let grant = self.issue_request().grant;
        AccessTokenRecord {
            grant: grant.id,
            client_id: grant.client_id,
            subject: grant.subject,
            scopes: grant.scopes,
            resource: grant.resource,
            issued_at: NOW,
            expires_at: after(3600),
            revoked_at: None,
            holder: GrantHolder::User,
            dpop_jkt: None,
        }
    }

    pub(crate) async fn issue(&self, store: &impl Store) {
        let outcome = store.issue_code(self.issue_request(), NOW).await.unwrap();
        assert_eq!(outcome, IssueCodeOutcome::Issued);
    }

    pub(crate) async fn redeem_code(&self, store: &impl Store) -> RedeemCodeOutcome {
        self.try_redeem_code(store).await.unwrap()
    }

    /// Redeems the code, if the store can.
    pub(crate) async fn try_redeem_code(
        &self,
        store: &impl Store,
    ) -> Result<RedeemCodeOutcome, StoreError> {
        store.redeem_code(self.redeem_request(), NOW).await
    }

    fn redeem_request(&self) -> RedeemCode {
        let refresh = RefreshTokenRecord {
            grant: self.grant(),
            generation: 0,
            expires_at: after(604_800),
            used: None,
        };
        RedeemCode {
            code: self.digest("code"),
            access: (self.access(0), self.access_record()),
            refresh: Some((self.refresh(0), refresh)),
            dpop_jkt: None,
            renew_client: None,
        }
    }

    /// Issues the code and redeems it, if the store can.
    pub(crate) async fn try_redeem(&self, store: &impl Store) -> Result<(), StoreError> {
        store.issue_code(self.issue_request(), NOW).await?;
        self.try_redeem_code(store).await?;
        Ok(())
    }

    /// Issues the code and redeems it.
    pub(crate) async fn redeem(&self, store: &impl Store) {
        self.issue(store).await;
        let outcome = self.redeem_code(store).await;
        assert_eq!(outcome, RedeemCodeOutcome::Redeemed);
    }

    /// Everything that a store has of it after a rotation, its client included.
    pub(crate) fn records(&self) -> Vec<Record> {
        let IssueCode {
            digest,
            mut code,
            mut grant,
            consent,
            ..
        } = self.issue_request();
        code.redeemed_at = Some(NOW);
        grant.refresh_generation = 1;
        grant.expires_at = after(604_800);
        let access = |generation| Record::AccessToken {
            digest: self.access(generation),
            record: self.access_record(),
        };
        let refresh = |generation, used| Record::RefreshToken {
            digest: self.refresh(generation),
            record: RefreshTokenRecord {
                grant: self.grant(),
                generation,
                expires_at: after(604_800),
                used,
            },
        };
        let first_use = RefreshUse {
            at: NOW,
            key: 0,
            access_tokens: 1,
        };
        vec![
            Record::Client(client(self.client().as_str(), "A client")),
            Record::Grant(grant),
            Record::Code {
                digest,
                record: code,
            },
            access(0),
            access(1),
            refresh(0, Some(first_use)),
            refresh(1, None),
            Record::Consent(consent.unwrap()),
            Record::Used {
                digest: self.digest("assertion"),
                expires_at: after(600),
            },
        ]
    }

    pub(crate) async fn rotate(&self, store: &impl Store, generation: u32) -> RotateRefreshOutcome {
        self.try_rotate(store, generation, NOW).await.unwrap()
    }

    /// Uses a refresh token, if the store can.
    pub(crate) async fn try_rotate(
        &self,
        store: &impl Store,
        generation: u32,
        now: Timestamp,
    ) -> Result<RotateRefreshOutcome, StoreError> {
        let rotate = RotateRefresh {
            presented: self.refresh(generation),
            successor: self.refresh(generation + 1),
            successor_expires_at: after(604_800),
            key: 0,
            access: (self.access(generation + 1), self.access_record()),
            grace: 30,
            max_access_tokens: 3,
            renew_client: None,
        };
        store.rotate_refresh(rotate, now).await
    }

    /// Whether the first access token is alive.
    pub(crate) async fn is_live(&self, store: &impl Store) -> Result<bool, StoreError> {
        let token = store.access_token(self.access(0)).await?;
        Ok(token.is_some_and(|token| !token.revoked))
    }
}

/// A client that is larger than what sled keeps in its own file.
pub(crate) fn giant_client(name: &str) -> ClientRecord {
    client(name, &name.repeat(400_000))
}

fn client(id: &str, client_name: &str) -> ClientRecord {
    let metadata = serde_json::json!({
        "redirect_uris": [],
        "token_endpoint_auth_method": "none",
        "grant_types": [],
        "response_types": [],
        "application_type": "native",
        "client_name": client_name,
    });
    ClientRecord {
        id: ClientId::new(id).unwrap(),
        secret: None,
        secret_expires_at: None,
        metadata: serde_json::from_value(metadata).unwrap(),
        issued_at: NOW,
        expires_at: after(1000),
        management: None,
    }
}
