//! What `PostgresStore` promises beyond the contract of every store: opening, failing, bounds that
//! many reach at once, indexes, poolers, and revocations that other machines hear of.
//!
//! The server is that of `TEST_POSTGRES_URL`, or the one of this machine.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/postgres.rs"]
mod databases;
#[path = "../common/flow.rs"]
mod flow;

mod bounds;
mod cost;
mod cut_off;
mod failure;
mod feed;
mod network;
mod opening;
mod plans;
mod pooler;
mod sweeping;
mod values;

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One number of the database.
async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    let row = connection.fetch_one(AssertSqlSafe(sql)).await.unwrap();
    row.try_get(0).unwrap()
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .unwrap();
}
