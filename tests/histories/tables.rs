//! Tables that are copied and searched from end to end, and what is done to more than one of them.

use std::collections::BTreeMap;

use tower_mcp_auth::{
    ClientId, Digest, GrantId, Subject, Timestamp,
    store::{record::*, *},
};

pub(super) type Bytes = [u8; 32];
type ConsentName = (Subject, ClientId, String, Option<Destination>);

/// Everything that is stored.
#[derive(Clone, Default, PartialEq)]
pub struct Tables {
    pub(super) clients: BTreeMap<ClientId, ClientRecord>,
    pub(super) pendings: BTreeMap<Bytes, PendingAuthorization>,
    pub(super) codes: BTreeMap<Bytes, CodeRecord>,
    pub(super) grants: BTreeMap<GrantId, GrantRecord>,
    pub(super) access: BTreeMap<Bytes, AccessTokenRecord>,
    pub(super) refresh: BTreeMap<Bytes, RefreshTokenRecord>,
    pub(super) consents: BTreeMap<ConsentName, ConsentRecord>,
    pub(super) devices: BTreeMap<Bytes, DeviceRecord>,
    pub(super) used: BTreeMap<Bytes, Timestamp>,
    pub(super) keys: Vec<KeyRecord>,
}

impl Tables {
    pub(super) fn revoke_grants(
        &mut self,
        now: Timestamp,
        is_meant: impl Fn(&GrantRecord) -> bool,
    ) -> Revocation {
        let mut reached = Revocation::default();
        for grant in self.grants.values_mut().filter(|grant| is_meant(grant)) {
            grant.revoked_at.get_or_insert(now);
            reached.grants.push(grant.id);
        }
        reached
    }

    pub(super) fn outlive(&mut self, grant: GrantId, until: Timestamp) {
        if let Some(grant) = self.grants.get_mut(&grant) {
            grant.expires_at = grant.expires_at.max(until);
        }
    }

    pub(super) fn remember(&mut self, consent: &ConsentRecord) {
        let (subject, client) = (consent.subject.clone(), consent.client_id.clone());
        let destination = consent.destination.clone();
        let name = (subject, client, consent.resource.to_string(), destination);
        let mut merged = consent.clone();
        if let Some(old) = self.consents.get(&name) {
            merged.scopes = merged.scopes.union(&old.scopes);
        }
        self.consents.insert(name, merged);
    }

    pub(super) fn bind(&mut self, grant: GrantId, key: Option<String>) {
        if let (Some(grant), Some(key)) = (self.grants.get_mut(&grant), key) {
            grant.dpop_jkt = Some(key);
        }
    }

    pub(super) fn renew(&mut self, client: &ClientId, until: Option<Timestamp>) {
        if let (Some(client), Some(until)) = (self.clients.get_mut(client), until) {
            client.expires_at = client.expires_at.max(until);
        }
    }

    pub(super) fn first_tokens(
        &mut self,
        grant: GrantId,
        (digest, access): &(Digest, AccessTokenRecord),
        refresh: Option<&(Digest, RefreshTokenRecord)>,
    ) {
        self.outlive(grant, access.expires_at);
        self.access.insert(*digest.as_bytes(), access.clone());
        if let Some((digest, refresh)) = refresh {
            self.outlive(grant, refresh.expires_at);
            self.refresh.insert(*digest.as_bytes(), refresh.clone());
        }
    }

    pub(super) fn device_of(&self, user_code: &Digest, now: Timestamp) -> Option<Bytes> {
        let found = self.devices.iter();
        let mut found =
            found.filter(|(_, device)| device.user_code == *user_code && now < device.expires_at);
        found.next().map(|(id, _)| *id)
    }

    pub(super) fn use_once(
        &mut self,
        digest: &Digest,
        until: Timestamp,
        max: u64,
        now: Timestamp,
    ) -> UseOnce {
        match self.used.get(digest.as_bytes()) {
            Some(old) if now < *old => return UseOnce::Again,
            None if self.used.len() as u64 >= max => return UseOnce::Full,
            _ => {}
        }
        self.used.insert(*digest.as_bytes(), until);
        UseOnce::First
    }

