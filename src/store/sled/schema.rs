//! The version of the layout, and how older ones become the current one.
//!
//! | version | what is new |
//! |---|---|
//! | 1 | |
//! | 2 | grants count their refresh generations; grants and consents are indexed by client |
//! | 3 | devices, and things good once; keys may expire |
//! | 4 | a row of the index by expiry may name many rows, and be there before they are due |
//!
//! What versions 1 to 3 wrote reads the same in version 4. It has a number of its own because they
//! could neither read all that it writes nor sweep it.

use std::path::Path;

use ::sled::{Db, IVec};

use super::{
    open::{classify, corrupt},
    tx::{SledTx, TxError, decode, transact},
};
use crate::store::{
    StoreError,
    kv::{
        Tx,
        keys::{self, SCHEMA},
        table::{Table, index_keys},
        upkeep,
    },
    record::{ConsentRecord, GrantRecord, RefreshTokenRecord},
};

/// The version that this crate writes.
const CURRENT: u32 = 4;
/// How many rows one transaction of a migration touches.
const CHUNK: usize = 256;

/// Brings the database to the current version.
///
/// Each step may be interrupted at any point and run again: the version is written last.
pub(super) fn migrate(db: &Db, path: &Path) -> Result<(), StoreError> {
    let engine = |error| classify(path, error);
    let version = db.get(SCHEMA).map_err(engine)?;
    let found = match &version {
        Some(version) => {
            let bytes = version.as_ref().try_into();
            u32::from_be_bytes(bytes.map_err(|_| corrupt(path.to_owned(), "no schema version"))?)
        }
        None if db.is_empty() => CURRENT,
        None => {
            return Err(corrupt(
                path.to_owned(),
                "it is a database of something else",
            ));
        }
    };
    if found > CURRENT {
        return Err(StoreError::NewerSchema {
            found,
            supported: CURRENT,
        });
    }
    if found < 2 {
        each(db, path, &[keys::GRANT], |tx, key, value| {
            reindex(tx, key, &decode::<GrantRecord>(value)?)
        })?;
        each(db, path, &[keys::CONSENT], |tx, key, value| {
            reindex(tx, key, &decode::<ConsentRecord>(value)?)
        })?;
        each(db, path, &[keys::REFRESH_TOKEN], |tx, _, value| {
            upkeep::raise_generation(tx, &decode::<RefreshTokenRecord>(value)?)
        })?;
    }
    if version.is_none() || found < CURRENT {
        db.insert(SCHEMA, &CURRENT.to_be_bytes()).map_err(engine)?;
    }
    Ok(())
}

/// Writes all index rows of a row, of which some may be there.
fn reindex<T: Table>(tx: &mut SledTx<'_>, key: &[u8], row: &T) -> Result<(), TxError> {
    for index in index_keys(row, key) {
        tx.mark(&index)?;
    }
    Ok(())
}

