//! A load that looks like life.
//!
//! `cargo run --release --bin life` in `benches/`; for how many seconds may follow (120 unless
//! given). Ten thousand grants, durable on sled, of which a few send most of the requests (Zipf).
//! The server's clock makes haste: access tokens of an hour last fifteen seconds, and who is refused
//! for that refreshes, or signs in anew where that comes too late; others do ahead of it: some 2% of
//! all they do. 0.1% is to revoke, see the token refused and sign in anew; and two hundred of them keep a stream of
//! events open, which ends with each token. The server has core 0, the clients have core 1. Prints
//! the throughput, the latencies and how the server's memory went.

#[path = "../common/mod.rs"]
mod common;
mod connection;
mod people;
mod server;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use connection::Connection;
use people::{Act, KINDS, People};

const PEOPLE: u64 = 10_000;
const CONNECTIONS: usize = 64;
const STREAMS: usize = 200;
/// The memory is looked at so many times.
const LOOKS: u32 = 12;
/// How much faster the server's clock is.
const HASTE: u32 = 240;
/// How long tokens live, by our clock.
const ACCESS: Duration = Duration::from_secs(15);
const REFRESH: Duration = Duration::from_secs(25);

fn main() {
    let first = env::args().nth(1);
    if first.as_deref() == Some("--serve") {
        return server::serve();
    }
    let seconds = first.map_or(120, |seconds| seconds.parse().unwrap());
    let child = Command::new("taskset")
        .args(["-c", "0"])
        .arg(env::current_exe().unwrap())
        .arg("--serve")
        .stdout(Stdio::piped())
        .spawn()
        .expect("taskset is installed");
    let mut server = Server(child);
    let mut line = String::new();
    let mut out = BufReader::new(server.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let us = std::process::id().to_string();
    let moved = Command::new("taskset").args(["-cp", "1", &us]).output();
    assert!(moved.unwrap().status.success());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let time = Duration::from_secs(seconds);
    runtime.block_on(live(line.trim().parse().unwrap(), &server.0, time));
}

/// Ends with us, however we do.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn live(port: u16, server: &Child, time: Duration) {
    let people = Arc::new(People::sign_in(port).await);
    let end = Instant::now() + time;
    let streams: Vec<_> = (0..STREAMS)
        .map(|index| tokio::spawn(listen(port, Arc::clone(&people), index, end)))
        .collect();
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|seed| tokio::spawn(work(port, Arc::clone(&people), seed as u64 + 1, end)))
        .collect();
    let mut memory = Vec::new();
    for _ in 0..LOOKS {
        tokio::time::sleep(time / LOOKS).await;
        memory.push(format!("{:.1}", resident(server)));
    }
    let mut all: [Vec<u32>; KINDS.len()] = Default::default();
    for worker in workers {
        for (all, more) in all.iter_mut().zip(worker.await.unwrap()) {
            all.extend(more);
        }
    }
    let count: usize = all.iter().map(Vec::len).sum();
    let rate = count as f64 / time.as_secs_f64();
    println!(
        "{count} requests in {} s: {rate:.0} a second",
        time.as_secs()
    );
    for (name, mut times) in KINDS.into_iter().zip(all) {
        if times.is_empty() {
            continue;
        }
        times.sort_unstable();
        let at = |part: f64| times[(part * (times.len() - 1) as f64) as usize];
        let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
        println!(
            "{name}: p50 {p50} us, p99 {p99} us, p99.9 {p999} us of {}",
            times.len()
        );
    }
    let mut ended = 0;
    for stream in streams {
        ended += stream.await.unwrap();
    }
    println!("{STREAMS} streams at a time; {ended} ended with their tokens");
    println!(
        "resident MiB of the server, {LOOKS} looks: {}",
        memory.join(", ")
    );
}

/// Keeps a stream open, with another token whenever it ended with the one before; how often it did.
async fn listen(port: u16, people: Arc<People>, who: usize, end: Instant) -> usize {
    let mut ended = 0;
    while let Ok(opened) =
        tokio::time::timeout_at(end.into(), connection::hold(port, people.token(who))).await
    {
        ended += usize::from(opened);
        // Until they refresh.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ended
}

/// Microseconds of all they do, by kind.
async fn work(port: u16, people: Arc<People>, seed: u64, end: Instant) -> [Vec<u32>; KINDS.len()] {
    let mut connection = Connection::open(port).await;
    let mut dice = people::Dice(seed);
    let mut times: [Vec<u32>; KINDS.len()] = Default::default();
    while Instant::now() < end {
        let (who, act) = people.next(&mut dice);
        let begin = Instant::now();
        let kind = people.act(who, act, &mut connection).await;
        let Some(kind) = kind else { continue };
        times[kind as usize].push(begin.elapsed().as_micros() as u32);
        if act == Act::Revoke {
            people.return_of(who, &mut connection).await;
        }
    }
    times
}

fn resident(server: &Child) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<f64>().unwrap() / 1024.0
}