    pub(super) fn rotate(
        &mut self,
        rotate: &RotateRefresh,
        now: Timestamp,
    ) -> RotateRefreshOutcome {
        use RotateRefreshOutcome as Outcome;
        let Some(presented) = self.refresh.get(rotate.presented.as_bytes()).cloned() else {
            return Outcome::Unknown;
        };
        let Some(grant) = self.grants.get(&presented.grant).cloned() else {
            return Outcome::Unknown;
        };
        if grant.revoked_at.is_some() {
            return Outcome::Revoked;
        }
        if now >= presented.expires_at {
            return Outcome::Expired;
        }
        let (digest, access) = (*rotate.access.0.as_bytes(), &rotate.access.1);
        let mut access = access.clone();
        let outcome = match &presented.used {
            None => {
                let successor = RefreshTokenRecord {
                    grant: grant.id,
                    generation: presented.generation + 1,
                    expires_at: rotate.successor_expires_at,
                    used: None,
                };
                self.refresh.insert(*rotate.successor.as_bytes(), successor);
                self.outlive(grant.id, rotate.successor_expires_at);
                self.renew(&grant.client_id, rotate.renew_client);
                Outcome::Rotated
            }
            Some(first) => {
                let generations = self.refresh.values();
                let next_is_used =
                    generations
                        .filter(|token| token.grant == grant.id)
                        .any(|token| {
                            token.generation == presented.generation + 1 && token.used.is_some()
                        });
                let over = now.as_secs() > first.at.as_secs() + rotate.grace;
                if over || next_is_used {
                    self.revoke_grants(now, |other| other.id == grant.id);
                    return Outcome::Replayed(grant.id);
                }
                if first.key != rotate.key {
                    return Outcome::OtherKey {
                        key: first.key,
                        first_used_at: first.at,
                    };
                }
                let repeated = Outcome::Repeated {
                    first_used_at: first.at,
                };
                if self.access.contains_key(&digest) {
                    return repeated;
                }
                if first.access_tokens >= rotate.max_access_tokens {
                    return Outcome::TooManyAccessTokens;
                }
                let life = access.issued_at.until(access.expires_at);
                access.expires_at = access.expires_at.min(first.at.plus(life));
                repeated
            }
        };
        self.access.entry(digest).or_insert_with(|| access.clone());
        self.outlive(grant.id, access.expires_at);
        if let Some(presented) = self.refresh.get_mut(rotate.presented.as_bytes()) {
            let used = presented.used.get_or_insert(RefreshUse {
                at: now,
                key: rotate.key,
                access_tokens: 0,
            });
            used.access_tokens += 1;
        }
        if outcome == Outcome::Rotated
            && let Some(grant) = self.grants.get_mut(&grant.id)
        {
            grant.refresh_generation = presented.generation + 1;
        }
        outcome
    }

    pub(super) fn sweep(&mut self, now: Timestamp) -> usize {
        let before = self.len();
        let (clients, consents) = (&mut self.clients, &mut self.consents);
        clients.retain(|id, client| {
            let stays = now < client.expires_at;
            consents.retain(|_, consent| stays || consent.client_id != *id);
            stays
        });
        self.pendings.retain(|_, row| now < row.expires_at);
        self.codes.retain(|_, row| now < row.expires_at);
        self.grants.retain(|_, row| now < row.expires_at);
        self.access.retain(|_, row| now < row.expires_at);
        self.refresh.retain(|_, row| now < row.expires_at);
        self.devices.retain(|_, row| now < row.expires_at);
        self.used.retain(|_, until| now < *until);
        self.keys
            .retain(|key| key.expires_at.is_none_or(|at| now < at));
        before - self.len()
    }

    pub(super) fn len(&self) -> usize {
        let tokens = self.codes.len() + self.grants.len() + self.access.len() + self.refresh.len();
        let people = self.clients.len() + self.consents.len();
        let waiting = self.pendings.len() + self.devices.len();
        tokens + people + waiting + self.used.len() + self.keys.len()
    }

    pub(super) fn records(&self) -> Vec<Record> {
        let digest = |bytes: &Bytes| Digest::from_bytes(*bytes);
        let mut records = Vec::new();
        records.extend(self.clients.values().cloned().map(Record::Client));
        records.extend(self.grants.values().cloned().map(Record::Grant));
        records.extend(self.consents.values().cloned().map(Record::Consent));
        records.extend(self.keys.iter().cloned().map(Record::Key));
        records.extend(self.codes.iter().map(|(id, record)| Record::Code {
            digest: digest(id),
            record: record.clone(),
        }));
        records.extend(self.access.iter().map(|(id, record)| Record::AccessToken {
            digest: digest(id),
            record: record.clone(),
        }));
        records.extend(
            self.refresh
                .iter()
                .map(|(id, record)| Record::RefreshToken {
                    digest: digest(id),
                    record: record.clone(),
                }),
        );
        records.extend(self.used.iter().map(|(id, expires_at)| Record::Used {
            digest: digest(id),
            expires_at: *expires_at,
        }));
        records
    }
}
