//! What only the inside shows.

use std::{io, sync::Arc};

use ::sled::transaction::UnabortableTransactionError;

use super::*;
use crate::{
    ApplicationType, ClientAuthMethod, ClientId, ClientMetadata,
    store::{CreateClient, Store, kv::ops, record::ClientRecord},
};

const NOW: Timestamp = Timestamp::from_secs(1000);

fn client(name: &str) -> ClientRecord {
    ClientRecord {
        id: ClientId::new(name).unwrap(),
        secret: None,
        secret_expires_at: None,
        metadata: ClientMetadata {
            redirect_uris: Vec::new(),
            token_endpoint_auth_method: ClientAuthMethod::None,
            grant_types: Vec::new(),
            response_types: Vec::new(),
            application_type: ApplicationType::Web,
            scope: None,
            client_name: None,
            client_uri: None,
            logo_uri: None,
            tos_uri: None,
            policy_uri: None,
            contacts: Vec::new(),
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
        expires_at: Timestamp::from_secs(2000),
        management: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_change_has_a_number_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(directory.path()).unwrap());
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..50 {
                    let client = client(&format!("{task}-{number}"));
                    let created = Store::create_client(&*store, client, 1000, NOW).await;
                    assert_eq!(created.unwrap(), CreateClient::Created);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(
        open::sequence(&store.engine.db, &store.engine.path).unwrap(),
        400
    );
    assert_eq!(store.engine.standing.next(), 401);
    // Nothing changed: nothing is counted, and nothing waited for.
    let created = Store::create_client(&*store, client("0-0"), 1000, NOW).await;
    assert!(matches!(created.unwrap(), CreateClient::Exists(_)));
    assert_eq!(store.engine.standing.next(), 401);
    drop(store);
    let store = SledStore::open(directory.path()).unwrap();
    assert_eq!(
        store.engine.standing.next(),
        401,
        "numbers go on after a restart"
    );
}

#[tokio::test]
async fn a_store_whose_sync_failed_refuses_everything_until_opened_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    store.create_client(client("a"), 10, NOW).await.unwrap();
    std::fs::remove_dir(directory.path().join("blobs")).unwrap();
    let failed = store.create_client(client("b"), 10, NOW).await;
    assert!(matches!(failed, Err(StoreError::Poisoned(_))), "{failed:?}");
    let id = ClientId::new("a").unwrap();
    let failed = store.client(id.clone(), NOW).await;
    assert!(matches!(failed, Err(StoreError::Poisoned(_))), "{failed:?}");
    let failed = store.sweep(NOW, 10).await;
    assert!(matches!(failed, Err(StoreError::Poisoned(_))), "{failed:?}");
    drop(store);
    let store = SledStore::open(directory.path()).unwrap();
    assert!(store.client(id, NOW).await.unwrap().is_some());
}

enum Told {
    ARead,
    AChange,
}

#[tokio::test]
async fn an_error_of_the_log_poisons_wherever_it_is_told() {
    let no_room = || ::sled::Error::Io(io::ErrorKind::StorageFull.into());
    let tell = |store: &SledStore, told_to| -> Result<(), StoreError> {
        match told_to {
            Told::ARead => store.engine.read(|_| Err(no_room().into())),
            Told::AChange => {
                let error = UnabortableTransactionError::Storage(no_room());
                store.engine.change(|_| Err(error.clone().into()))
            }
        }
    };
    for told_to in [Told::ARead, Told::AChange] {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path()).unwrap();
        let id = ClientId::new("a").unwrap();
        store.create_client(client("a"), 10, NOW).await.unwrap();
        let failed = tell(&store, told_to);
        assert!(matches!(failed, Err(StoreError::Poisoned(_))), "{failed:?}");
        let failed = store.client(id.clone(), NOW).await;
        assert!(matches!(failed, Err(StoreError::Poisoned(_))), "{failed:?}");
        drop(store);
        let store = SledStore::open(directory.path()).unwrap();
        assert!(store.client(id, NOW).await.unwrap().is_some());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn too_many_open_files_poison_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    let error = ::sled::Error::Io(io::Error::from_raw_os_error(24));
    let failed: Result<(), _> = store.engine.read(|_| Err(error.into()));
    assert!(
        matches!(failed, Err(StoreError::Unavailable(_))),
        "{failed:?}"
    );
    store.create_client(client("a"), 10, NOW).await.unwrap();
}

#[tokio::test]
async fn a_panic_in_a_transaction_poisons_and_does_not_unwind() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    let failed: Result<(), _> = store.change_durably(|_| panic!("on purpose")).await;
    assert!(matches!(failed, Err(StoreError::Poisoned(_))), "{failed:?}");
    let failed = store.sweep(NOW, 1).await;
    assert!(matches!(failed, Err(StoreError::Poisoned(_))), "{failed:?}");
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_damage_and_no_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    store.create_client(client("a"), 10, NOW).await.unwrap();
    let id = ClientId::new("a").unwrap();
    for value in [&b""[..], b"\x02{}", b"\x01{}", b"\x01not json"] {
        store.engine.db.insert(keys::client(&id), value).unwrap();
        let failed = store.client(id.clone(), NOW).await;
        assert!(
            matches!(failed, Err(StoreError::Corrupt { .. })),
            "{failed:?}"
        );
        let failed = store.create_client(client("a"), 10, NOW).await;
        assert!(
            matches!(failed, Err(StoreError::Corrupt { .. })),
            "{failed:?}"
        );
    }
    let other = ClientId::new("other").unwrap();
    assert_eq!(
        store.client(other, NOW).await.unwrap(),
        None,
        "not poisoned"
    );
}

#[tokio::test]
async fn who_shares_a_transaction_with_damage_is_served_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    store.create_client(client("bad"), 10, NOW).await.unwrap();
    let bad = ClientId::new("bad").unwrap();
    let damage = &b"\x01not json"[..];
    store.engine.db.insert(keys::client(&bad), damage).unwrap();

    let (mut changes, answers): (Vec<_>, Vec<_>) = ["one", "bad", "two"]
        .map(client)
        .map(|client| together::change(move |tx| ops::create_client(tx, &client, 10, NOW)))
        .into_iter()
        .unzip();
    store.engine.make(&mut changes);
    for change in changes {
        change.answer(Ok(()));
    }
    let mut came = Vec::new();
    for answer in answers {
        came.push(answer.await.unwrap());
    }
    assert!(
        matches!(
            *came,
            [
                Ok(CreateClient::Created),
                Err(StoreError::Corrupt { .. }),
                Ok(CreateClient::Created),
            ]
        ),
        "{came:?}"
    );
    for name in ["one", "two"] {
        let kept = store.client(ClientId::new(name).unwrap(), NOW).await;
        assert!(kept.unwrap().is_some(), "{name}");
    }
    // Bad's first, and these two.
    assert_eq!(store.engine.standing.next(), 4);
}
