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
    path::{Path, PathBuf},
};

use child::{itself, role, say, start};
use flow::{Flow, NOW, giant_client};
use tower_mcp_auth::{
    ClientId,
    store::{
        RedeemCodeOutcome, RevokeTarget, RotateRefreshOutcome, SledOptions, SledStore, Store,
        StoreError, record::ClientRecord,
    },
};

/// No test by itself: what a test below runs as a process of its own.
#[test]
fn child() {
    match role() {
        Some((role, directory)) if role == "hold" => {
            let _store = SledStore::open(directory).unwrap();
            say("open");
            // Until the parent closes the pipe.
            let _ = std::io::stdin().read(&mut [0]);
        }
        Some((_, directory)) => match SledStore::open(directory).unwrap_err() {
            error @ StoreError::Io { .. } => say(&format!("Io: {error}")),
            other => panic!("{other:?}"),
        },
        None => {}
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

    let mut child = start(itself(module_path!()), "hold", directory.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "open"));
    let second = open().unwrap_err();
    assert!(matches!(second, StoreError::InUse { .. }), "{second:?}");
    drop(child.stdin.take());
    child.wait().unwrap();
    open().unwrap();
}

/// A process that was killed while it opened the store leaves the beginning of a snapshot.
#[tokio::test]
async fn an_unfinished_snapshot_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let open = || SledStore::open(directory.path());
    let flow = Flow::new("one");
    let store = open().unwrap();
    flow.redeem(&store).await;
    drop(store);
    let foreign = directory.path().join("notes.generating");
    fs::write(&foreign, "not sled's").unwrap();

    for (name, content) in [
        ("snap.0000000000000000.generating", &b""[..]),
        ("snap.00000000FFFFFFFF.generating", &[7; 100]),
        ("snap.FFFFFFFFFFFFFFFF.generating", &[0; 7]),
    ] {
        let unfinished = directory.path().join(name);
        fs::write(&unfinished, content).unwrap();
        let store = open().unwrap();
        assert!(!unfinished.exists(), "{name}");
        assert!(flow.is_live(&store).await.unwrap(), "{name}");
        // Whose store is open may be writing one.
        fs::write(&unfinished, content).unwrap();
        let second = open().unwrap_err();
        assert!(matches!(second, StoreError::InUse { .. }), "{second:?}");
        assert!(unfinished.exists(), "{name}");
    }
    assert!(foreign.exists());
}

/// Killed at its very first start, sled leaves the beginning of its settings and nothing else.
#[tokio::test]
async fn unfinished_settings_are_no_damage() {
    let whole = tempfile::tempdir().unwrap();
    drop(SledStore::open(whole.path()).unwrap());
    let settings = fs::read(whole.path().join("conf")).unwrap();
    assert!(settings.len() > 8, "{settings:?}");

    for length in 0..=settings.len() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("blobs")).unwrap();
        let conf = directory.path().join("conf");
        fs::write(&conf, &settings[..length]).unwrap();
        let open = || SledStore::open(directory.path());
        let flow = Flow::new("one");
        let store = open().unwrap();
        flow.redeem(&store).await;
        drop(store);
        assert_eq!(fs::read(&conf).unwrap(), settings, "{length}");
        assert!(flow.is_live(&open().unwrap()).await.unwrap(), "{length}");
    }
}

#[tokio::test]
async fn with_little_room_nothing_is_added_and_rights_still_end() {
    let directory = tempfile::tempdir().unwrap();
    let open = |least: u64| {
        let options = SledOptions::default().min_free_space(least);
        SledStore::with_options(directory.path(), options).unwrap()
    };
    let (one, two) = (Flow::new("one"), Flow::new("two"));
    let store = open(0);
    one.issue(&store).await;
    one.redeem_code(&store).await;
    let three = Flow::new("three");
    three.issue(&store).await;
    three.redeem_code(&store).await;
    three.rotate(&store, 0).await;
    three.rotate(&store, 1).await;
    drop(store);

    let store = open(u64::MAX);
    let refused = store
        .issue_code(two.issue_request(), NOW)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("bytes are free"), "{cause}");
    let is_revoked = async |store: &SledStore| {
        let token = store.access_token(one.access(0)).await.unwrap();
        token.unwrap().revoked
    };
    assert!(!is_revoked(&store).await);
    let replayed = RedeemCodeOutcome::Replayed(one.grant());
    assert_eq!(
        one.redeem_code(&store).await,
        replayed,
        "a theft is no addition"
    );
    assert!(is_revoked(&store).await);
    let replayed = RotateRefreshOutcome::Replayed(three.grant());
    assert_eq!(three.rotate(&store, 0).await, replayed, "nor is another");
    drop(store);

    let store = open(0);
    assert!(is_revoked(&store).await, "it was kept");
    two.issue(&store).await;
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

/// Opens a damaged store, which is whole or says that it is damaged: whether it is whole.
async fn judge(path: &Path, flows: &[Flow]) -> bool {
    match look(path, flows).await {
        Ok(live) => assert_eq!(live, flows.len(), "{path:?} lost something in silence"),
        Err(StoreError::Corrupt { advice, .. }) => {
            assert!(advice.contains("backup"));
            return false;
        }
        Err(other) => panic!("{path:?}: {other:?}"),
    }
    true
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
        // Trying again neither heals it nor hides it.
        let first = judge(&bad, &flows).await;
        assert_eq!(judge(&bad, &flows).await, first, "{bad:?}");
        told += usize::from(!first);
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

/// Every file below a directory, by its path from there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in next.read_dir().unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.path().strip_prefix(directory).unwrap().to_owned()),
            }
        }
    }
    found
}

