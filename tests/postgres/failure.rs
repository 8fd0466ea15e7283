//! What becomes of an operation when something goes wrong below it.

use sqlx::{Connection, PgConnection};
use tower_mcp_auth::{
    PostgresStore, StoreError,
    store::{RevokeTarget, RotateRefreshOutcome, Store},
};

use super::{
    databases::Database,
    execute,
    flow::{Flow, NOW},
    number, until,
};

/// Ends every session of the database but this one: what a restart of the server does to a client.
async fn terminate(connection: &mut PgConnection) {
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where datname = current_database() and pid <> pg_backend_pid()";
    assert!(number(connection, terminate).await > 0);
    let left = "select count(*) from pg_stat_activity \
        where datname = current_database() and pid <> pg_backend_pid()";
    until("the sessions end", async || {
        number(connection, left).await == 0
    })
    .await;
}

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
}

/// Replaces a function by one that fails `times` with an error, and then works.
async fn fail_first(connection: &mut PgConnection, code: &str, times: u32) {
    let rename = "alter function tower_mcp_auth.revoke_access_token rename to revoke_in_earnest";
    execute(connection, "create sequence tower_mcp_auth.calls").await;
    execute(connection, rename).await;
    // What a sequence counts is not undone.
    let failing = format!(
        "create function tower_mcp_auth.revoke_access_token(a jsonb) returns jsonb
         language plpgsql as $$ begin
            if nextval('tower_mcp_auth.calls') <= {times} then
                raise exception 'on purpose' using errcode = '{code}';
            end if;
            return tower_mcp_auth.revoke_in_earnest(a);
         end $$"
    );
    execute(connection, &failing).await;
}

#[tokio::test]
async fn what_the_server_undid_is_tried_again_a_few_times() {
    for (code, times, comes_about, calls) in [
        ("40001", 3, true, 4),
        ("40P01", 3, true, 4),
        ("40001", 1000, false, 8),
        ("58030", 1, false, 1),
    ] {
        let Some(database) = Database::create().await else {
            return;
        };
        let store = database.open().await;
        let mut connection = database.connect().await;
        let flow = Flow::new("x");
        flow.redeem(&store).await;
        fail_first(&mut connection, code, times).await;
        let target = RevokeTarget::AccessToken(flow.access(0));
        let revoked = store.revoke(target, NOW).await;
        assert_eq!(revoked.is_ok(), comes_about, "{code}: {revoked:?}");
        assert_eq!(flow.is_live(&store).await.unwrap(), !comes_about);
        let called = "select last_value from tower_mcp_auth.calls";
        assert_eq!(number(&mut connection, called).await, calls, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_deadlock_costs_time_and_nothing_else() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let flow = Flow::new("x");
    flow.redeem(&store).await;

    let mut other = database.connect().await;
    let mut transaction = other.begin().await.unwrap();
    execute(
        &mut transaction,
        "select from tower_mcp_auth.grants for update",
    )
    .await;
    let rotating = {
        let (store, flow) = (store.clone(), flow.clone());
        tokio::spawn(async move { flow.rotate(&store, 0).await })
    };
    // It has the refresh token and waits for the grant.
    let mut watch = database.connect().await;
    let waiting = "select count(*) from pg_locks where not granted";
    until("it waits", async || number(&mut watch, waiting).await > 0).await;
    // The other way round: whoever notices first gives way, and that is who waits longer.
    execute(
        &mut transaction,
        "select from tower_mcp_auth.refresh_tokens for update",
    )
    .await;
    transaction.commit().await.unwrap();
    assert_eq!(rotating.await.unwrap(), RotateRefreshOutcome::Rotated);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    until("it was a deadlock", async || {
        number(&mut watch, deadlocks).await == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_breaks_off_is_an_error_and_tried_by_nobody() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    let mut connection = database.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    execute(
        &mut transaction,
        "select from tower_mcp_auth.grants for update",
    )
    .await;
    let revoking = {
        let (store, target) = (store.clone(), RevokeTarget::Grant(flow.grant()));
        tokio::spawn(async move { store.revoke(target, NOW).await })
    };
    let mut watch = database.connect().await;
    let waiting = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where datname = current_database() and wait_event_type = 'Lock'";
    until("it waits", async || number(&mut watch, waiting).await > 0).await;
    assert_unavailable(revoking.await.unwrap());
    transaction.rollback().await.unwrap();
    assert!(flow.is_live(&store).await.unwrap(), "nothing came about");
}

#[tokio::test]
async fn lost_sessions_cost_changes_an_error_and_questions_nothing() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let mut connection = database.connect().await;
    let flow = Flow::new("x");
    flow.redeem(&store).await;

    terminate(&mut connection).await;
    assert!(flow.is_live(&store).await.unwrap(), "it was asked again");

    let revoke = async || store.revoke(RevokeTarget::Grant(flow.grant()), NOW).await;
    let mut told = false;
    // A session that nobody used for a while is looked after first: then nothing is lost.
    for _ in 0..10 {
        terminate(&mut connection).await;
        if let lost @ Err(_) = revoke().await {
            assert_unavailable(lost);
            told = true;
            break;
        }
    }
    assert!(told, "changes are not made twice without being asked twice");
    // There may be more sessions than one that are found to be lost.
    until("it heals", async || match revoke().await {
        Ok(reached) => reached.grants == [flow.grant()],
        lost => {
            assert_unavailable(lost);
            false
        }
    })
    .await;
    assert!(!flow.is_live(&store).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_wait_for_the_answer_leaves_the_connection_whole() {
    let Some(database) = Database::create().await else {
        return;
    };
    let options = tower_mcp_auth::store::PostgresOptions::default().max_connections(1);
    let store = PostgresStore::connect_with(&database.url(), options)
        .await
        .unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    for _ in 0..20 {
        let asking = {
            let (store, flow) = (store.clone(), flow.clone());
            tokio::spawn(async move { flow.is_live(&store).await })
        };
        tokio::task::yield_now().await;
        asking.abort();
        assert!(flow.is_live(&store).await.unwrap());
    }
}
