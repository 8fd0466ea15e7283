//! What a durable answer takes next to the disk's own time.
//!
//! `cargo run --release --bin durable` in `benches/`. First one writer alone: the store's time for a
//! grant with its tokens and for a rotation, each next to an append to a file of 2 KiB with
//! `fdatasync`, taking turns. Then sixty-four writers, and at last how many times the disk is asked
//! to sync for a sign-in (`strace` counts).
//! The files are in the directory for temporary files, which `TMPDIR` names.

mod common;

use std::{
    env,
    fs::File,
    io::Write,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use common::{access_token, auth, code, redeem, token};
use serde_json::Value;
use tokio::task::JoinSet;
use tower_mcp_auth::{McpAuth, SledStore};

const TURNS: usize = 1000;
const WRITERS: usize = 64;
const FLOWS: usize = 50;

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    let auth = auth(SledStore::open(directory.path().join("store")).unwrap());
    access_token(&auth).await;
    if let Some(flows) = env::args().nth(1) {
        for _ in 0..flows.parse().unwrap() {
            access_token(&auth).await;
        }
        return;
    }
    alone(&auth, directory.path()).await;
    together(&auth).await;
    println!(
        "{:.2} syncs of the disk for each sign-in of a user who has consented",
        syncs()
    );
}

async fn refresh(auth: &McpAuth, last: &Value) -> Value {
    let last = last["refresh_token"].as_str().unwrap();
    token(
        auth,
        format!("grant_type=refresh_token&refresh_token={last}"),
    )
    .await
}

async fn alone(auth: &McpAuth, directory: &Path) {
    let mut file = File::create(directory.join("raw")).unwrap();
    let mut last = redeem(auth, &code(auth).await).await;
    let (mut raw, mut redeems, mut refreshes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let begin = Instant::now();
        file.write_all(&[7; 2048]).unwrap();
        file.sync_data().unwrap();
        raw.push(begin.elapsed());
        let code = code(auth).await;
        let begin = Instant::now();
        redeem(auth, &code).await;
        redeems.push(begin.elapsed());
        let begin = Instant::now();
        last = refresh(auth, &last).await;
        refreshes.push(begin.elapsed());
    }
    println!("one writer, medians of {TURNS}");
    let raw = median(&mut raw);
    println!("  fdatasync  {raw:?}");
    for (name, mut times) in [("redeem", redeems), ("refresh", refreshes)] {
        let time = median(&mut times);
        let ratio = time.as_secs_f64() / raw.as_secs_f64();
        println!("  {name:10} {time:?}, {ratio:.2} times that");
    }
}

fn median(all: &mut [Duration]) -> Duration {
    all.sort();
    all[all.len() / 2]
}

async fn together(auth: &McpAuth) {
    let mut tasks = JoinSet::new();
    let begin = Instant::now();
    for _ in 0..WRITERS {
        let auth = auth.clone();
        tasks.spawn(async move {
            let mut last = redeem(&auth, &code(&auth).await).await;
            for _ in 0..TURNS / 10 {
                last = refresh(&auth, &last).await;
            }
        });
    }
    tasks.join_all().await;
    let count = WRITERS * TURNS / 10;
    let rate = count as f64 / begin.elapsed().as_secs_f64();
    println!("{WRITERS} writers: {rate:.0} refreshes a second");
}

/// The difference that some flows make.
fn syncs() -> f64 {
    let count = |flows: usize| {
        let here = env::current_exe().unwrap();
        let traced = Command::new("strace")
            .args([
                "-f",
                "-e",
                "trace=fdatasync,fsync,sync",
                "-o",
                "/dev/stdout",
            ])
            .arg(here)
            .arg(flows.to_string())
            .output()
            .expect("strace is installed");
        let lines = String::from_utf8(traced.stdout).unwrap();
        // One that another thread interrupts takes a second line, which says `resumed`.
        lines.lines().filter(|line| line.contains("sync(")).count() as f64
    };
    (count(FLOWS) - count(0)) / FLOWS as f64
}
