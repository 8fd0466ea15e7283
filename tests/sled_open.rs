//! What stands between a directory and an open store: other processes, files that are no store,
//! and damage, which is never passed over in silence.
#![cfg(feature = "sled")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "common/child.rs"]
mod child;
#[path = "common/flow.rs"]
mod flow;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use child::{itself, role, say, start};
use flow::{Flow, NOW, giant_client};
use tower_mcp_auth::{
    ClientId,
    store::{RevokeTarget, SledStore, Store, StoreError},
};

/// No test by itself: what a test below runs as a process of its own.
#[test]
fn child() {
    if let Some((_, directory)) = role() {
        let _store = SledStore::open(directory).unwrap();
        say("open");
        // Until the parent closes the pipe.
        let _ = std::io::stdin().read(&mut [0]);
    }
}

#[tokio::test]
async fn a_store_in_use_is_not_opened_twice() {
    let directory = tempfile::tempdir().unwrap();
    let open = || SledStore::open(directory.path());

    let held = open().unwrap();
    let second = open().unwrap_err();
    assert!(matches!(second, StoreError::InUse { .. }), "{second:?}");
    drop(held);

    let mut child = start(itself(), "hold", directory.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "open"));
    let second = open().unwrap_err();
    assert!(matches!(second, StoreError::InUse { .. }), "{second:?}");
    drop(child.stdin.take());
    child.wait().unwrap();
    open().unwrap();
}

#[test]
fn a_place_that_cannot_be_a_store_is_an_io_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "no directory").unwrap();
    for path in [&file, &file.join("below")] {
        let failed = SledStore::open(path).unwrap_err();
        assert!(matches!(failed, StoreError::Io { .. }), "{failed:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "no directory");

    // Also where permissions do not hold, as for root.
    let occupied = directory.path().join("occupied");
    fs::create_dir_all(occupied.join("db")).unwrap();
    let failed = SledStore::open(&occupied).unwrap_err();
    assert!(matches!(failed, StoreError::Io { .. }), "{failed:?}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Opens a damaged store: the error, or all that is in it.
async fn look(path: &Path, flows: &[Flow]) -> Result<usize, StoreError> {
    let store = SledStore::open(path)?;
    let mut live = 0;
    for flow in flows {
        live += usize::from(flow.is_live(&store).await?);
    }
    Ok(live)
}

#[tokio::test]
async fn damage_is_told_or_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let good = directory.path().join("good");
    let flows: Vec<_> = (0..40).map(|n| Flow::new(&n.to_string())).collect();
    let store = SledStore::open(&good).unwrap();
    for flow in &flows {
        flow.redeem(&store).await;
    }
    drop(store);
    let database = fs::read(good.join("db")).unwrap();
    let mut told = 0;
    let mut damage = async |name: String, database: &[u8]| {
        let bad = directory.path().join(name);
        copy(&good, &bad);
        fs::write(bad.join("db"), database).unwrap();
        match look(&bad, &flows).await {
            Ok(live) => assert_eq!(live, flows.len(), "{bad:?} lost something in silence"),
            Err(StoreError::Corrupt { advice, .. }) => {
                assert!(advice.contains("backup"));
                told += 1;
            }
            Err(other) => panic!("{bad:?}: {other:?}"),
        }
        fs::remove_dir_all(bad).unwrap();
    };
    let length = database.len();
    for cut in [
        0,
        1,
        100,
        4096,
        length / 3,
        length / 2,
        length - 700,
        length - 1,
    ] {
        damage(format!("cut{cut}"), &database[..cut]).await;
    }
    for part in 0..20 {
        let at = length * part / 20;
        let mut flipped = database.clone();
        for byte in flipped.iter_mut().skip(at).take(40) {
            *byte ^= 0x5a;
        }
        damage(format!("flip{part}"), &flipped).await;
    }
    assert!(told >= 8, "every cut loses something: {told}");
    assert_eq!(look(&good, &flows).await.unwrap(), flows.len());
}

#[tokio::test]
async fn names_of_any_length_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let flows: Vec<_> = (0..400)
        .map(|number| Flow::new(&format!("{number}{}", "x".repeat(200 + number * 4))))
        .collect();
    let store = SledStore::open(directory.path()).unwrap();
    for flow in &flows {
        flow.redeem(&store).await;
    }
    eprintln!(
        "BLOBS {}",
        directory.path().join("blobs").read_dir().unwrap().count()
    );
    drop(store);
    let store = SledStore::open(directory.path()).unwrap();
    for flow in &flows {
        assert!(flow.is_live(&store).await.unwrap());
        let reached = store.revoke(RevokeTarget::Client(flow.client()), NOW).await;
        assert_eq!(reached.unwrap().grants, [flow.grant()]);
    }
}

#[tokio::test]
async fn what_is_too_large_for_one_page_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    store
        .create_client(giant_client("g"), 10, NOW)
        .await
        .unwrap();
    assert!(
        directory.path().join("blobs").read_dir().unwrap().count() > 0,
        "sled does not keep it elsewhere: this tests nothing"
    );
    drop(store);
    let store = SledStore::open(directory.path()).unwrap();
    let id = ClientId::new("g").unwrap();
    let found = store.client(id.clone(), NOW).await.unwrap();
    assert_eq!(found, Some(giant_client("g")));
    store.delete_client(id, NOW).await.unwrap();
    store
        .create_client(giant_client("h"), 10, NOW)
        .await
        .unwrap();
}

/// The keys that tokens are signed with are in there.
#[cfg(unix)]
#[test]
fn nobody_else_can_read_a_store_wherever_it_is() {
    use std::os::unix::fs::PermissionsExt;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let open_to_all = tempfile::tempdir().unwrap();
    fs::set_permissions(open_to_all.path(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(SledStore::open(open_to_all.path()).unwrap());
    assert_eq!(mode(open_to_all.path()), 0o755, "it may hold other things");
    assert_eq!(mode(&open_to_all.path().join("db")), 0o600);
    assert_eq!(mode(&open_to_all.path().join("blobs")), 0o700);

    let fresh = open_to_all.path().join("fresh");
    drop(SledStore::open(&fresh).unwrap());
    assert_eq!(mode(&fresh), 0o700);
}
