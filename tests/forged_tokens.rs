//! Tokens that somebody made up cost the store nothing and the others nothing (invariant 11).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
mod faults;

use common::*;
use faults::Faulty;
use http::StatusCode;
use tower_mcp_auth::{ProtectedResource, StoreVerifier};

/// A token with one letter changed: as good a forgery as any.
fn forged(token: &str, number: usize) -> String {
    let mut forged = token.as_bytes().to_vec();
    for (place, digit) in forged.iter_mut().skip(10).zip(number.to_string().bytes()) {
        *place = digit;
    }
    String::from_utf8(forged).unwrap()
}

#[tokio::test]
async fn a_flood_of_forged_tokens_reads_no_store_and_evicts_nobody() {
    let store = Faulty::new(None);
    let app = App::with(|builder| builder.store(store.clone()));
    let client = app.public_client().await;
    let token = app.tokens(&client, "alice", &[]).await.access;
    assert_eq!(app.call("/mcp", &token).await.status, StatusCode::OK);
    let calls = store.calls().len();
    for number in 1000..3000 {
        let answer = app.call("/mcp", &forged(&token, number)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(app.call("/mcp", &token).await.status, StatusCode::OK);
        let answer = app.call("/oauth/userinfo", &forged(&token, number)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(store.calls()[calls..], [""; 0]);
}

/// The issuer is another machine, which shares nothing but the store.
#[tokio::test]
async fn another_machine_knows_a_forgery_as_soon_as_it_knows_the_store() {
    let store = Faulty::new(None);
    let app = App::with(|builder| builder.store(store.clone()));
    let client = app.public_client().await;
    let token = app.tokens(&client, "alice", &[]).await.access;
    let elsewhere = ProtectedResource::builder(MCP, StoreVerifier::new(store.clone()));
    let elsewhere = elsewhere.build().unwrap();
    let is_good = async |token: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        elsewhere.session(&headers).await.unwrap().is_some()
    };
    let calls = store.calls().len();
    for number in 1000..1100 {
        assert!(!is_good(&forged(&token, number)).await);
    }
    assert_eq!(store.calls()[calls..], ["keys"]);
    let same_clock = app.auth.get_mcp_session(&http::HeaderMap::new()).await;
    assert!(same_clock.unwrap().is_none());
}
