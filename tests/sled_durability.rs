//! What the sled store acknowledged is there: after a restart, after `kill -9`, and in the system
//! calls that stand between a change and its acknowledgement. What is not there is never passed
//! over in silence.
#![cfg(feature = "sled")]

mod common;

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use common::store::{Flow, NOW, after};
use tower_mcp_auth::{
    ClientId,
    store::{
        CreateClient, RedeemCodeOutcome, RevokeTarget, RotateRefreshOutcome, SledOptions,
        SledStore, Store, StoreError, record::ClientRecord,
    },
};

/// Tells this program, started anew, which of the helpers below to be, and where.
const CHILD: &str = "TOWER_MCP_AUTH_TEST_CHILD";

fn say(what: &str) {
    // One write each, so that a line stands in the trace, and in the pipe, whole or not at all.
    let line = format!("{what}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// No test by itself: what the tests below run as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn child() {
    let Ok(role) = std::env::var(CHILD) else {
        return;
    };
    let (role, directory) = role.split_once(':').unwrap();
    match role {
        "work" => work(directory).await,
        "trace" => trace(directory).await,
        "hold" => {
            let _store = SledStore::open(directory).unwrap();
            say("open");
            // Until the parent closes the pipe.
            let _ = std::io::stdin().read(&mut [0]);
        }
        other => panic!("no such role: {other}"),
    }
}

fn start(mut command: Command, role: &str, directory: &Path) -> Child {
    command
        .env(CHILD, format!("{role}:{}", directory.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn itself() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--nocapture"]);
    command
}

#[tokio::test]
async fn a_store_that_is_opened_again_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/down/auth");
    for round in 0..5 {
        let store = SledStore::open(&path).unwrap();
        for before in 0..round {
            let flow = Flow::new(&format!("round {before}"));
            assert!(flow.is_live(&store).await.unwrap());
            assert_eq!(
                flow.rotate(&store, 0).await,
                RotateRefreshOutcome::Repeated { first_used_at: NOW }
            );
        }
        let flow = Flow::new(&format!("round {round}"));
        flow.redeem(&store).await;
        flow.rotate(&store, 0).await;
    }
    #[cfg(unix)]
    for created in ["deep", "deep/down", "deep/down/auth"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(directory.path().join(created)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o700, "{created}");
    }
}

/// Works on many things at once and says what was acknowledged.
async fn work(directory: &str) {
    let store = Arc::new(SledStore::open(directory).unwrap());
    say("open");
    let tasks = (0..8).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let name = format!("{}-{task}-{number}", std::process::id());
                let flow = Flow::new(&name);
                flow.issue(&*store).await;
                say(&format!("issued {name}"));
                flow.redeem_code(&*store).await;
                say(&format!("redeemed {name}"));
                flow.rotate(&*store, 0).await;
                say(&format!("rotated {name}"));
                if number % 2 == 0 {
                    let target = RevokeTarget::Subject(flow.subject());
                    store.revoke(target, NOW).await.unwrap();
                    say(&format!("revoked {name}"));
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_to_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    for round in 0..5 {
        let mut child = start(itself(), "work", directory.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines {
            // The last line may be cut: the pipe ends where the process died.
            let line = line.unwrap();
            seen += 1;
            if seen == 150 * (round + 1) {
                child.kill().unwrap();
            }
            acknowledged.insert(line);
        }
        child.wait().unwrap();

        let store = SledStore::open(directory.path()).unwrap();
        let mut checked = 0;
        for line in &acknowledged {
            let Some((what, name)) = line.split_once(' ') else {
                continue;
            };
            let flow = Flow::new(name);
            let stored = store.code(flow.issue_request().digest).await.unwrap();
            match what {
                "issued" => assert!(stored.is_some(), "{line}"),
                "redeemed" => {
                    assert_eq!(stored.unwrap().0.redeemed_at, Some(NOW), "{line}");
                    let token = store.access_token(flow.access(0)).await.unwrap();
                    assert!(token.is_some(), "{line}");
                }
                "rotated" => {
                    let token = store.refresh_token(flow.refresh(0)).await.unwrap();
                    assert!(token.unwrap().0.used.is_some(), "{line}");
                    let token = store.refresh_token(flow.refresh(1)).await.unwrap();
                    assert!(token.is_some(), "{line}");
                }
                "revoked" => {
                    assert!(!flow.is_live(&store).await.unwrap(), "{line}");
                    let consents = store.consents(flow.subject()).await.unwrap();
                    assert!(consents.is_empty(), "{line}");
                }
                _ => continue,
            }
            checked += 1;
        }
        assert!(checked >= 100, "too little was acknowledged: {checked}");
    }
}

/// Makes one change after the other, and says before and after each.
async fn trace(directory: &str) {
    // Nobody but the commit thread is to touch the file.
    let quiet = SledOptions::default().background_flush(Duration::from_secs(3600));
    let store = SledStore::with_options(directory, quiet).unwrap();
    for number in 0..5 {
        let flow = Flow::new(&number.to_string());
        let steps = [
            "issue", "redeem", "rotate", "repeat", "replay", "revoke", "again",
        ];
        for step in steps {
            say(&format!("begin {step} {number}"));
            match step {
                "issue" => flow.issue(&store).await,
                "redeem" => {
                    let outcome = flow.redeem_code(&store).await;
                    assert_eq!(outcome, RedeemCodeOutcome::Redeemed);
                }
                "rotate" | "repeat" => {
                    let outcome = flow.rotate(&store, 0).await;
                    assert_eq!(outcome == RotateRefreshOutcome::Rotated, step == "rotate");
                }
                "replay" => {
                    let outcome = flow.redeem_code(&store).await;
                    assert_eq!(outcome, RedeemCodeOutcome::Replayed(flow.grant()));
                }
                _ => {
                    let target = RevokeTarget::AccessToken(flow.access(0));
                    store.revoke(target, after(1)).await.unwrap();
                }
            }
            say(&format!("end {step} {number}"));
        }
    }
    say("begin giant");
    let created = store.create_client(giant("g"), 10, NOW).await.unwrap();
    assert_eq!(created, CreateClient::Created);
    say("end giant");
}

/// A client that is larger than what sled keeps in its own file.
fn giant(name: &str) -> ClientRecord {
    let metadata = serde_json::json!({
        "redirect_uris": [],
        "token_endpoint_auth_method": "none",
        "grant_types": [],
        "response_types": [],
        "application_type": "native",
        "client_name": name.repeat(400_000),
    });
    ClientRecord {
        id: ClientId::new(name).unwrap(),
        secret: None,
        secret_expires_at: None,
        metadata: serde_json::from_value(metadata).unwrap(),
        issued_at: NOW,
        expires_at: after(1000),
    }
}

/// One finished system call: between which lines of the trace, and what it was.
struct Call {
    began: usize,
    ended: usize,
    text: String,
}

/// Reads what `strace -f` wrote, with interrupted lines put together.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: Vec<(&str, Call)> = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let (thread, text) = line.split_once(' ').unwrap();
        let text = text.trim_start();
        if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            let call = Call {
                began: number,
                ended: number,
                text: begun.to_owned(),
            };
            open.push((thread, call));
        } else if text.starts_with("<... ") {
            let mine = open.iter().position(|(other, _)| *other == thread);
            let (_, mut call) = open.remove(mine.unwrap());
            call.ended = number;
            call.text.push_str(text.split_once("resumed>").unwrap().1);
            calls.push(call);
        } else {
            calls.push(Call {
                began: number,
                ended: number,
                text: text.to_owned(),
            });
        }
    }
    calls
}

/// Whether `strace` can be used here. Where tests count it must be.
fn can_trace() -> bool {
    let works = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        let missing = "strace is missing or may not trace: system calls were not checked";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
    }
    works
}

