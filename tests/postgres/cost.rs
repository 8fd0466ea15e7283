//! What a grant takes on disk, with its indexes, as it is after having been worked with.
//!
//! More than usual: `POSTGRES_GRANTS=20000 cargo test --all-features --test postgres cost:: -- \
//! --nocapture`.

use sqlx::{Executor, Row};

use super::{databases::Database, flow::Flow};

/// What a grant may take with its code, two access tokens, two refresh tokens and its consent, where
/// there are so few that pages are half empty.
const MOST_BYTES: i64 = 5_000;

#[tokio::test]
async fn a_grant_takes_a_few_thousand_bytes() {
    let count: usize = match std::env::var("POSTGRES_GRANTS") {
        Ok(number) => number.parse().unwrap(),
        Err(_) => 500,
    };
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    // One after the other: a table for which many wait grows by as many pages, which stay empty
    // here.
    for number in 0..count {
        // As long as names are elsewhere.
        let flow = Flow::new(&format!("{number:036}"));
        flow.redeem(&store).await;
        flow.rotate(&store, 0).await;
    }
    let mut connection = database.connect().await;
    let mut total = 0;
    for (table, rows) in [
        ("grants", 1),
        ("consents", 1),
        ("codes", 1),
        ("access_tokens", 2),
        ("refresh_tokens", 2),
    ] {
        let size = sqlx::query("select pg_total_relation_size($1::text::regclass)");
        let size = size.bind(format!("tower_mcp_auth.{table}"));
        let bytes: i64 = connection.fetch_one(size).await.unwrap().get(0);
        let each = bytes / i64::try_from(count).unwrap();
        println!("{table}: {} bytes for each row", each / rows);
        total += each;
    }
    println!("{total} bytes for each of {count} grants that were refreshed once");
    assert!(total < MOST_BYTES, "{total}");
}
