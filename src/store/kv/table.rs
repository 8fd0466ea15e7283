//! The kinds of rows, and the index rows that each brings along.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::keys;
use crate::{
    clock::Timestamp,
    store::record::{
        AccessTokenRecord, ClientRecord, CodeRecord, ConsentRecord, DeviceRecord, GrantHolder,
        GrantRecord, KeyRecord, PendingAuthorization, Record, RefreshTokenRecord,
    },
};

/// A record as one row.
pub(crate) trait Table: Clone + Serialize + DeserializeOwned {
    /// The row that counts how many there are.
    const COUNTER: Option<&'static [u8]> = None;

    /// From when on a sweep may take it; `None` for never.
    fn expires_at(&self) -> Option<Timestamp>;

    /// What its secondary index rows start with; the row's own key follows.
    fn indexes(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// The row as a memory engine keeps it.
    fn into_row(self) -> Row;

    /// Undoes [`into_row`](Self::into_row).
    fn from_row(row: &Row) -> Option<&Self>;
}

/// Something good once that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) expires_at: Timestamp,
}

/// The secondary index rows of one row.
pub(crate) fn index_keys<T: Table>(row: &T, key: &[u8]) -> Vec<Vec<u8>> {
    let mut prefixes = row.indexes();
    for prefix in &mut prefixes {
        prefix.extend_from_slice(key);
    }
    prefixes
}

macro_rules! tables {
    ($($variant:ident($type:ty) { $($item:tt)* })*) => {
        /// Any row, for engines that keep rows as they are.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(
            clippy::large_enum_variant,
            reason = "most rows are large ones, and each has a place of its own in a map"
        )]
        pub(crate) enum Row {
            /// A row of an index: its key says everything.
            Mark,
            /// A counter.
            Count(u64),
            $($variant($type),)*
        }

        $(impl Table for $type {
            $($item)*

            fn into_row(self) -> Row {
                Row::$variant(self)
            }

            fn from_row(row: &Row) -> Option<&Self> {
                match row {
                    Row::$variant(record) => Some(record),
                    _ => None,
                }
            }
        })*
    };
}

tables! {
    Client(ClientRecord) {
        const COUNTER: Option<&'static [u8]> = Some(keys::CLIENTS);

        fn expires_at(&self) -> Option<Timestamp> {
            Some(self.expires_at)
        }
    }
    Pending(PendingAuthorization) {
        const COUNTER: Option<&'static [u8]> = Some(keys::PENDINGS);

        fn expires_at(&self) -> Option<Timestamp> {
            Some(self.expires_at)
        }
    }
    Code(CodeRecord) {
        fn expires_at(&self) -> Option<Timestamp> {
            Some(self.expires_at)
        }
    }
    Grant(GrantRecord) {
        fn expires_at(&self) -> Option<Timestamp> {
            Some(self.expires_at)
        }

        fn indexes(&self) -> Vec<Vec<u8>> {
            let mut indexes = vec![keys::grants_of_client(&self.client_id)];
            // A client's own name says nothing about the user who has the same one.
            if self.holder == GrantHolder::User {
                indexes.push(keys::grants_of_subject(&self.subject, Some(&self.client_id)));
            }
            indexes
        }
    }
    AccessToken(AccessTokenRecord) {
        fn expires_at(&self) -> Option<Timestamp> {
            Some(self.expires_at)
        }
    }
    RefreshToken(RefreshTokenRecord) {
        fn expires_at(&self) -> Option<Timestamp> {
            Some(self.expires_at)
        }
    }
    Consent(ConsentRecord) {
        fn expires_at(&self) -> Option<Timestamp> {
            None
        }

        fn indexes(&self) -> Vec<Vec<u8>> {
            vec![keys::consents_of_client(&self.client_id)]
        }
    }
    Key(KeyRecord) {
        fn expires_at(&self) -> Option<Timestamp> {
            self.expires_at
        }
    }
    Used(Used) {
        const COUNTER: Option<&'static [u8]> = Some(keys::USES);

        fn expires_at(&self) -> Option<Timestamp> {
            Some(self.expires_at)
        }
    }
    Device(DeviceRecord) {
        const COUNTER: Option<&'static [u8]> = Some(keys::DEVICES);

        fn expires_at(&self) -> Option<Timestamp> {
            Some(self.expires_at)
        }

        fn indexes(&self) -> Vec<Vec<u8>> {
            vec![keys::devices_of_user_code(&self.user_code)]
        }
    }
}

/// The record that an exported row is, `None` when `key` is none of those that are exported.
///
/// `read` fetches the row; it is told its type by the kind in the key.
pub(crate) fn export<R: ReadRow>(key: &[u8], mut row: R) -> Result<Option<Record>, R::Error> {
    let digest = || keys::digest(key);
    Ok(match key.first() {
        Some(&keys::CLIENT) => row.read()?.map(Record::Client),
        Some(&keys::GRANT) => row.read()?.map(Record::Grant),
        Some(&keys::CONSENT) => row.read()?.map(Record::Consent),
        Some(&keys::KEY) => row.read()?.map(Record::Key),
        Some(&keys::CODE) => digest()
            .zip(row.read()?)
            .map(|(digest, record)| Record::Code { digest, record }),
        Some(&keys::ACCESS_TOKEN) => digest()
            .zip(row.read()?)
            .map(|(digest, record)| Record::AccessToken { digest, record }),
        Some(&keys::REFRESH_TOKEN) => digest()
            .zip(row.read()?)
            .map(|(digest, record)| Record::RefreshToken { digest, record }),
        Some(&keys::USED) => digest()
            .zip(row.read()?)
            .map(|(digest, Used { expires_at })| Record::Used { digest, expires_at }),
        _ => None,
    })
}

/// One row of a type that the reader of the key knows.
pub(crate) trait ReadRow {
    /// What can go wrong.
    type Error;

    /// The row.
    fn read<T: Table>(&mut self) -> Result<Option<T>, Self::Error>;
}
