//! Other people's clients against the example server, each as a program of its own, through the real
//! sign-in and consent forms. Each prints its steps: `passed`, or `not offered` where the server's
//! metadata does not name what the step takes.

mod outside;

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::process::Command;

use self::outside::{
    Server, run,
    scripts::{node, node_22, python},
};

/// Runs the client; these are all the steps it has, and every one has passed.
async fn passes(client: Option<Command>, steps: &[&str]) {
    passes_at(&[], client, steps, &[]).await;
}

/// The same at a server with these flags besides, which does not offer what the steps in `left_out`
/// take.
async fn passes_at(flags: &[&str], client: Option<Command>, steps: &[&str], left_out: &[&str]) {
    let Some(mut client) = client else { return };
    let configured = "resource-server:its-secret";
    let flags = [&["--client", configured], flags].concat();
    let server = Server::start_with("memory:", &flags).await;
    client
        .arg(&server.origin)
        .env("CONFIGURED_CLIENT", configured);
    let summary: Value = serde_json::from_str(&run(client).await).unwrap();
    let ended = |how: &str| -> BTreeSet<&str> {
        let all = summary["steps"].as_object().unwrap().iter();
        all.filter(|(_, end)| *end == how)
            .map(|(step, _)| step.as_str())
            .collect()
    };
    assert_eq!(
        ended("passed"),
        steps.iter().copied().collect(),
        "{summary}"
    );
    let left_out = left_out.iter().copied().collect();
    assert_eq!(ended("not offered"), left_out, "{summary}");
}

const OAUTH4WEBAPI: [&str; 20] = [
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
/// RFC 9068, by the strictest of its readers.
const SIGNED: &str = "JWT access token";

#[tokio::test]
async fn oauth4webapi() {
    passes_at(&[], node("oauth4webapi.mjs"), &OAUTH4WEBAPI, &[SIGNED]).await;
}

#[tokio::test]
async fn oauth4webapi_with_signed_access_tokens_and_nonces() {
    let flags = ["--jwt-access-tokens", "--dpop-nonces"];
    let steps = [OAUTH4WEBAPI.as_slice(), &[SIGNED]].concat();
    passes_at(&flags, node("oauth4webapi.mjs"), &steps, &[]).await;
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
        "pushed authorization request",
        "client credentials",
        "private_key_jwt",
        "device authorization",
        "DPoP",
    ];
    passes(node("openid_client.mjs"), &steps).await;
}

#[tokio::test]
async fn mcp_remote() {
    let steps = [
        "sign-in and tool calls",
        "again with what it kept",
        "refresh",
    ];
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
        "client_secret_post: introspection",
        "client_secret_post: revocation",
        "none: revocation",
        "private_key_jwt",
        "private_key_jwt: introspection",
        "private_key_jwt: revocation",
    ];
    // A client that shows nothing is told nothing.
    let left_out = ["none: introspection"];
    passes_at(&[], python("authlib_client.py"), &steps, &left_out).await;
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