#[test]
#[cfg(target_os = "linux")]
fn a_data_sync_stands_between_each_change_and_its_acknowledgement() {
    if !can_trace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "100", "-o"]).arg(&log);
    strace.args(["-e", "trace=write,pwrite64,fdatasync,fsync,sync_file_range"]);
    strace.arg(itself().get_program()).args(itself().get_args());
    let output = start(strace, "trace", &directory.path().join("auth"))
        .wait_with_output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");

    let calls = calls(&fs::read_to_string(&log).unwrap());
    let said = |what: &str| {
        let line = format!("\"{what}\\n\"");
        let found = calls.iter().find(|call| call.text.contains(&line));
        found.unwrap_or_else(|| panic!("{what} is not in the trace"))
    };
    let of_database = |call: &Call| call.text.contains("/auth/db>");
    for number in 0..5 {
        for step in [
            "issue", "redeem", "rotate", "repeat", "replay", "revoke", "again",
        ] {
            let (begin, end) = (
                said(&format!("begin {step} {number}")).ended,
                said(&format!("end {step} {number}")).began,
            );
            let between: Vec<_> = calls
                .iter()
                .filter(|call| call.began > begin && call.ended < end)
                .collect();
            let writes = between
                .iter()
                .filter(|call| call.text.starts_with("pwrite64") && of_database(call));
            let written = writes.map(|call| call.ended).max();
            let syncs = between
                .iter()
                .filter(|call| call.text.starts_with("fdatasync") && of_database(call));
            let synced = syncs
                .filter(|call| call.text.trim_end().ends_with("= 0"))
                .map(|call| call.began)
                .max();
            if ["repeat", "again"].contains(&step) {
                assert_eq!((written, synced), (None, None), "{step} changes nothing");
            } else {
                let written = written.unwrap_or_else(|| panic!("{step} {number} wrote nothing"));
                assert!(
                    synced.is_some_and(|synced| synced > written),
                    "{step} {number} was acknowledged without a data sync after its last write"
                );
            }
        }
    }
    let (begin, end) = (said("begin giant").ended, said("end giant").began);
    for synced in ["/auth/blobs/", "/auth/blobs>", "/auth/db>"] {
        assert!(
            calls.iter().any(|call| call.began > begin
                && call.ended < end
                && call.text.starts_with('f')
                && call.text.contains(synced)
                && call.text.trim_end().ends_with("= 0")),
            "{synced} was not synced"
        );
    }
}

#[tokio::test]
async fn what_is_too_large_for_one_page_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    store.create_client(giant("g"), 10, NOW).await.unwrap();
    assert!(
        directory.path().join("blobs").read_dir().unwrap().count() > 0,
        "sled does not keep it elsewhere: this tests nothing"
    );
    drop(store);
    let store = SledStore::open(directory.path()).unwrap();
    let id = ClientId::new("g").unwrap();
    let found = store.client(id.clone(), NOW).await.unwrap();
    assert_eq!(found, Some(giant("g")));
    store.delete_client(id, NOW).await.unwrap();
    store.create_client(giant("h"), 10, NOW).await.unwrap();
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
