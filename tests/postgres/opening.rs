//! Opening a store.

use std::error::Error;

use sqlx::{ConnectOptions, postgres::PgPoolOptions};
use tower_mcp_auth::{
    PostgresStore, StoreError,
    store::{PostgresOptions, RevokeTarget, Store},
};

use super::{
    databases::{Database, server},
    execute,
    flow::{Flow, NOW},
    number,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_instances_open_an_empty_database_at_once() {
    let Some(database) = Database::create().await else {
        return;
    };
    let opening: Vec<_> = (0..12)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move { PostgresStore::connect(&url).await.map(drop) })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
    let mut connection = database.connect().await;
    let versions = "select count(*) from tower_mcp_auth.schema_version";
    assert_eq!(number(&mut connection, versions).await, 1);
}

#[tokio::test]
async fn what_is_stored_is_there_when_it_is_opened_again() {
    let Some(database) = Database::create().await else {
        return;
    };
    let flow = Flow::new("x");
    flow.redeem(&database.open().await).await;
    assert!(flow.is_live(&database.open().await).await.unwrap());
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let Some(database) = Database::create().await else {
        return;
    };
    drop(database.open().await);
    let mut connection = database.connect().await;
    let newer = "update tower_mcp_auth.schema_version set version = 99";
    execute(&mut connection, newer).await;
    let refused = PostgresStore::connect(&database.url()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::NewerSchema { found: 99, .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn consents_of_before_destinations_are_kept_and_answer_nobody() {
    let Some(database) = Database::create().await else {
        return;
    };
    let mut connection = database.connect().await;
    let version_1 = [
        "create schema tower_mcp_auth",
        include_str!("../../src/store/postgres/sql/tables.sql"),
        "create table tower_mcp_auth.schema_version (version bigint not null)",
        "insert into tower_mcp_auth.schema_version values (1)",
    ];
    for statements in version_1 {
        execute(&mut connection, statements).await;
    }
    let flow = Flow::new("x");
    let (subject, client, resource) = (flow.subject(), flow.client(), flow.resource());
    execute(
        &mut connection,
        &format!(
            "insert into tower_mcp_auth.consents values
                ('{subject}', '{client}', sha256('{resource}'), '{resource}', 'notes:read', 1000000)"
        ),
    )
    .await;

    let store = database.open().await;
    let before = store.consents(flow.subject()).await.unwrap();
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].destination, None);
    flow.redeem(&store).await;
    let now = store.consents(flow.subject()).await.unwrap();
    assert_eq!(now.len(), 2, "one was given now: {now:?}");
    let withdrawn = RevokeTarget::Consent(flow.subject(), flow.client());
    store.revoke(withdrawn, NOW).await.unwrap();
    assert!(store.consents(flow.subject()).await.unwrap().is_empty());
}

/// A failure that leaves half of the tables behind could never be repaired by opening it again.
#[tokio::test]
async fn an_opening_that_fails_leaves_nothing_behind() {
    let Some(database) = Database::create().await else {
        return;
    };
    let mut connection = database.connect().await;
    // In the way of one of the last steps.
    let in_the_way = "create schema tower_mcp_auth; \
        create function tower_mcp_auth.import(a jsonb) returns int language sql as 'select 1'";
    execute(&mut connection, in_the_way).await;
    let refused = PostgresStore::connect(&database.url()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Unreachable { .. }),
        "{refused:?}"
    );
    let tables = "select count(*) from pg_tables where schemaname = 'tower_mcp_auth'";
    assert_eq!(number(&mut connection, tables).await, 0);
    execute(&mut connection, "drop function tower_mcp_auth.import").await;
    Flow::new("x").redeem(&database.open().await).await;
}

#[tokio::test]
async fn a_database_that_will_not_do_is_refused_with_the_reason() {
    let Some(database) = Database::create().await else {
        return;
    };
    let mut connection = database.connect().await;
    for (name, value) in [
        ("default_transaction_isolation", "repeatable read"),
        ("bytea_output", "escape"),
    ] {
        let set = format!("alter database {} set {name} to '{value}'", database.name());
        execute(&mut connection, &set).await;
        let refused = PostgresStore::connect(&database.url()).await.unwrap_err();
        let said = refused.to_string();
        assert!(
            matches!(refused, StoreError::Unsuitable { .. }),
            "{refused:?}"
        );
        assert!(said.contains(name) && said.contains(value), "{said}");
        let reset = format!("alter database {} reset {name}", database.name());
        execute(&mut connection, &reset).await;
    }
    drop(database.open().await);
}

#[tokio::test]
async fn errors_say_what_is_wrong_and_never_the_password() {
    let Some(database) = Database::create().await else {
        return;
    };
    let url = server().to_url_lossy();
    let at = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for (url, said) in [
        (
            format!("postgres://postgres:hunter2@{at}/tma_nowhere"),
            "database \"tma_nowhere\" does not exist",
        ),
        (
            format!("postgres://tma_nobody:hunter2@{at}/postgres"),
            "tma_nobody",
        ),
        (
            format!("postgres://postgres:hunter2@127.0.0.1:{port}/postgres"),
            "refused",
        ),
        (
            format!("postgres://postgres:hunter2@127.0.0.1:hunter2/{port}"),
            "port",
        ),
        ("hunter2".to_owned(), "postgres://"),
    ] {
        let error = PostgresStore::connect(&url).await.unwrap_err();
        let mut all = format!("{error:?}");
        let mut cause: Option<&dyn Error> = Some(&error);
        while let Some(error) = cause {
            all.push_str(&error.to_string());
            cause = error.source();
        }
        assert!(all.contains(said), "{all}");
        assert!(!all.contains("hunter2"), "{all}");
    }

    let with_password = database.url().replace('@', ":hunter2@");
    let options = PostgresOptions::default().direct_url(&with_password);
    let shown = format!("{options:?}");
    let store = PostgresStore::connect_with(&with_password, options).await;
    let shown = format!("{shown} {:?}", store.unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains(database.name()), "{shown}");
}

#[tokio::test]
async fn a_pool_that_is_there_already_can_be_used() {
    let Some(database) = Database::create().await else {
        return;
    };
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(database.options())
        .await
        .unwrap();
    let store = PostgresStore::new(pool.clone()).await.unwrap();
    let flow = Flow::new("x");
    flow.redeem(&store).await;
    pool.close().await;
    let closed = store.client(flow.client(), NOW).await.unwrap_err();
    assert!(matches!(closed, StoreError::Unavailable(_)), "{closed:?}");
}
