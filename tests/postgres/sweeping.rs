//! One machine sweeps at a time.

use sqlx::Connection;
use tower_mcp_auth::{
    Digest,
    store::{Store, record::Record},
};

use super::{
    databases::Database,
    execute,
    flow::{Flow, after},
    number,
};

#[tokio::test]
async fn one_machine_sweeps_and_the_others_leave_it_to_that_one() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    Flow::new("x").redeem(&store).await;
    let late = after(10_000_000);
    let mut other = database.connect().await;
    let mut transaction = other.begin().await.unwrap();
    execute(
        &mut transaction,
        "select tower_mcp_auth.sweep('{\"now\": 0, \"limit\": 1}')",
    )
    .await;
    assert_eq!(store.sweep(late, 100).await.unwrap(), 0, "another is at it");
    transaction.commit().await.unwrap();
    // Code, grant, access token, refresh token.
    assert_eq!(store.sweep(late, 100).await.unwrap(), 4);
}

/// The index of a grant's expiry is left behind by refreshes, and must still find all.
#[tokio::test]
async fn refreshed_grants_are_swept_once_they_expire() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    for number in 0..20 {
        let flow = Flow::new(&number.to_string());
        flow.redeem(&store).await;
        flow.rotate(&store, 0).await;
    }
    let mut connection = database.connect().await;
    let grants = "select count(*) from tower_mcp_auth.grants";
    let (codes, tokens) = (
        store.sweep(after(600), 1000),
        store.sweep(after(604_799), 1000),
    );
    assert_eq!((codes.await.unwrap(), tokens.await.unwrap()), (20, 40));
    assert_eq!(number(&mut connection, grants).await, 20);
    assert_eq!(store.sweep(after(604_800), 50).await.unwrap(), 50);
    assert_eq!(store.sweep(after(604_800), 50).await.unwrap(), 10);
    assert_eq!(number(&mut connection, grants).await, 0);
}

/// A sweep that takes more than one step ends where it should.
#[tokio::test]
async fn a_large_sweep_stops_at_its_limit() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let used = (0..2_400).map(|number| Record::Used {
        digest: Digest::of(&format!("assertion {number}")),
        expires_at: after(1),
    });
    store.import(used.collect()).await.unwrap();
    let mut swept = Vec::new();
    for limit in [2_100, 1_000, 1_000] {
        swept.push(store.sweep(after(1), limit).await.unwrap());
    }
    assert_eq!(swept, [2_100, 300, 0]);
}
