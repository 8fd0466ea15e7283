//! Connections that break while the server is at work.

use std::{sync::Arc, time::Duration};

use sqlx::Connection;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::sleep,
};
use tower_mcp_auth::PostgresStore;

use super::{
    common::{App, Browser, Tokens},
    databases::Database,
    execute, number, until,
};

/// The URL of a database by a network that breaks when it is told to. The server keeps its ends, and
/// notices nothing.
async fn breakable(database: &Database) -> (String, Arc<Notify>) {
    let options = database.options();
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap().to_string();
    let url = database.url().replace(&server, &here);
    let breaks = Arc::<Notify>::default();
    let broken = Arc::clone(&breaks);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, broken) = (server.clone(), Arc::clone(&broken));
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => return,
                    () = broken.notified() => drop(client),
                }
                std::future::pending::<()>().await;
                drop(server);
            });
        }
    });
    (url, breaks)
}

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
        breaks.notify_waiters();
        // The store is asked meanwhile whether it did it.
        sleep(Duration::from_millis(500)).await;
        holds.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(app.redeem(&client, &code), watch);
    Tokens::from(&answer);
}
