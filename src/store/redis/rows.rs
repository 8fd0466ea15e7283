//! Records as hashes: one field holds the record as JSON, which no script reads or writes; beside
//! it is a field for everything that scripts decide on or change. What a field says counts.

use std::{collections::HashMap, fmt::Display, str::FromStr};

use ::redis::{FromRedisValue, ParsingError, Value};
use serde::{Serialize, de::DeserializeOwned};

use super::error::damaged;
use crate::{
    clock::Timestamp,
    store::{
        StoreError,
        record::{
            AccessTokenRecord, ClientRecord, CodeRecord, ConsentRecord, DeviceDecision,
            DeviceRecord, GrantHolder, GrantRecord, KeyRecord, PendingAuthorization,
            RefreshTokenRecord, RefreshUse,
        },
    },
};

type Result<T> = std::result::Result<T, StoreError>;

/// The largest number that scripts handle: Lua's numbers are doubles. A later time, in 285 million
/// years, is as good as the end of time.
const FOREVER: u64 = (1 << 53) - 1;

/// A number as scripts take it.
pub(super) fn number(number: u64) -> String {
    number.min(FOREVER).to_string()
}

/// A point in time as scripts take it.
pub(super) fn seconds(at: Timestamp) -> String {
    number(at.as_secs())
}

/// Undoes [`seconds`].
pub(super) fn timestamp(seconds: u64) -> Timestamp {
    Timestamp::from_secs(if seconds < FOREVER { seconds } else { u64::MAX })
}