/// Runs `step` on every row that starts with `prefix`, many rows a transaction.
fn each(
    db: &Db,
    path: &Path,
    prefix: &[u8],
    step: impl Fn(&mut SledTx<'_>, &[u8], &[u8]) -> Result<(), TxError>,
) -> Result<(), StoreError> {
    let mut rows = db.scan_prefix(prefix);
    loop {
        let chunk: Vec<(IVec, IVec)> = rows
            .by_ref()
            .take(CHUNK)
            .collect::<Result<_, _>>()
            .map_err(|error| classify(path, error))?;
        if chunk.is_empty() {
            return Ok(());
        }
        transact(db, path, |tx| {
            chunk
                .iter()
                .try_for_each(|(key, value)| step(tx, key, value))
        })
        .map_err(|failed| failed.error)?;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        ClientId, Digest, GrantId, ResourceUri, Scopes, Subject, Timestamp,
        store::{
            CreateClient, RevokeTarget, RotateRefresh, RotateRefreshOutcome, SledOptions,
            SledStore, Store,
            record::{AccessTokenRecord, ClientRecord, GrantHolder, KeyPurpose, KeyRecord, Record},
        },
    };

    const NOW: Timestamp = Timestamp::from_secs(1000);
    const DAY: u64 = 86_400;

    /// Lays down the first layout, byte for byte as it was: without the code of today.
    struct V1(Db);

    impl V1 {
        fn row(&self, key: &[u8], value: &Value) {
            let mut bytes = vec![1];
            bytes.extend_from_slice(value.to_string().as_bytes());
            self.0.insert(key, bytes).unwrap();
        }

        fn expiring(&self, key: &[u8], value: &Value) {
            self.row(key, value);
            let expires_at = value["expires_at"].as_u64().unwrap();
            self.0
                .insert([b"X", &expires_at.to_be_bytes()[..], key].concat(), b"")
                .unwrap();
        }

        /// A grant of `ann` to `app` with refresh tokens up to a generation.
        fn grant(&self, id: u8, newest: u32) {
            let id = GrantId::from_bytes([id; 16]);
            let key = [b"g", &id.as_bytes()[..]].concat();
            let grant = json!({
                "id": id, "client_id": "app", "subject": "ann", "scopes": "a b",
                "resource": "https://a.example/mcp", "created_at": 900,
                "expires_at": NOW.as_secs() + DAY, "revoked_at": null,
            });
            self.expiring(&key, &grant);
            let index = [b"G\0\x03ann\0\x03app", &key[..]].concat();
            self.0.insert(index, b"").unwrap();
            for generation in 0..=newest {
                let used = json!({"at": 999, "key": 0, "access_tokens": 1});
                let token = json!({
                    "grant": id, "generation": generation, "expires_at": NOW.as_secs() + DAY,
                    "used": if generation == newest { Value::Null } else { used },
                });
                let digest = refresh(id, generation);
                self.expiring(&[b"r", &digest.as_bytes()[..]].concat(), &token);
            }
            let access = json!({
                "grant": id, "client_id": "app", "subject": "ann", "scopes": "a",
                "resource": "https://a.example/mcp", "issued_at": 999,
                "expires_at": NOW.as_secs() + 100, "revoked_at": null,
            });
            let digest = Digest::of(&format!("{id} access"));
            self.expiring(&[b"a", &digest.as_bytes()[..]].concat(), &access);
        }
    }

    fn refresh(grant: GrantId, generation: u32) -> Digest {
        Digest::of(&format!("{grant} {generation}"))
    }

    fn client() -> Value {
        json!({
            "id": "app", "secret": null, "secret_expires_at": null, "issued_at": 900,
            "expires_at": NOW.as_secs() + DAY,
            "metadata": {
                "redirect_uris": [], "token_endpoint_auth_method": "none", "grant_types": [],
                "response_types": ["code"], "application_type": "native",
            },
        })
    }

    fn key() -> Value {
        json!({
            "purpose": "refresh_successor", "id": 0, "created_at": 900,
            "key": Digest::of("a key"),
        })
    }

    fn lay_down(path: &Path) {
        let v1 = V1(::sled::open(path).unwrap());
        v1.expiring(b"capp", &client());
        v1.0.insert(b"Mclients", &1u64.to_be_bytes()).unwrap();
        let consent = json!({
            "subject": "ann", "client_id": "app", "resource": "https://a.example/mcp",
            "scopes": "a b", "granted_at": 900,
        });
        v1.row(b"u\0\x03ann\0\x03apphttps://a.example/mcp", &consent);
        v1.row(b"k\0\0\0\0\0", &key());
        let pending = json!({
            "request": {
                "client_id": "app", "redirect_uri": "http://127.0.0.1/", "scopes": "a",
                "resource": "https://a.example/mcp", "state": null,
                "code_challenge": "c".repeat(43), "nonce": null,
                "prompt_consent": false, "prompt_login": false,
            },
            "browser": Digest::of("a cookie"), "created_at": 900,
            "expires_at": NOW.as_secs() + 100,
        });
        let waiting = Digest::of("waiting");
        v1.expiring(&[b"P", &waiting.as_bytes()[..]].concat(), &pending);
        v1.0.insert(b"Mpending", &1u64.to_be_bytes()).unwrap();
        // More than one transaction of a migration takes.
        for id in 0..=255 {
            v1.grant(id, u32::from(id % 4));
        }
        v1.grant(3, 3);
        v1.0.insert(b"Mschema", &1u32.to_be_bytes()).unwrap();
        v1.0.flush().unwrap();
    }

    async fn rotate(store: &SledStore, id: u8, generation: u32) -> RotateRefreshOutcome {
        let grant = GrantId::from_bytes([id; 16]);
        let access = AccessTokenRecord {
            grant,
            client_id: ClientId::new("app").unwrap(),
            subject: Subject::new("ann").unwrap(),
            scopes: Scopes::parse("a").unwrap(),
            resource: ResourceUri::parse("https://a.example/mcp").unwrap(),
            issued_at: NOW,
            expires_at: Timestamp::from_secs(NOW.as_secs() + 100),
            revoked_at: None,
            holder: GrantHolder::User,
            dpop_jkt: None,
        };
        let rotate = RotateRefresh {
            presented: refresh(grant, generation),
            successor: refresh(grant, generation + 1),
            successor_expires_at: Timestamp::from_secs(NOW.as_secs() + DAY),
            key: 0,
            access: (
                Digest::of(&format!("{grant} access {}", generation + 1)),
                access,
            ),
            grace: 30,
            max_access_tokens: 3,
            renew_client: None,
        };
        store.rotate_refresh(rotate, NOW).await.unwrap()
    }

    async fn check_migrated(store: &SledStore) {
        let first_used_at = Timestamp::from_secs(999);
        let repeated = RotateRefreshOutcome::Repeated { first_used_at };
        assert_eq!(rotate(store, 4, 0).await, RotateRefreshOutcome::Rotated);
        assert_eq!(rotate(store, 3, 2).await, repeated, "the newest is known");
        let replayed = RotateRefreshOutcome::Replayed(GrantId::from_bytes([7; 16]));
        assert_eq!(rotate(store, 7, 1).await, replayed, "the newest is known");

        let waiting = Digest::of("waiting");
        let pending = store.pending_authorization(waiting, NOW).await.unwrap();
        assert_eq!(pending.unwrap().browser, Some(Digest::of("a cookie")));
        let purpose = KeyPurpose::RefreshSuccessor;
        let kept: KeyRecord = serde_json::from_value(key()).unwrap();
        assert!(kept.key.secret_key().is_some(), "it is one of 256 bits");
        let keys = store.keys(purpose).await.unwrap();
        assert_eq!(keys, std::slice::from_ref(&kept));

        let app = ClientId::new("app").unwrap();
        let record: ClientRecord = serde_json::from_value(client()).unwrap();
        let exists = store.create_client(record.clone(), 1, NOW).await.unwrap();
        assert_eq!(exists, CreateClient::Exists(record));
        let reached = store.revoke(RevokeTarget::Client(app), NOW).await.unwrap();
        assert_eq!(reached.grants.len(), 256, "grants are indexed by client");
        let ann = Subject::new("ann").unwrap();
        let consents = store.consents(ann.clone()).await.unwrap();
        assert_eq!(consents, [], "consents are indexed by client");
        let reached = store.revoke(RevokeTarget::Subject(ann), NOW).await.unwrap();
        assert_eq!(reached.grants.len(), 256, "the older index still holds");
        let late = Timestamp::from_secs(u64::MAX);
        while store.sweep(late, 1000).await.unwrap() > 0 {}
        let kept = [Record::Key(kept)];
        assert_eq!(store.export(None, 10).await.unwrap().records, kept);
        let left: Vec<_> = store.engine.db.iter().keys().map(Result::unwrap).collect();
        assert!(
            left.iter()
                .all(|key| key.starts_with(b"M") || key.starts_with(b"k")),
            "no index row is left behind: {left:?}"
        );
    }

    #[tokio::test]
    async fn the_first_layout_becomes_the_current_one() {
        let directory = tempfile::tempdir().unwrap();
        lay_down(directory.path());
        drop(SledStore::open(directory.path()).unwrap());
        let store = SledStore::open(directory.path()).unwrap();
        let version = store.engine.db.get(SCHEMA).unwrap().unwrap();
        assert_eq!(*version, CURRENT.to_be_bytes());
        check_migrated(&store).await;
    }

    /// A program that another test is about to start may hold the lock for a moment still.
    fn open_again(path: &Path) -> Db {
        super::super::open::open(path, &SledOptions::default()).unwrap()
    }

    #[tokio::test]
    async fn a_migration_that_was_cut_off_runs_again() {
        let directory = tempfile::tempdir().unwrap();
        lay_down(directory.path());
        drop(SledStore::open(directory.path()).unwrap());
        let db = open_again(directory.path());
        db.insert(SCHEMA, &1u32.to_be_bytes()).unwrap();
        drop(db);
        check_migrated(&SledStore::open(directory.path()).unwrap()).await;
    }

    #[test]
    fn what_is_not_ours_to_read_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let db = ::sled::open(directory.path()).unwrap();
        db.insert(SCHEMA, &(CURRENT + 1).to_be_bytes()).unwrap();
        drop(db);
        let failed = SledStore::open(directory.path()).unwrap_err();
        let StoreError::NewerSchema { found, supported } = failed else {
            panic!("{failed:?}");
        };
        assert_eq!((found, supported), (CURRENT + 1, CURRENT));

        let directory = tempfile::tempdir().unwrap();
        let db = ::sled::open(directory.path()).unwrap();
        db.insert(b"somebody", b"else").unwrap();
        drop(db);
        let failed = SledStore::open(directory.path()).unwrap_err();
        assert!(matches!(failed, StoreError::Corrupt { .. }), "{failed:?}");
        let db = open_again(directory.path());
        assert_eq!(db.len(), 1, "nothing was added");
    }
}
