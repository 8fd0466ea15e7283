//! Connections that break while the server is at work.

use sqlx::Connection;
use tower_mcp_auth::PostgresStore;

use super::{
    common::{App, Browser, Tokens},
    databases::Database,
    execute,
    network::breakable,
    number, until,
};

/// A code is good once: were its client told to try again, that would be a replay.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_after_its_connection_broke_is_not_lost() {
    let Some(database) = Database::create().await else {
        return;
    };
    let (url, breaks) = breakable(&database).await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let app = App::with(|builder| builder.store(store));
    let client = app.public_client().await;
    let code = Browser::of(&app, "alice").approve(&client, &[]).await;
    let (mut other, mut watcher) = (database.connect().await, database.connect().await);
    let mut holds = other.begin().await.unwrap();
    execute(&mut holds, "select from tower_mcp_auth.codes for update").await;
    let watch = async {
        let waiting = "select count(*) from pg_stat_activity \
            where datname = current_database() and wait_event_type = 'Lock'";
        until("it waits", async || {
            number(&mut watcher, waiting).await == 1
        })
        .await;
        let asked = "select count(*) from pg_stat_activity where datname = current_database() \
            and state = 'idle' and query like '%tower_mcp_auth.access_token(%'";
        assert_eq!(number(&mut watcher, asked).await, 0);
        breaks.notify_waiters();
        until("it was asked whether it did it", async || {
            number(&mut watcher, asked).await > 0
        })
        .await;
        holds.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(app.redeem(&client, &code), watch);
    Tokens::from(&answer);
}
