//! Sweeping, exporting and importing.

use super::{
    CHUNK, RedisStore,
    call::Call,
    error::damaged,
    keys::{Kind, name, name_of_key},
    rows::{Found, Row, timestamp},
    scripts,
};
use crate::{
    clock::Timestamp,
    secret::Digest,
    store::{ExportPage, StoreError, record::Record},
};

impl RedisStore {
    pub(super) async fn sweep_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut removed = 0;
        while removed < limit {
            let chunk = CHUNK.min(limit - removed);
            let mut call = self
                .ask_at(&scripts::SWEEP, now)
                .number(chunk as u64)
                .touch(Kind::Consent);
            for kind in [
                Kind::Access,
                Kind::Refresh,
                Kind::Code,
                Kind::Pending,
                Kind::Device,
                Kind::Grant,
                Kind::Used,
                Kind::Key,
                Kind::Client,
            ] {
                call = call.touch(kind);
            }
            let gone: usize = self.link.call(&call).await?;
            removed += gone;
            if gone < chunk {
                break;
            }
        }
        Ok(removed)
    }

    pub(super) async fn export_page(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ExportPage, StoreError> {
        let limit = limit.max(1);
        let mut cursor = match cursor {
            Some(bytes) => {
                Cursor::read(&bytes).ok_or_else(|| damaged("no cursor of this store"))?
            }
            None => Cursor::default(),
        };
        let mut page = ExportPage::default();
        while let Some(kind) = Kind::EXPORTED.get(cursor.kind) {
            let left = CHUNK.min(limit - page.records.len());
            let call = self
                .ask(&scripts::EXPORT)
                .key(self.keys.index(*kind))
                .number(left as u64)
                .arg(&*cursor.score)
                .arg(&*cursor.name);
            let rows: Vec<(String, String, Found)> = self.link.call(&call).await?;
            let is_last = rows.len() < left;
            for (name, score, found) in rows {
                page.records.extend(exported(*kind, &name, &score, &found)?);
                (cursor.name, cursor.score) = (name, score);
            }
            if is_last {
                cursor = Cursor {
                    kind: cursor.kind + 1,
                    ..Cursor::default()
                };
            }
            if page.records.len() == limit {
                break;
            }
        }
        page.next = (cursor.kind < Kind::EXPORTED.len()).then(|| cursor.write());
        Ok(page)
    }

    pub(super) async fn import_all(&self, records: &[Record]) -> Result<(), StoreError> {
        for chunk in records.chunks(CHUNK) {
            let mut call = self.ask(&scripts::IMPORT).number(chunk.len() as u64);
            for record in chunk {
                call = imported(call, record)?;
            }
            let _: () = self.link.call(&call).await?;
        }
        Ok(())
    }
}

/// What an export has come to: the last record's kind, score and name.
#[derive(Default)]
struct Cursor {
    kind: usize,
    score: String,
    name: String,
}

impl Cursor {
    fn write(&self) -> Vec<u8> {
        format!("{} {} {}", self.kind, self.score, self.name).into_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(bytes).ok()?.splitn(3, ' ');
        Some(Self {
            kind: parts.next()?.parse().ok()?,
            score: parts.next()?.to_owned(),
            name: parts.next()?.to_owned(),
        })
    }
}

/// One record as an export carries it; `None` when it is gone and only its name is left.
fn exported(
    kind: Kind,
    name: &str,
    score: &str,
    found: &Found,
) -> Result<Option<Record>, StoreError> {
    let digest = || digest(name);
    Ok(match kind {
        Kind::Client => found.row()?.map(Record::Client),
        Kind::Grant => found.row()?.map(Record::Grant),
        Kind::Consent => found.row()?.map(Record::Consent),
        Kind::Key => found.row()?.map(Record::Key),
        Kind::Code => match found.row()? {
            Some(record) => Some(Record::Code {
                digest: digest()?,
                record,
            }),
            None => None,
        },
        Kind::Access => match found.row()? {
            Some(record) => Some(Record::AccessToken {
                digest: digest()?,
                record,
            }),
            None => None,
        },
        Kind::Refresh => match found.row()? {
            Some(record) => Some(Record::RefreshToken {
                digest: digest()?,
                record,
            }),
            None => None,
        },
        Kind::Used => {
            let expires: f64 = score.parse().map_err(damaged)?;
            Some(Record::Used {
                digest: digest()?,
                // Scores are whole and below 2^53.
                expires_at: timestamp(expires as u64),
            })
        }
        Kind::Device | Kind::Pending => None,
    })
}

/// Undoes [`name`].
pub(super) fn digest(name: &str) -> Result<Digest, StoreError> {
    serde_json::from_value(name.into()).map_err(damaged)
}

/// Adds one record to an import.
fn imported<'a>(call: Call<'a>, record: &Record) -> Result<Call<'a>, StoreError> {
    match record {
        Record::Client(client) => plain(call, Kind::Client, client.id.as_str(), client),
        Record::Code { digest, record } => plain(call, Kind::Code, &name(digest), record),
        Record::Grant(grant) => call.arg(Kind::Grant.name()).grant(grant),
        Record::AccessToken { digest, record } => plain(call, Kind::Access, &name(digest), record),
        Record::RefreshToken { digest, record } => {
            plain(call, Kind::Refresh, &name(digest), record)
        }
        Record::Consent(consent) => call.arg(Kind::Consent.name()).consent(consent),
        Record::Key(key) => plain(call, Kind::Key, &name_of_key(key), key),
        Record::Used { digest, expires_at } => {
            Ok(call.arg(Kind::Used.name()).used(digest, *expires_at))
        }
    }
}

/// A record that nothing but its index names.
fn plain<'a>(
    call: Call<'a>,
    kind: Kind,
    name: &str,
    row: &impl Row,
) -> Result<Call<'a>, StoreError> {
    let record = call.keys.record(kind, name);
    call.arg(kind.name()).record(kind, record, row)
}
