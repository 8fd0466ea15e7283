//! MCP's conformance suite: its server suites through the layer, where they must find what they find
//! without it, and its authorization-server scenarios against the example server.

mod outside;

use serde_json::Value;

use self::outside::{Server, run, scripts::node_22};

#[tokio::test]
async fn the_server_suite_for_2025_11_25_does_not_notice_the_layer() {
    server_suite("2025-11-25", 83).await;
}

#[tokio::test]
async fn the_server_suite_for_2026_07_28_does_not_notice_the_layer() {
    server_suite("2026-07-28", 153).await;
}

/// `checks` are as many as a server without the layer passes.
async fn server_suite(version: &str, checks: u64) {
    let Some(mut suite) = node_22("conformance.mjs") else {
        return;
    };
    let server = Server::start_example("conformance").await;
    suite.args(["server", &server.origin, version]);
    let summary: Value = serde_json::from_str(&run(suite).await).unwrap();
    assert_eq!(summary["passed"], checks, "{summary}");
    assert_eq!(summary["warnings"], serde_json::json!([]), "{summary}");
}

#[tokio::test]
async fn the_authorization_server_scenarios_pass() {
    for version in ["2025-11-25", "2026-07-28"] {
        let Some(mut suite) = node_22("conformance.mjs") else {
            return;
        };
        let flags = ["--public-client", "suite=http://127.0.0.1/callback"];
        let server = Server::start_with("memory:", &flags).await;
        suite.args(["authorization", &server.origin, "suite", version]);
        let summary: Value = serde_json::from_str(&run(suite).await).unwrap();
        // The metadata, client ID metadata documents, the code grant.
        assert_eq!(summary["passed"], 3, "{summary}");
        assert_eq!(summary["warnings"], serde_json::json!([]), "{summary}");
    }
}
