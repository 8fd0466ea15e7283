//! One call of a script. The keys and arguments are listed in the order in which it takes them.

use ::redis::Cmd;

use super::{
    keys::{Keys, Kind, name, name_of_consent},
    rows::{Row, number, seconds},
    scripts::Script,
};
use crate::{
    clock::Timestamp,
    id::ClientId,
    scope,
    secret::Digest,
    store::{
        StoreError,
        record::{AccessTokenRecord, ConsentRecord, GrantHolder, GrantRecord, RefreshTokenRecord},
    },
};

type Result<T> = std::result::Result<T, StoreError>;

pub(super) struct Call<'a> {
    script: &'a Script,
    pub(super) keys: &'a Keys,
    taken: Vec<String>,
    /// Keys that it names itself. They are listed all the same: a cluster, a proxy or an access
    /// list may want to know.
    touched: Vec<String>,
    args: Vec<String>,
}

impl<'a> Call<'a> {
    pub(super) fn new(script: &'a Script, keys: &'a Keys, now: Option<Timestamp>) -> Self {
        let now = now.map(seconds).unwrap_or_default();
        Self {
            script,
            keys,
            taken: Vec::new(),
            touched: Vec::new(),
            args: vec![keys.prefix().to_owned(), now],
        }
    }

    pub(super) fn key(mut self, key: String) -> Self {
        self.taken.push(key);
        self
    }

    pub(super) fn touch(mut self, kind: Kind) -> Self {
        let index = self.keys.index(kind);
        if !self.touched.contains(&index) {
            self.touched.push(index);
        }
        self
    }

    /// It may revoke something.
    pub(super) fn revoking(mut self) -> Self {
        self.touched.push(self.keys.revocations());
        self.touch(Kind::Grant)
    }

    pub(super) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn number(self, value: u64) -> Self {
        self.arg(number(value))
    }

    pub(super) fn time(self, at: Timestamp) -> Self {
        self.arg(seconds(at))
    }

    pub(super) fn flag(self, flag: bool) -> Self {
        self.arg(if flag { "1" } else { "0" })
    }

    pub(super) fn maybe(self, arg: Option<impl Into<String>>) -> Self {
        match arg {
            Some(arg) => self.flag(true).arg(arg),
            None => self.flag(false),
        }
    }

    /// A record to store, and where.
    pub(super) fn record(self, kind: Kind, record: String, row: &impl Row) -> Result<Self> {
        let fields = row.fields()?.0;
        let mut call = self.touch(kind).key(record).number(fields.len() as u64);
        for (field, value) in fields {
            call = call.arg(field).arg(value);
        }
        Ok(call)
    }

    /// For `new_grant`.
    pub(super) fn grant(self, grant: &GrantRecord) -> Result<Self> {
        let keys = self.keys;
        let record = keys.record(Kind::Grant, &grant.id.to_string());
        let call = self
            .record(Kind::Grant, record, grant)?
            .key(keys.grants_to(&grant.client_id));
        Ok(match grant.holder {
            GrantHolder::User => call.flag(true).key(keys.grants_of(&grant.subject)),
            GrantHolder::Client => call.flag(false),
        })
    }

    /// For `new_consent`.
    pub(super) fn consent(self, consent: &ConsentRecord) -> Result<Self> {
        let keys = self.keys;
        let record = keys.record(Kind::Consent, &name_of_consent(consent));
        Ok(self
            .record(Kind::Consent, record, consent)?
            .key(keys.consents_of(&consent.subject))
            .key(keys.consents_to(&consent.client_id)))
    }

    /// For `remember`, where there is anything to.
    pub(super) fn remember(self, consent: Option<&ConsentRecord>) -> Result<Self> {
        let call = match consent {
            Some(consent) => self.flag(true).consent(consent)?,
            None => self.flag(false),
        };
        Ok(call.number(scope::MAX_TOKENS as u64))
    }

    /// For `first_tokens`.
    pub(super) fn tokens(
        self,
        (digest, access): &(Digest, AccessTokenRecord),
        refresh: Option<&(Digest, RefreshTokenRecord)>,
    ) -> Result<Self> {
        let keys = self.keys;
        let call = self.record(Kind::Access, keys.digest(Kind::Access, digest), access)?;
        match refresh {
            Some((digest, refresh)) => {
                call.flag(true)
                    .record(Kind::Refresh, keys.digest(Kind::Refresh, digest), refresh)
            }
            None => Ok(call.flag(false)),
        }
    }

    /// The expiry that a client is to have at least, where the script finds out which client.
    pub(super) fn renewal(self, until: Option<Timestamp>) -> Self {
        self.touch(Kind::Client).maybe(until.map(seconds))
    }

    /// As [`renewal`](Self::renewal), where it need not.
    pub(super) fn renewal_of(self, client: &ClientId, until: Option<Timestamp>) -> Self {
        let client = self.keys.client(client);
        match until {
            Some(until) => self.touch(Kind::Client).flag(true).key(client).time(until),
            None => self.flag(false),
        }
    }

    /// Something that is used up, and until when that is remembered.
    pub(super) fn used(self, digest: &Digest, until: Timestamp) -> Self {
        self.touch(Kind::Used).arg(name(digest)).time(until)
    }

    /// By the name of the script, which Redis may not know. It does nothing from `too_late` on, in
    /// milliseconds by its own clock.
    pub(super) fn by_hash(&self, too_late: u64) -> Cmd {
        self.command("EVALSHA", &self.script.hash, too_late)
    }

    /// With the whole script.
    pub(super) fn in_full(&self, too_late: u64) -> Cmd {
        self.command("EVAL", self.script.text, too_late)
    }

    fn command(&self, name: &str, script: &str, too_late: u64) -> Cmd {
        let mut command = ::redis::cmd(name);
        command
            .arg(script)
            .arg(self.taken.len() + self.touched.len())
            .arg(&self.taken)
            .arg(&self.touched)
            .arg(too_late)
            .arg(&self.args);
        command
    }
}
