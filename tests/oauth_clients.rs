//! Other people's clients against the example server, each as a program of its own, through the real
//! sign-in and consent forms. Each prints its steps: `passed`, or `not offered` where the server's
//! metadata does not name what the step takes.

mod outside;

use serde_json::Value;
use tokio::process::Command;

use self::outside::{
    Server, run,
    scripts::{node, node_22, python},
};

/// Runs the client; these of its steps must have passed, and not been left out.
async fn passes(client: Option<Command>, steps: &[&str]) {
    passes_at(&[], client, steps).await;
}

/// The same at a server with these flags besides.
async fn passes_at(flags: &[&str], client: Option<Command>, steps: &[&str]) {
    let Some(mut client) = client else { return };
    let configured = "resource-server:its-secret";
    let flags = [&["--client", configured], flags].concat();
    let server = Server::start_with("memory:", &flags).await;
    client
        .arg(&server.origin)
        .env("CONFIGURED_CLIENT", configured);
    let summary: Value = serde_json::from_str(&run(client).await).unwrap();
    for step in steps {
        assert_eq!(summary["steps"][step], "passed", "{step}: {summary}");
    }
}

#[tokio::test]
async fn oauth4webapi() {
    let steps = [
        "protected resource metadata",
        "challenge",
        "authorization server metadata",
        "OpenID configuration",
        "registration, public",
        "registration, confidential",
        "authorization code",
        "authorization code with a secret",
        "tool call",
        "step-up challenge",
        "refresh",
        "introspection",
        "revocation",
        "userinfo",
        "ID token",
        "pushed authorization request",
        "client credentials",
        "private_key_jwt",
        "device authorization",
        "DPoP",
    ];
    passes(node("oauth4webapi.mjs"), &steps).await;
}

/// RFC 9068, by the strictest of its readers.
#[tokio::test]
async fn oauth4webapi_reads_signed_access_tokens() {
    let steps = [
        "tool call",
        "refresh",
        "introspection",
        "revocation",
        "DPoP",
        "JWT access token",
    ];
    passes_at(&["--jwt-access-tokens"], node("oauth4webapi.mjs"), &steps).await;
}

#[tokio::test]
async fn openid_client() {
    let steps = [
        "discovery, OAuth",
        "discovery, OpenID, and registration",
        "authorization code",
        "tool call",
        "refresh",
        "ID token",
        "refresh with an ID token",
        "userinfo",
        "prompt=none",
        "introspection",
        "revocation",
        "logout",
    ];
    passes(node("openid_client.mjs"), &steps).await;
}

#[tokio::test]
async fn mcp_remote() {
    let steps = ["sign-in and tool calls", "again with what it kept"];
    passes(node("mcp_remote.mjs"), &steps).await;
}

#[tokio::test]
async fn inspector() {
    let steps = [
        "sign-in and tool call",
        "stored token",
        "stored token, MCP 2026-07-28",
        "tool that takes more scope",
        "refresh",
        "revocation and another sign-in",
    ];
    passes(node_22("inspector.mjs"), &steps).await;
}

#[tokio::test]
async fn authlib() {
    let steps = [
        "discovery",
        "none",
        "client_secret_basic",
        "client_secret_post",
        "client_secret_basic: introspection",
        "client_secret_basic: revocation",
        "none: revocation",
        "private_key_jwt",
        "private_key_jwt: introspection",
        "private_key_jwt: revocation",
    ];
    passes(python("authlib_client.py"), &steps).await;
}

#[tokio::test]
async fn fastmcp() {
    let steps = [
        "sign-in",
        "tool calls",
        "step-up",
        "refresh",
        "stored tokens",
        "refresh with stored tokens",
    ];
    passes(python("fastmcp_client.py"), &steps).await;
}
