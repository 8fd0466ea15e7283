//! Records on their way out and in.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::rows::*;
use crate::store::{StoreError, record::Record};

/// The tables that an export carries, each with the columns of its primary key.
const TABLES: [(&str, &[&str]); 8] = [
    ("clients", &["id"]),
    ("codes", &["digest"]),
    ("grants", &["id"]),
    ("access_tokens", &["digest"]),
    ("refresh_tokens", &["digest"]),
    (
        "consents",
        &["subject", "client_id", "resource_key", "destination_key"],
    ),
    ("keys", &["purpose", "id"]),
    ("used", &["digest"]),
];

/// How far an export has come.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    table: usize,
    /// The primary key of the last row of that table.
    after: Option<Vec<Value>>,
}

impl Cursor {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(StoreError::unavailable)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        json!(self).to_string().into_bytes()
    }

    /// The table to go on with, `None` after the last.
    pub(super) fn table(&self) -> Option<&'static str> {
        TABLES.get(self.table).map(|(name, _)| *name)
    }

    pub(super) fn after(&self) -> Option<&[Value]> {
        self.after.as_deref()
    }

    /// Goes past a row of the table.
    pub(super) fn pass(&mut self, row: &Value) {
        let columns = TABLES.get(self.table).map_or(&[][..], |(_, key)| key);
        self.after = Some(columns.iter().map(|column| row[column].clone()).collect());
    }

    pub(super) fn next_table(&mut self) {
        self.table += 1;
        self.after = None;
    }
}

/// The record that a row of a table is.
pub(super) fn record(table: &str, row: Value) -> Result<Record, StoreError> {
    Ok(match table {
        "clients" => Record::Client(read::<ClientRow>(row)?.0),
        "codes" => {
            let ByDigest { digest, row } = read::<ByDigest<CodeRow>>(row)?;
            let record = row.0;
            Record::Code { digest, record }
        }
        "grants" => Record::Grant(read::<GrantRow>(row)?.0),
        "access_tokens" => {
            let ByDigest { digest, row } = read::<ByDigest<AccessTokenRow>>(row)?;
            let record = row.0;
            Record::AccessToken { digest, record }
        }
        "refresh_tokens" => {
            let ByDigest { digest, row } = read::<ByDigest<RefreshTokenRow>>(row)?;
            let record = row.into();
            Record::RefreshToken { digest, record }
        }
        "consents" => Record::Consent(read::<ConsentRow>(row)?.into()),
        "keys" => Record::Key(read::<KeyRow>(row)?.0),
        _ => {
            let UsedRow { digest, expires_at } = read(row)?;
            Record::Used { digest, expires_at }
        }
    })
}

fn read<R: DeserializeOwned>(row: Value) -> Result<R, StoreError> {
    serde_json::from_value(row).map_err(StoreError::unavailable)
}

/// A record as the row of a table.
pub(super) fn item(record: Record) -> Value {
    match record {
        Record::Client(client) => json!({"table": "clients", "row": ClientRow(client)}),
        Record::Code { digest, record } => {
            let row = CodeRow(record);
            json!({"table": "codes", "row": ByDigest { digest, row }})
        }
        Record::Grant(grant) => json!({"table": "grants", "row": GrantRow(grant)}),
        Record::AccessToken { digest, record } => {
            let row = AccessTokenRow(record);
            json!({"table": "access_tokens", "row": ByDigest { digest, row }})
        }
        Record::RefreshToken { digest, record } => {
            let row = RefreshTokenRow::from(record);
            json!({"table": "refresh_tokens", "row": ByDigest { digest, row }})
        }
        Record::Consent(consent) => {
            json!({"table": "consents", "row": ConsentRow::from(consent)})
        }
        Record::Key(key) => json!({"table": "keys", "row": KeyRow(key)}),
        Record::Used { digest, expires_at } => {
            json!({"table": "used", "row": UsedRow { digest, expires_at }})
        }
    }
}
