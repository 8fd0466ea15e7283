//! What a request costs as the work grows: with the number of tokens, and with that of connections.
//!
//! `cargo run --release --bin scale` in `benches/` prints the figures and writes them as
//! `scale.svg`, or as the file that is named.

#[path = "../wire/client.rs"]
mod client;
#[path = "../everybody.rs"]
mod everybody;
mod plot;
#[path = "../wire/server.rs"]
mod server;
mod tokens;

use std::{env, time::Duration};

use client::{Server, load, requests};

const TURN: Duration = Duration::from_secs(1);
const TURNS: usize = 5;

fn main() {
    let mut args = env::args().skip(1);
    let first = args.next();
    if first.as_deref() == Some("--serve") {
        return server::serve(&args.next().unwrap());
    }
    let file = first.unwrap_or_else(|| "scale.svg".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("in this process: nanoseconds that the layer adds to a request");
    let by_tokens = runtime.block_on(tokens::measure());
    client::keep_off();
    println!("over loopback: microseconds of CPU per request, with the layer and without");
    let by_connections = runtime.block_on(by_connections());
    plot::draw(&file, &by_tokens, &by_connections).unwrap();
    println!("{file}");
}

/// Medians of the layered and the bare server.
async fn by_connections() -> Vec<(f64, f64, f64)> {
    let (layered, bare) = (Server::start("layered"), Server::start("bare"));
    let requests = requests(1000);
    load(&layered, 16, &requests, TURN).await;
    load(&bare, 16, &requests, TURN).await;
    let mut points = Vec::new();
    for connections in [1, 2, 16, 64, 256] {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let turn = load(&layered, connections, &requests, TURN).await;
            with.push(turn.cpu_per_request());
            let turn = load(&bare, connections, &requests, TURN).await;
            without.push(turn.cpu_per_request());
        }
        let (with, without) = (median(&mut with), median(&mut without));
        println!("{connections:>9} connections {with:8.2} {without:8.2}");
        points.push((connections as f64, with, without));
    }
    points
}

pub fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