#[tokio::test]
async fn a_file_that_is_gone_cut_or_overwritten_is_told_or_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let good = directory.path().join("good");
    let flows: Vec<_> = (0..40).map(|n| Flow::new(&n.to_string())).collect();
    for half in flows.chunks(20) {
        let store = SledStore::open(&good).unwrap();
        for flow in half {
            flow.redeem(&store).await;
        }
    }
    let names = files(&good);
    for name in ["db", "conf", "acknowledged"] {
        assert!(names.contains(&PathBuf::from(name)), "{names:?}");
    }
    for (number, name) in names.iter().enumerate() {
        let content = fs::read(good.join(name)).unwrap();
        let half = content.len() / 2;
        for (damage, left) in [
            ("gone", None),
            ("empty", Some(&[][..])),
            ("half", Some(&content[..half])),
            ("garbage", Some(&[0x5a; 64][..])),
        ] {
            let bad = directory.path().join(format!("{damage}{number}"));
            copy(&good, &bad);
            match left {
                None => fs::remove_file(bad.join(name)).unwrap(),
                Some(left) => fs::write(bad.join(name), left).unwrap(),
            }
            let first = judge(&bad, &flows).await;
            assert_eq!(judge(&bad, &flows).await, first, "{damage} {name:?}");
            if name.as_os_str() == "db" && damage != "half" {
                assert!(!first, "{damage} {name:?}");
            }
        }
    }
}

/// sled takes a file that is gone for one that it removed itself, so that is not among these.
#[tokio::test]
async fn a_giant_whose_file_is_damaged_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let good = directory.path().join("good");
    let store = SledStore::open(&good).unwrap();
    let created = store.create_client(giant_client("g"), 10, NOW).await;
    created.unwrap();
    drop(store);
    let blobs = files(&good.join("blobs"));
    assert!(
        !blobs.is_empty(),
        "sled does not keep it elsewhere: this tests nothing"
    );
    let mut told = 0;
    for (number, blob) in blobs.iter().enumerate() {
        let content = fs::read(good.join("blobs").join(blob)).unwrap();
        let mut flipped = content.clone();
        flipped[content.len() / 2] ^= 0x5a;
        for (damage, left) in [
            ("empty", &[][..]),
            ("half", &content[..content.len() / 2]),
            ("flipped", &flipped),
        ] {
            let bad = directory.path().join(format!("{damage}{number}"));
            copy(&good, &bad);
            fs::write(bad.join("blobs").join(blob), left).unwrap();
            for _ in 0..2 {
                match find_giant(&bad).await {
                    Ok(found) => assert_eq!(found, Some(giant_client("g")), "{damage}"),
                    Err(StoreError::Corrupt { .. }) => told += 1,
                    Err(other) => panic!("{damage}: {other:?}"),
                }
            }
        }
    }
    assert!(told > 0, "none of the files was needed");
}

async fn find_giant(path: &Path) -> Result<Option<ClientRecord>, StoreError> {
    let store = SledStore::open(path)?;
    store.client(ClientId::new("g").unwrap(), NOW).await
}

/// Takes every right to write from a directory and what is in it.
#[cfg(unix)]
fn read_only(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in files(path) {
        set(&path.join(name), 0o444);
    }
    let blobs = path.join("blobs");
    if blobs.exists() {
        set(&blobs, 0o555);
    }
    set(path, 0o555);
}

#[tokio::test]
#[cfg(unix)]
async fn a_directory_that_may_not_be_written_is_an_io_error_and_stays_as_it_is() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    let directory = tempfile::tempdir().unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), open.clone()).unwrap();
    let (empty, filled) = (
        directory.path().join("empty"),
        directory.path().join("filled"),
    );
    fs::create_dir(&empty).unwrap();
    let flows = [Flow::new("a")];
    let store = SledStore::open(&filled).unwrap();
    flows[0].redeem(&store).await;
    drop(store);
    let before: Vec<_> = files(&filled);
    let content = |name: &PathBuf| fs::read(filled.join(name)).unwrap();
    let contents: Vec<_> = before.iter().map(content).collect();
    for path in [&empty, &filled] {
        read_only(path);
        // Root may write everywhere, so root's child is nobody.
        let mut command = itself(module_path!());
        let above_the_law = fs::File::create(path.join("root")).is_ok();
        if above_the_law {
            fs::remove_file(path.join("root")).unwrap();
            let program = directory.path().join("program");
            fs::copy(command.get_program(), &program).unwrap();
            let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            command = std::process::Command::new(program);
            command.args(arguments).uid(65534).gid(65534);
        }
        let output = start(command, "try", path).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("Io: "), "{said}");
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert!(said.contains("ermission denied"), "{said}");
    }
    assert_eq!(files(&filled), before);
    assert_eq!(before.iter().map(content).collect::<Vec<_>>(), contents);
    for path in [&empty, &filled, &filled.join("blobs")] {
        fs::set_permissions(path, open.clone()).unwrap();
    }
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
