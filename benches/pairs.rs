//! A server behind the layer and the same server without it, taking turns: one second the one, one
//! second the other. What else the machine does hits both of a pair.
//!
//! `cargo run --release --bin pairs` in `benches/`; the number of pairs may follow (21 unless
//! given). The servers share core 0, the requests come from core 1. Prints how much CPU time a
//! request takes with the layer to how much without, and the same for a metadata document and a
//! handler that answers with the same bytes.

#[path = "wire/client.rs"]
mod client;
mod everybody;
#[path = "wire/server.rs"]
mod server;

use std::{env, time::Duration};

use client::{Server, load, requests};

const CONNECTIONS: usize = 64;
const TURN: Duration = Duration::from_secs(1);

fn main() {
    let mut args = env::args().skip(1);
    let first = args.next();
    if first.as_deref() == Some("--serve") {
        return server::serve(&args.next().unwrap());
    }
    let pairs = first.map_or(21, |pairs| pairs.parse().unwrap());
    client::keep_off();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("{pairs} pairs, {CONNECTIONS} connections; medians, with quartiles and extremes");
    for (what, ours, theirs, tokens) in [
        ("hit, 1 token, to bare axum", "layered", "bare", 1),
        (
            "hit, 10,000 tokens, to bare axum",
            "layered",
            "bare",
            10_000,
        ),
        ("document, to a static handler", "document", "static", 1),
    ] {
        let (ours, theirs) = (Server::start(ours), Server::start(theirs));
        runtime.block_on(compare(what, &ours, &theirs, tokens, pairs));
    }
}

async fn compare(what: &str, ours: &Server, theirs: &Server, tokens: usize, pairs: usize) {
    let requests = requests(tokens);
    for server in [ours, theirs] {
        load(server, CONNECTIONS, &requests, 2 * TURN).await;
    }
    let (mut cpu, mut rate, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        // Whoever comes second finds the machine as the first has left it.
        let order = if pair % 2 == 0 {
            [theirs, ours]
        } else {
            [ours, theirs]
        };
        let first = load(order[0], CONNECTIONS, &requests, TURN).await;
        let second = load(order[1], CONNECTIONS, &requests, TURN).await;
        let (b, a) = if pair % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        cpu.push(a.cpu_per_request() / b.cpu_per_request());
        rate.push(a.per_second() / b.per_second());
        alone.push(b.cpu_per_request());
    }
    println!("{what}");
    println!("  CPU per request     x {}", spread(&mut cpu));
    println!("  requests per second x {}", spread(&mut rate));
    println!("  without us, in us     {}", spread(&mut alone));
}

fn spread(all: &mut [f64]) -> String {
    all.sort_by(f64::total_cmp);
    let at = |part: f64| all[(part * (all.len() - 1) as f64).round() as usize];
    format!(
        "{:.3} ({:.3} to {:.3}; {:.3} to {:.3})",
        at(0.5),
        at(0.25),
        at(0.75),
        at(0.0),
        at(1.0)
    )
}
