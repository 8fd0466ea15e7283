//! A server that may open no more files: what cannot be kept is not acknowledged, and afterwards
//! everything goes on.
#![cfg(all(feature = "sled", target_os = "linux"))]

mod outside;

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use self::outside::Server;

/// Far more than any answer takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shell that lets what follows open 80 files.
const LIMITED: [&str; 4] = ["sh", "-c", "ulimit -n 80 && exec \"$@\"", "sh"];

async fn connect(server: &Server) -> TcpStream {
    let address = server.origin.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// Registers a client by that name, which takes a write. The status.
async fn register(connection: &mut TcpStream, name: &str) -> u16 {
    let body = serde_json::json!({
        "redirect_uris": ["https://client.example/cb"], "client_name": name,
        "token_endpoint_auth_method": "none",
    });
    let body = body.to_string();
    let request = format!(
        "POST /oauth/register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut bytes = [0; 4096];
        let read = connection.read(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "{answer}");
        answer += std::str::from_utf8(&bytes[..read]).unwrap();
    }
    answer[9..12].parse().unwrap()
}

#[tokio::test]
async fn who_takes_all_connections_stops_the_store_for_no_longer_than_that() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sled:{}", directory.path().join("auth").display());
    let server = Server::start_under(&LIMITED, &store, &["--rate-limit", "off"]).await;
    let mut connection = connect(&server).await;
    assert_eq!(register(&mut connection, "before").await, 201);

    let mut taken = Vec::new();
    loop {
        taken.push(connect(&server).await);
        assert!(taken.len() < 1000, "there is no limit");
        match register(&mut connection, &format!("number {}", taken.len())).await {
            201 => {}
            status => break assert_eq!(status, 503),
        }
    }
    assert!(server.log().contains("Too many open files"));

    drop(taken);
    let recovered = async { while register(&mut connection, "after").await != 201 {} };
    // Once the server has noticed.
    let recovered = timeout(PATIENCE, recovered).await;
    assert!(recovered.is_ok(), "{}", server.log());
    assert_eq!(register(&mut connect(&server).await, "others").await, 201);
}
