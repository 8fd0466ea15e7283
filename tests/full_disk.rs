//! A disk without room: nothing is acknowledged that is not kept, the cause is told, and with room
//! everything goes on.
#![cfg(all(feature = "sled", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
mod outside;

#[path = "common/caller.rs"]
mod caller;
#[path = "crash/check.rs"]
mod check;
#[path = "common/child.rs"]
mod child;
#[path = "common/flow.rs"]
mod flow;
#[path = "crash/ledger.rs"]
mod ledger;
#[path = "crash/rng.rs"]
mod rng;
#[path = "crash/worker.rs"]
mod worker;

use std::{error::Error, fs, path::Path, process::Command, sync::Arc};

use tokio::sync::Semaphore;
use tower_mcp_auth::store::{SledOptions, SledStore, StoreError};

use self::{
    caller::{Broken, PUBLIC},
    check::RESOURCE_SERVER,
    child::{itself, role, say, start},
    flow::Flow,
    outside::{Server, server::binary},
    rng::Rng,
    worker::Worker,
};

const FLAGS: [&str; 8] = [
    "--public-url",
    PUBLIC,
    "--client",
    RESOURCE_SERVER,
    "--rate-limit",
    "off",
    "--refresh-grace",
    "300",
];

/// A shell that lets no file grow beyond 3 MiB (blocks of 512 bytes), and runs what follows. The
/// signal that comes with the limit is ignored: writing is refused, as on a full disk. How much
/// fits depends on how many changes share a sync, so there is room for several times what is asked
/// for below.
const LIMITED: [&str; 4] = [
    "sh",
    "-c",
    "trap '' XFSZ && ulimit -f 6144 && exec \"$@\"",
    "sh",
];
const LIMIT: u64 = 6144 * 512;

#[tokio::test]
async fn a_server_without_room_says_503_and_keeps_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth");
    let store = format!("sled:{}", path.display());
    let server = Server::start_under(&LIMITED, &store, &FLAGS).await;
    let acknowledged = Arc::new(Semaphore::new(0));
    let mut worker = Worker::new(&server.origin, 0, Rng::new(1), acknowledged.clone());
    let refused = loop {
        if let Err(broken) = worker.round().await {
            break broken;
        }
    };
    assert_unavailable(&refused);
    let acknowledged = acknowledged.available_permits();
    assert!(acknowledged > 100, "too early: {acknowledged}");
    // It is no verdict on anything, whatever is asked for.
    for _ in 0..3 {
        assert_unavailable(&worker.check(false).await.unwrap_err());
    }
    let log = server.log();
    assert!(log.contains("File too large"), "{log}");
    assert!(server.terminate().await.success());
    assert!(fs::metadata(path.join("db")).unwrap().len() <= LIMIT);

    let server = Server::start_with(&store, &FLAGS).await;
    worker.reconnect(&server.origin);
    assert!(worker.check(true).await.unwrap() > 500);
}

#[track_caller]
fn assert_unavailable(refused: &Broken) {
    let Broken::Unavailable(answer) = refused else {
        panic!("{refused:?}");
    };
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
}

/// No test by itself: what a test below runs as a process of its own, on a disk of its own.
#[tokio::test]
async fn child() {
    if let Some((_, directory)) = role() {
        fill(Path::new(&directory)).await;
        say("filled");
    }
}

/// Works until the disk is full, makes room, and looks.
async fn fill(disk: &Path) {
    let (path, ballast) = (disk.join("auth"), disk.join("ballast"));
    let load = || fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    load();
    leave_some(&path, &ballast).await;
    fs::remove_dir_all(&path).unwrap();
    load();
    let open = || {
        let to_the_last_byte = SledOptions::default().min_free_space(0);
        SledStore::with_options(&path, to_the_last_byte)
    };
    let store = open().unwrap();
    let (flows, failed) = work(&store).await;
    assert_no_space(&failed);
    assert!(flows.len() > 100, "too early: {}", flows.len());
    // Nobody knows what is on the disk: nothing is answered until somebody looks.
    let refused = flows[0].is_live(&store).await.unwrap_err();
    assert!(matches!(refused, StoreError::Poisoned(_)), "{refused:?}");
    drop(store);

    // As long as there is no room it opens and is whole, or says why not.
    match open() {
        Ok(store) => all_live(&store, &flows).await,
        Err(error) => assert_no_space(&error),
    }
    fs::remove_file(&ballast).unwrap();
    let store = open().unwrap();
    all_live(&store, &flows).await;
    Flow::new("with room").redeem(&store).await;
}

/// Works until little room is left, makes more, and goes on.
async fn leave_some(path: &Path, ballast: &Path) {
    let options = SledOptions::default().min_free_space(2 << 20);
    let store = SledStore::with_options(path, options).unwrap();
    let (flows, failed) = work(&store).await;
    assert!(matches!(failed, StoreError::Unavailable(_)), "{failed:?}");
    assert!(!flows.is_empty(), "too early");
    all_live(&store, &flows).await;
    fs::remove_file(ballast).unwrap();
    Flow::new("with room").redeem(&store).await;
    all_live(&store, &flows).await;
}

/// Works until something goes wrong: what was acknowledged until then, and what went wrong.
async fn work(store: &SledStore) -> (Vec<Flow>, StoreError) {
    let mut flows = Vec::new();
    loop {
        let flow = Flow::new(&flows.len().to_string());
        match flow.try_redeem(store).await {
            Ok(()) => flows.push(flow),
            Err(error) => return (flows, error),
        }
    }
}

async fn all_live(store: &SledStore, flows: &[Flow]) {
    for flow in flows {
        assert!(flow.is_live(store).await.unwrap(), "{flow:?} is lost");
    }
}

#[track_caller]
fn assert_no_space(error: &StoreError) {
    let first: &dyn Error = error;
    let causes = std::iter::successors(Some(first), |&error| error.source());
    let told = causes.map(ToString::to_string).collect::<Vec<_>>();
    assert!(
        told.iter().any(|text| text.contains("No space left")),
        "{told:?}"
    );
}

#[test]
fn a_store_without_room_tells_so_and_is_whole_when_there_is_room_again() {
    // A file system of its own, for which no rights are needed where user namespaces are allowed.
    let mount = "mount -t tmpfs -o size=6m none \"$0\" && exec \"$@\"";
    let directory = tempfile::tempdir().unwrap();
    let alone = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", mount]);
        command.arg(directory.path());
        command
    };
    if !alone()
        .arg("true")
        .status()
        .is_ok_and(|done| done.success())
    {
        // Not a missing tool but missing rights, which nobody can install.
        eprintln!("SKIPPED: this machine does not let its users mount a small disk");
        return;
    }
    let mut command = alone();
    command
        .arg(itself(module_path!()).get_program())
        .args(itself(module_path!()).get_args());
    let output = start(command, "fill", directory.path())
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("filled\n"), "{said}");
}

#[test]
fn a_server_that_cannot_begin_for_want_of_room_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sled:{}", directory.path().join("auth").display());
    let script = "trap '' XFSZ && ulimit -f 0 && exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(binary())
        .args(["--listen", "127.0.0.1:0", "--store", &store])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains(&directory.path().display().to_string()),
        "{told}"
    );
    assert!(told.contains("File too large"), "{told}");
}
