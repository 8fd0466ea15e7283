//! Decisions are counted, by resource, endpoint and reason, and by nothing that grows.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use common::*;
use http::StatusCode;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// What was counted, by series as text.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

struct Series {
    name: String,
    counts: Counts,
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        let mut counts = self.counts.0.lock().unwrap();
        *counts.entry(self.name.clone()).or_default() += value;
    }

    fn absolute(&self, _: u64) {
        unreachable!("everything here is counted up");
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()));
        let name = format!("{}{{{}}}", key.name(), labels.collect::<Vec<_>>().join(","));
        let counts = self.clone();
        Counter::from_arc(Arc::new(Series { name, counts }))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_client_s_life_is_counted() {
    let counts = Counts::default();
    let _recording = metrics::set_default_local_recorder(&counts);
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    for _ in 0..3 {
        let answer = app.call("/mcp", &tokens.access).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    app.call("/files", &tokens.access).await;
    app.call("/mcp", "garbage").await;
    app.refresh(&client, &tokens.refresh).await;
    app.refresh(&client, &tokens.refresh).await;
    app.advance(31);
    app.refresh(&client, &tokens.refresh).await;

    let counted = counts.0.lock().unwrap().clone();
    for (series, number) in [
        ("mcp_auth_clients_registered_total{new=true}", 1),
        ("mcp_auth_codes_issued_total{remembered=false}", 1),
        ("mcp_auth_tokens_issued_total{repeated=false}", 1),
        (
            "mcp_auth_admitted_total{resource=https://api.example.com/mcp}",
            3,
        ),
        (
            "mcp_auth_refused_total{resource=https://api.example.com/files,reason=wrong_audience}",
            1,
        ),
        (
            "mcp_auth_refused_total{resource=https://api.example.com/mcp,reason=unknown_token}",
            1,
        ),
        ("mcp_auth_refreshes_total{repeated=false}", 1),
        ("mcp_auth_refreshes_total{repeated=true}", 1),
        ("mcp_auth_replays_total{what=refresh_token}", 1),
    ] {
        assert_eq!(counted.get(series), Some(&number), "{series}: {counted:#?}");
    }
    for series in counted.keys() {
        assert!(
            !series.contains(&client) && !series.contains("alice"),
            "{series}"
        );
    }
}
