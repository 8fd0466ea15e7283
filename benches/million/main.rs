//! The embedded store with a million live tokens.
//!
//! `cargo run --release --bin million` in `benches/`; how many may follow. Prints how long a lookup
//! takes that no cache answers, how long it takes from opening the store to the first request that
//! is let in, what the files take on disk after all tokens were replaced three times over, a
//! twentieth at a time, and what the sweep of a million expired tokens does to requests that are
//! served meanwhile. The files are in
//! the directory for temporary files, which `TMPDIR` names.

#[path = "../common/mod.rs"]
mod common;
mod rows;

use std::{
    convert::Infallible,
    env,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Call, access_token, auth, call, echo};
use tokio::task::JoinSet;
use tower::{Layer, Service, service_fn};
use tower_mcp_auth::{McpAuth, SledStore, StoreError, TokenCache};

/// How many of the tokens came the usual way, so that they can be presented.
const REAL: usize = 20_000;
const TURNOVERS: usize = 3;

#[tokio::main]
async fn main() {
    let count = env::args()
        .nth(1)
        .map_or(1_000_000, |count| count.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = open(path);
    let mut all = rows::Tokens::fill(&*store, count).await;
    let tokens = real(&auth(Arc::clone(&store))).await;
    drop(store);
    println!(
        "{count} live tokens, and {REAL} more to ask for; {}",
        size(path)
    );

    let begin = Instant::now();
    let store = open(path);
    let opened = begin.elapsed();
    let auth = auth_with(&store, Duration::ZERO);
    serve_one(&auth, &tokens[0]).await;
    let validated = begin.elapsed();
    println!("restart: {opened:.1?} to open, {validated:.1?} to the first request let in");

    let cold = times(&auth, &tokens).await;
    println!("lookup that no cache answers: {}", spread(cold));
    drop(auth);

    for _ in 0..TURNOVERS {
        all.turn_over(&*store).await;
    }
    drop(store);
    println!("after {TURNOVERS} turnovers: {}", size(path));

    // Before anything serves: what serves sweeps, too, from half a minute after its first request.
    let store = open(path);
    all.expire_all(&*store).await;
    let auth = auth_with(&store, Duration::from_secs(3600));
    for token in &tokens[..1000] {
        serve_one(&auth, token).await;
    }
    let mut undisturbed = Vec::new();
    for _ in 0..20 {
        undisturbed.extend(times(&auth, &tokens[..1000]).await);
    }
    println!("hit, undisturbed: {}", spread(undisturbed));
    let begin = Instant::now();
    let sweep = tokio::spawn(async move { rows::sweep(&*store).await });
    let mut meanwhile = Vec::new();
    while !sweep.is_finished() {
        meanwhile.extend(times(&auth, &tokens[..1000]).await);
        tokio::task::yield_now().await;
    }
    let swept = sweep.await.unwrap();
    println!(
        "sweep of {count} grants and their tokens: {:.1?}, {swept} rows of them by this program",
        begin.elapsed()
    );
    println!("hit, meanwhile: {}", spread(meanwhile));
}

/// One that was just closed may be held a moment longer.
fn open(path: &Path) -> Arc<SledStore> {
    loop {
        match SledStore::open(path) {
            Ok(store) => return Arc::new(store),
            Err(StoreError::InUse { .. }) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn size(path: &Path) -> String {
    let disk = rows::disk(path);
    format!(
        "{:.2} bytes on disk per live byte ({:.0} MiB)",
        disk / rows::live(path),
        disk / f64::from(1 << 20)
    )
}

fn auth_with(store: &Arc<SledStore>, time_to_live: Duration) -> McpAuth {
    let cache = TokenCache::builder().time_to_live(time_to_live);
    common::auth_with_cache(Arc::clone(store), cache.build())
}

/// Tokens of the usual kind, many at once since each waits for the disk.
async fn real(auth: &McpAuth) -> Vec<String> {
    access_token(auth).await;
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let auth = auth.clone();
        tasks.spawn(async move {
            let mut tokens = Vec::new();
            for _ in 0..REAL.div_ceil(64) {
                tokens.push(access_token(&auth).await);
            }
            tokens
        });
    }
    let mut tokens = tasks.join_all().await.concat();
    tokens.truncate(REAL);
    tokens
}

async fn serve_one(auth: &McpAuth, token: &str) {
    times(auth, &[token.to_owned()]).await;
}

/// What each takes, in microseconds, from the layer being called to its answer.
async fn times(auth: &McpAuth, tokens: &[String]) -> Vec<f64> {
    let mut service = auth.protect("/mcp").unwrap().layer(service_fn(echo::<_>));
    let calls: Vec<Call> = tokens.iter().map(|token| call(token)).collect();
    let mut times = Vec::with_capacity(calls.len());
    for call in calls {
        let begin = Instant::now();
        let answer: Result<_, Infallible> = service.call(call).await;
        times.push(begin.elapsed().as_nanos() as f64 / 1000.0);
        assert_eq!(answer.unwrap().status(), 200);
    }
    times
}

fn spread(mut all: Vec<f64>) -> String {
    all.sort_by(f64::total_cmp);
    let at = |part: f64| all[(part * (all.len() - 1) as f64) as usize];
    format!(
        "p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us of {}",
        at(0.5),
        at(0.99),
        at(0.999),
        all.len()
    )
}
