//! Networks that keep still or break.

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};

use super::databases::Database;

/// The URL of a database by a network that hands on what comes, as long as it is told to. Otherwise
/// it keeps still, nobody is told, and what came meanwhile is handed on later.
pub async fn network(database: &Database) -> (String, watch::Sender<bool>) {
    let options = database.options();
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap().to_string();
    let url = database.url().replace(&server, &here);
    let (is_open, seen) = watch::channel(true);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, seen) = (server.clone(), seen.clone());
            tokio::spawn(async move {
                let server = TcpStream::connect(server).await.unwrap();
                let (asked, answers) = client.into_split();
                let (answered, asks) = server.into_split();
                tokio::join!(
                    hand_on(asked, asks, seen.clone()),
                    hand_on(answered, answers, seen)
                );
            });
        }
    });
    (url, is_open)
}

async fn hand_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut seen: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        // Told no more: the test is over.
        let is_over = seen.wait_for(|is_open| *is_open).await.is_err();
        if is_over || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
    let _ = seen.wait_for(|is_open| *is_open).await;
    let _ = to.shutdown().await;
}

/// The URL of a database by a network that breaks when it is told to. The server keeps its ends, and
/// notices nothing.
pub async fn breakable(database: &Database) -> (String, Arc<Notify>) {
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
