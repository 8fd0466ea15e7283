//! The servers that are written in Rust, and the program that sends requests to all of them.
//!
//! `../run` starts it; what each server prints and answers is what `../common.mjs` says.

#[path = "../../../common/mod.rs"]
mod common;
mod jwt;
mod load;
mod ours;
mod oxide;

use std::{env, net::Ipv4Addr};

use axum::Router;
use serde_json::Value;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["load", port, connections, seconds] => load::run(port, connections, seconds).await,
        ["bare", port] => serve(port, ours::bare()).await,
        ["ours", port, directory] => serve(port, ours::durable(directory)).await,
        ["oxide", port] => serve(port, oxide::server()).await,
        ["our-jwt", port] => serve(port, jwt::ours().await).await,
        ["their-jwt", port] => serve(port, jwt::theirs().await).await,
        _ => panic!("there is no {args:?}"),
    }
}

/// What a server says of itself, and the server.
type Served = (Value, Router);

async fn serve(port: &str, (hello, app): Served) {
    let address = (Ipv4Addr::LOCALHOST, port.parse().unwrap());
    let listener = TcpListener::bind(address).await.unwrap();
    println!("{hello}");
    axum::serve(listener, app).await.unwrap();
}

/// How many codes a request asks for.
fn count(query: Option<&str>) -> usize {
    let (_, count) = query.unwrap().split_once('=').unwrap();
    count.parse().unwrap()
}
