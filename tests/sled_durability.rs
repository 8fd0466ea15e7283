//! What the sled store acknowledged is there: after a restart, after `kill -9`, and in the system
//! calls that stand between a change and its acknowledgement.
#![cfg(feature = "sled")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "common/child.rs"]
mod child;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/trace.rs"]
mod trace;

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{BufRead, BufReader},
    process::Command,
    sync::Arc,
    time::Duration,
};

use child::{itself, role, say, start};
use flow::{Flow, NOW, after, giant_client};
use tower_mcp_auth::store::{
    CreateClient, RedeemCodeOutcome, RevokeTarget, RotateRefreshOutcome, SledOptions, SledStore,
    Store, record::Record,
};
use trace::{Call, calls, can_trace};

/// No test by itself: what the tests below run as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn child() {
    let Some((role, directory)) = role() else {
        return;
    };
    match &*role {
        "work" => work(&directory).await,
        "trace" => traced(&directory).await,
        other => panic!("no such role: {other}"),
    }
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

/// Each operation happened or did not, acknowledged or not: no record is without those that come
/// with it.
async fn assert_whole(store: &SledStore) {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.export(cursor, 1000).await.unwrap();
        records.extend(page.records);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let (mut grants, mut access, mut refresh) = (HashMap::new(), HashMap::new(), HashMap::new());
    for record in &records {
        match record {
            Record::Grant(grant) => {
                grants.insert(grant.id, grant);
            }
            Record::AccessToken { record, .. } => *access.entry(record.grant).or_insert(0) += 1,
            Record::RefreshToken { record, .. } => {
                refresh.insert((record.grant, record.generation), record.used.is_some());
            }
            _ => {}
        }
    }
    for record in &records {
        if let Record::Code { record: code, .. } = record {
            let grant = grants[&code.grant];
            let generations = match code.redeemed_at {
                Some(_) => grant.refresh_generation + 1,
                None => 0,
            };
            for generation in 0..generations {
                let used = refresh.remove(&(grant.id, generation));
                assert_eq!(used, Some(generation + 1 < generations), "{grant:?}");
            }
            let tokens = access.remove(&grant.id).unwrap_or(0);
            assert_eq!(tokens, generations, "{grant:?}");
        }
    }
    assert!(refresh.is_empty() && access.is_empty(), "tokens of no code");
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_to_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    for round in 0..5 {
        let mut child = start(itself(module_path!()), "work", directory.path());
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
        assert_whole(&store).await;
    }
}

/// Makes one change after the other, and says before and after each.
async fn traced(directory: &str) {
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
    let created = store
        .create_client(giant_client("g"), 10, NOW)
        .await
        .unwrap();
    assert_eq!(created, CreateClient::Created);
    say("end giant");
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
    strace
        .arg(itself(module_path!()).get_program())
        .args(itself(module_path!()).get_args());
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
    // Its files have names after a power cut, and so has the directory.
    let opened = said("begin issue 0").began;
    let parent = format!("{}>", directory.path().display());
    for name in ["/auth>", parent.as_str()] {
        let is_synced = |call: &&Call| call.text.starts_with("fsync") && call.text.contains(name);
        let synced = calls.iter().filter(is_synced);
        let synced = synced.filter(|call| call.text.trim_end().ends_with("= 0"));
        let synced = synced.map(|call| call.ended).min();
        assert!(synced.is_some_and(|synced| synced < opened), "{name}");
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
