//! MCP's own clients against the example server, end to end over HTTP: discovery, registration, the
//! sign-in and consent forms, tokens, tool calls, refresh. Then the server is killed with `kill -9`
//! and started again, and they go on with what they have.

mod outside;

use std::path::Path;

use tokio::process::Command;

use self::outside::{
    Server, run,
    scripts::{node, python},
};

#[tokio::test]
async fn typescript_client_2() {
    if let Some(client) = node("typescript_client.mjs") {
        outlives_a_crash(client).await;
    }
}

#[tokio::test]
async fn typescript_sdk_1() {
    if let Some(client) = node("typescript_sdk.mjs") {
        outlives_a_crash(client).await;
    }
}

#[tokio::test]
async fn python_2() {
    if let Some(client) = python("python_client.py") {
        outlives_a_crash(client).await;
    }
}

async fn outlives_a_crash(client: Command) {
    let script = client.as_std();
    let play = async |phase: &str, server: &Server, state: &Path| {
        let mut command = Command::new(script.get_program());
        command
            .args(script.get_args())
            .arg(phase)
            .arg(server.mcp_url())
            .arg(state);
        run(command).await;
    };
    let data = tempfile::tempdir().unwrap();
    let store = format!("sled:{}", data.path().join("auth").display());
    let (state, another) = (data.path().join("state"), data.path().join("another"));

    let server = Server::start(&store).await;
    play("first", &server, &state).await;
    let server = server.crash_and_restart(&store).await;
    play("second", &server, &state).await;
    // And the whole way once more, on the store that has seen a crash.
    play("first", &server, &another).await;
    assert!(server.terminate().await.success());
}
