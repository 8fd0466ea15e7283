//! What becomes of an operation when something goes wrong below it.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, postgres::PgPoolOptions};
use tokio::time::sleep;
use tower_mcp_auth::{
    KeyMaterial, PostgresStore, StoreError,
    store::{
        RevokeTarget, RotateRefreshOutcome, Store,
        record::{KeyPurpose, KeyRecord},
    },
};

use super::{
    databases::Database,
    execute,
    flow::{Flow, NOW, after},
    network::{breakable, network},
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
async fn fail_first(connection: &mut PgConnection, function: &str, code: &str, times: u32) {
    let rename = format!("alter function tower_mcp_auth.{function} rename to in_earnest");
    execute(connection, "create sequence tower_mcp_auth.calls").await;
    execute(connection, &rename).await;
    // What a sequence counts is not undone.
    let failing = format!(
        "create function tower_mcp_auth.{function}(a jsonb) returns jsonb
         language plpgsql as $$ begin
            if nextval('tower_mcp_auth.calls') <= {times} then
                raise exception 'on purpose' using errcode = '{code}';
            end if;
            return tower_mcp_auth.in_earnest(a);
         end $$"
    );
    execute(connection, &failing).await;
}

/// How often it was called since.
async fn calls(connection: &mut PgConnection) -> i64 {
    number(connection, "select last_value from tower_mcp_auth.calls").await
}

#[tokio::test]
async fn what_the_server_undid_is_tried_again_a_few_times() {
    for (code, times, comes_about, called) in [
        ("40001", 3, true, 4),
        ("40P01", 3, true, 4),
        ("40001", 1000, false, 8),
        // What led to a server that may not write may lead to the one that may.
        ("25006", 2, true, 3),
        ("25006", 1000, false, 3),
        // Whether anything came about is not known.
        ("57P01", 1, false, 1),
        ("58030", 1, false, 1),
    ] {
        let Some(database) = Database::create().await else {
            return;
        };
        let store = database.open().await;
        let mut connection = database.connect().await;
        let flow = Flow::new("x");
        flow.redeem(&store).await;
        fail_first(&mut connection, "revoke_access_token", code, times).await;
        let target = RevokeTarget::AccessToken(flow.access(0));
        let revoked = store.revoke(target, NOW).await;
        assert_eq!(revoked.is_ok(), comes_about, "{code}: {revoked:?}");
        assert_eq!(flow.is_live(&store).await.unwrap(), !comes_about);
        assert_eq!(calls(&mut connection).await, called, "{code}");
    }
}

#[tokio::test]
async fn a_question_whose_answer_was_lost_is_asked_again_a_few_times() {
    for (code, times, answered, called) in [
        ("57P01", 2, true, 3),
        ("57P03", 2, true, 3),
        ("08006", 2, true, 3),
        ("57P01", 1000, false, 3),
        ("58030", 1, false, 1),
        ("57014", 1, false, 1),
    ] {
        let Some(database) = Database::create().await else {
            return;
        };
        let store = database.open().await;
        let mut connection = database.connect().await;
        let flow = Flow::new("x");
        flow.redeem(&store).await;
        fail_first(&mut connection, "access_token", code, times).await;
        let live = flow.is_live(&store).await;
        assert_eq!(live.is_ok(), answered, "{code}: {live:?}");
        assert_eq!(calls(&mut connection).await, called, "{code}");
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

/// A session that nobody used for five seconds is tried before it is trusted with a change.
#[tokio::test]
async fn sessions_that_were_lost_while_nobody_came_cost_nothing() {
    let Some(database) = Database::create().await else {
        return;
    };
    // The store's own pool: what somebody else's does is for him to say.
    let store = PostgresStore::connect(&database.url()).await.unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    sleep(Duration::from_secs(6)).await;
    terminate(&mut database.connect().await).await;
    let revoked = store.revoke(RevokeTarget::Grant(flow.grant()), NOW).await;
    assert_eq!(revoked.unwrap().grants, [flow.grant()]);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_again_where_the_network_broke() {
    let Some(database) = Database::create().await else {
        return;
    };
    let (url, breaks) = breakable(&database).await;
    let options = tower_mcp_auth::store::PostgresOptions::default().max_connections(1);
    let store = PostgresStore::connect_with(&url, options).await.unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    // While the question is under way, not before: it waits for a table that somebody holds.
    let mut other = database.connect().await;
    let mut transaction = other.begin().await.unwrap();
    execute(
        &mut transaction,
        "lock table tower_mcp_auth.access_tokens in access exclusive mode",
    )
    .await;
    let asking = tokio::spawn(async move { flow.is_live(&store).await });
    let mut watch = database.connect().await;
    let waiting = "select count(*) from pg_locks where not granted";
    until("it waits", async || number(&mut watch, waiting).await > 0).await;
    breaks.notify_waiters();
    transaction.rollback().await.unwrap();
    assert!(asking.await.unwrap().unwrap(), "it was asked again");
}

/// Whatever is tried for it: who asks is answered while he still waits, and what he was told has
/// failed does not come about afterwards.
#[tokio::test]
async fn a_server_that_cannot_go_on_is_an_error_within_ten_seconds_and_gives_up_as_well() {
    let Some(database) = Database::create().await else {
        return;
    };
    let options = tower_mcp_auth::store::PostgresOptions::default().max_connections(2);
    let url = database.url();
    let store = PostgresStore::connect_with(&url, options).await.unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    let (mut other, mut watcher) = (database.connect().await, database.connect().await);
    for lock in [
        "lock table tower_mcp_auth.access_tokens in access exclusive mode",
        // Lets questions through.
        "lock table tower_mcp_auth.access_tokens in share mode",
    ] {
        let mut transaction = other.begin().await.unwrap();
        execute(&mut transaction, lock).await;
        let begun = Instant::now();
        let rotate = || flow.try_rotate(&store, 0, NOW);
        let waiting = "select count(*) from pg_stat_activity \
            where datname = current_database() and wait_event_type = 'Lock'";
        let watch = async {
            let mut wait_now = async || number(&mut watcher, waiting).await;
            until("all connections wait", async || wait_now().await == 2).await;
            sleep(Duration::from_millis(200)).await;
            assert_eq!(wait_now().await, 2, "there are no more than two");
        };
        let (first, second, third, ()) = tokio::join!(rotate(), rotate(), rotate(), watch);
        for given_up in [first, second, third] {
            assert_unavailable(given_up);
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert_eq!(number(&mut watcher, waiting).await, 0);
        transaction.rollback().await.unwrap();
    }
    // Out of the grace window of the first attempts, had they come about.
    let late = flow.try_rotate(&store, 0, after(60)).await;
    assert_eq!(late.unwrap(), RotateRefreshOutcome::Rotated);
}

/// Whoever asked was told that it failed, and has asked again elsewhere, where he was heard.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_up_on_its_way_is_not_done_any_more() {
    let Some(database) = Database::create().await else {
        return;
    };
    let elsewhere = database.open().await;
    let (url, is_open) = network(&database).await;
    let with = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{with}application_name=held");
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.test_before_acquire(false).connect_lazy(&url).unwrap();
    let store = PostgresStore::new(pool.clone()).await.unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    until("its connection is free", async || pool.num_idle() == 1).await;

    is_open.send_replace(false);
    assert_unavailable(flow.try_rotate(&store, 0, NOW).await);
    for generation in 0..2 {
        let rotated = flow.rotate(&elsewhere, generation).await;
        assert_eq!(rotated, RotateRefreshOutcome::Rotated);
    }
    is_open.send_replace(true);
    let mut watcher = database.connect().await;
    let held = "select count(*) from pg_stat_activity \
        where datname = current_database() and application_name = 'held'";
    until("what was held has arrived", async || {
        number(&mut watcher, held).await == 0
    })
    .await;
    let rotated = flow.rotate(&elsewhere, 2).await;
    assert_eq!(rotated, RotateRefreshOutcome::Rotated, "not revoked");
    // The machine goes on as well.
    let rotated = flow.rotate(&store, 3).await;
    assert_eq!(rotated, RotateRefreshOutcome::Rotated);
}

/// What comes in several messages may be held up between them.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_end_does_not_come_keeps_nobody_else_waiting() {
    let Some(database) = Database::create().await else {
        return;
    };
    let elsewhere = database.open().await;
    let (url, is_open) = network(&database).await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let key = KeyRecord {
        purpose: KeyPurpose::SignEdDsa,
        id: 0,
        key: KeyMaterial::new(vec![1; 32]),
        created_at: NOW,
        retires_at: None,
        expires_at: None,
    };
    let (mut other, mut watcher) = (database.connect().await, database.connect().await);
    let mut transaction = other.begin().await.unwrap();
    let lock = "lock table tower_mcp_auth.keys in access exclusive mode";
    execute(&mut transaction, lock).await;
    let adding = {
        let key = key.clone();
        tokio::spawn(async move { store.add_key(key, Duration::ZERO, NOW).await })
    };
    let waiting = "select count(*) from pg_stat_activity \
        where datname = current_database() and wait_event_type = 'Lock'";
    until("it waits", async || number(&mut watcher, waiting).await > 0).await;
    is_open.send_replace(false);
    transaction.rollback().await.unwrap();

    // As long as the network keeps still.
    let added = elsewhere.add_key(key, Duration::ZERO, NOW).await;
    assert_eq!(added.unwrap().len(), 1);
    assert_unavailable(adding.await.unwrap());
}
