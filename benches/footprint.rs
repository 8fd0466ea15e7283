//! What a session in the cache takes of memory: the process before and after a million of them.
//!
//! `cargo run --release --bin footprint` in `benches/`; how many may follow. Each is somebody else's
//! and has a grant of its own; they share a hundred clients, one resource and two scopes.

mod everybody;

use std::{env, fs};

use everybody::{resource, token};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let count = env::args()
        .nth(1)
        .map_or(1_000_000, |count| count.parse().unwrap());
    let resource = resource(count as u64);
    session(&resource, count).await;
    let before = resident();
    for index in 0..count {
        session(&resource, index).await;
    }
    let each = (resident() - before) as f64 / count as f64;
    println!("{each:.0} resident bytes for each of {count} sessions");
    println!("{:?}", resource.cache());
}

async fn session(resource: &tower_mcp_auth::ProtectedResource, index: usize) {
    let mut headers = http::HeaderMap::new();
    let value = format!("Bearer {}", token(index)).parse().unwrap();
    headers.insert(http::header::AUTHORIZATION, value);
    assert!(resource.session(&headers).await.unwrap().is_some());
}

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}
