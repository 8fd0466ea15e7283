//! MCP's own clients against the example server, end to end over HTTP: discovery, registration, the
//! sign-in and consent forms, tokens, tool calls, refresh. Then the server is killed with `kill -9`
//! and started again, and they go on with what they have.

mod outside;

use std::path::Path;

use serde_json::Value;
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

/// Its user allows more meanwhile, and the session goes on.
#[tokio::test]
async fn typescript_client_2_in_a_session() {
    if let Some(mut client) = node("typescript_client.mjs") {
        client.env("MODE", "legacy");
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

#[tokio::test]
async fn python_2_in_a_session() {
    if let Some(mut client) = python("python_client.py") {
        client.env("MODE", "legacy");
        outlives_a_crash(client).await;
    }
}

async fn outlives_a_crash(client: Command) {
    let script = client.as_std();
    let play = async |phase: &str, server: &Server, state: &Path| {
        let mut command = Command::new(script.get_program());
        command
            .args(script.get_args())
            .envs(
                script
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .arg(phase)
            .arg(server.mcp_url())
            .arg(state);
        run(command).await;
    };
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("auth");
    let store = format!("sled:{}", path.display());
    let (state, another) = (data.path().join("state"), data.path().join("another"));

    let server = Server::start(&store).await;
    play("first", &server, &state).await;
    let secrets = secrets(&state);
    assert_unknown(&secrets, server.log().as_bytes(), "the log");
    let server = server.crash_and_restart(&store).await;
    play("second", &server, &state).await;
    // And the whole way once more, on the store that has seen a crash.
    play("first", &server, &another).await;
    assert!(server.terminate().await.success());

    let files = std::fs::read_dir(&path).unwrap();
    let files = files
        .map(|file| file.unwrap().path())
        .filter(|file| file.is_file());
    let content: Vec<u8> = files
        .flat_map(|file| std::fs::read(file).unwrap())
        .collect();
    assert!(contains(&content, b"notes:read"), "that is the store");
    assert_unknown(&secrets, &content, "the store");
}

/// What the client was given and nobody else may know.
fn secrets(state: &Path) -> Vec<String> {
    let state: Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
    let secrets: Vec<_> = [
        &state["tokens"]["access_token"],
        &state["tokens"]["refresh_token"],
        &state["client"]["client_secret"],
    ]
    .into_iter()
    .filter_map(Value::as_str)
    .map(ToOwned::to_owned)
    .collect();
    assert!(secrets.len() >= 2, "{state}");
    secrets
}

fn assert_unknown(secrets: &[String], content: &[u8], place: &str) {
    for secret in secrets {
        // Its random part: a prefix may stand anywhere.
        let random = &secret.as_bytes()[secret.len() - 32..];
        assert!(!contains(content, random), "a secret is in {place}");
    }
}

fn contains(content: &[u8], wanted: &[u8]) -> bool {
    content.windows(wanted.len()).any(|bytes| bytes == wanted)
}