/// The fields to write.
pub(super) struct Fields(pub(super) Vec<(&'static str, String)>);

impl Fields {
    fn of(record: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_string(record).map_err(StoreError::unavailable)?;
        Ok(Self(vec![("json", json)]))
    }

    fn with(mut self, field: &'static str, value: impl Display) -> Self {
        self.0.push((field, value.to_string()));
        self
    }

    fn at(self, field: &'static str, at: Timestamp) -> Self {
        self.with(field, seconds(at))
    }

    fn maybe(self, field: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }
}

/// The fields that were read; none of a record that is not there.
#[derive(Debug, Default)]
pub(super) struct Found(HashMap<String, String>);

impl FromRedisValue for Found {
    fn from_redis_value(value: Value) -> std::result::Result<Self, ParsingError> {
        HashMap::from_redis_value(value).map(Self)
    }
}

impl Found {
    /// The record, if it is there.
    pub(super) fn row<T: Row>(&self) -> Result<Option<T>> {
        (!self.0.is_empty()).then(|| T::read(self)).transpose()
    }

    fn record<T: DeserializeOwned>(&self) -> Result<T> {
        let json = self.text("json").ok_or_else(|| damaged("json"))?;
        serde_json::from_str(json).map_err(damaged)
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    fn maybe<T: FromStr>(&self, field: &'static str) -> Result<Option<T>> {
        let parse = |text: &str| text.parse().map_err(|_| damaged(field));
        self.text(field).map(parse).transpose()
    }

    pub(super) fn get<T: FromStr>(&self, field: &'static str) -> Result<T> {
        self.maybe(field)?.ok_or_else(|| damaged(field))
    }

    fn when(&self, field: &'static str) -> Result<Option<Timestamp>> {
        Ok(self.maybe(field)?.map(timestamp))
    }

    fn at(&self, field: &'static str) -> Result<Timestamp> {
        self.when(field)?.ok_or_else(|| damaged(field))
    }
}

/// A record as fields.
pub(super) trait Row: Sized {
    fn fields(&self) -> Result<Fields>;

    fn read(found: &Found) -> Result<Self>;
}

impl Row for ClientRecord {
    fn fields(&self) -> Result<Fields> {
        Ok(Fields::of(self)?.at("expires", self.expires_at))
    }

    fn read(found: &Found) -> Result<Self> {
        Ok(Self {
            expires_at: found.at("expires")?,
            ..found.record()?
        })
    }
}

impl Row for PendingAuthorization {
    fn fields(&self) -> Result<Fields> {
        Ok(Fields::of(self)?.at("expires", self.expires_at))
    }

    fn read(found: &Found) -> Result<Self> {
        found.record()
    }
}

impl Row for CodeRecord {
    fn fields(&self) -> Result<Fields> {
        let fields = Fields::of(self)?
            .with("grant", self.grant)
            .at("expires", self.expires_at);
        Ok(fields.maybe("redeemed", self.redeemed_at.map(seconds)))
    }

    fn read(found: &Found) -> Result<Self> {
        Ok(Self {
            redeemed_at: found.when("redeemed")?,
            ..found.record()?
        })
    }
}

impl Row for GrantRecord {
    fn fields(&self) -> Result<Fields> {
        // A client's own name says nothing about the user who has the same one.
        let user = (self.holder == GrantHolder::User).then_some(&self.subject);
        let fields = Fields::of(self)?
            .with("client", &self.client_id)
            .maybe("subject", user)
            .maybe("session", self.session.as_ref())
            .at("expires", self.expires_at)
            .with("generation", self.refresh_generation)
            .maybe("jkt", self.dpop_jkt.as_ref());
        Ok(fields.maybe("revoked", self.revoked_at.map(seconds)))
    }

    fn read(found: &Found) -> Result<Self> {
        Ok(Self {
            expires_at: found.at("expires")?,
            revoked_at: found.when("revoked")?,
            refresh_generation: found.get("generation")?,
            dpop_jkt: found.text("jkt").map(str::to_owned),
            ..found.record()?
        })
    }
}

impl Row for AccessTokenRecord {
    fn fields(&self) -> Result<Fields> {
        let fields = Fields::of(self)?
            .with("grant", self.grant)
            .at("expires", self.expires_at);
        Ok(fields.maybe("revoked", self.revoked_at.map(seconds)))
    }

    fn read(found: &Found) -> Result<Self> {
        Ok(Self {
            expires_at: found.at("expires")?,
            revoked_at: found.when("revoked")?,
            ..found.record()?
        })
    }
}

/// Scripts decide on all of it, so there is no JSON.
impl Row for RefreshTokenRecord {
    fn fields(&self) -> Result<Fields> {
        let fields = Fields(Vec::with_capacity(6))
            .with("grant", self.grant)
            .with("generation", self.generation)
            .at("expires", self.expires_at);
        Ok(match &self.used {
            Some(used) => fields
                .at("used_at", used.at)
                .with("used_key", used.key)
                .with("used_tokens", used.access_tokens),
            None => fields,
        })
    }

    fn read(found: &Found) -> Result<Self> {
        let used = match found.when("used_at")? {
            Some(at) => Some(RefreshUse {
                at,
                key: found.get("used_key")?,
                access_tokens: found.get("used_tokens")?,
            }),
            None => None,
        };
        Ok(Self {
            grant: found.get("grant")?,
            generation: found.get("generation")?,
            expires_at: found.at("expires")?,
            used,
        })
    }
}

impl Row for ConsentRecord {
    fn fields(&self) -> Result<Fields> {
        Ok(Fields::of(self)?
            .with("subject", &self.subject)
            .with("client", &self.client_id)
            .with("scopes", &self.scopes))
    }

    fn read(found: &Found) -> Result<Self> {
        Ok(Self {
            scopes: found.get("scopes")?,
            ..found.record()?
        })
    }
}

impl Row for DeviceRecord {
    fn fields(&self) -> Result<Fields> {
        Ok(Fields::of(self)?
            .with("client", &self.client_id)
            .with("code", super::keys::name(&self.user_code))
            .at("expires", self.expires_at)
            .with("interval", number(self.interval))
            .maybe("last_poll", self.last_poll.map(seconds))
            .maybe("decision", self.decision.as_ref().map(decision)))
    }

    fn read(found: &Found) -> Result<Self> {
        let decision = match found.text("decision") {
            Some("denied") => Some(DeviceDecision::Denied),
            Some(_) => Some(DeviceDecision::Approved {
                grant: found.get("decision")?,
            }),
            None => None,
        };
        Ok(Self {
            interval: found.get("interval")?,
            last_poll: found.when("last_poll")?,
            decision,
            ..found.record()?
        })
    }
}

/// A decision as one word.
pub(super) fn decision(decision: &DeviceDecision) -> String {
    match decision {
        DeviceDecision::Approved { grant } => grant.to_string(),
        DeviceDecision::Denied => "denied".to_owned(),
    }
}

impl Row for KeyRecord {
    fn fields(&self) -> Result<Fields> {
        Ok(Fields::of(self)?
            .maybe("retires", self.retires_at.map(seconds))
            .maybe("expires", self.expires_at.map(seconds)))
    }

    fn read(found: &Found) -> Result<Self> {
        Ok(Self {
            retires_at: found.when("retires")?,
            expires_at: found.when("expires")?,
            ..found.record()?
        })
    }
}
