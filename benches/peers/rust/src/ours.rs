//! This crate, durable on sled, and axum without any guard.

use axum::{Json, Router, extract::RawQuery, routing::get};
use serde_json::json;
use tower_mcp_auth::SledStore;

use crate::{Served, common, count};

async fn echo() -> &'static str {
    "ok"
}

pub fn bare() -> Served {
    let app = Router::new().route("/echo", get(echo));
    (json!({"tokens": ["any"]}), app)
}

pub fn durable(directory: &str) -> Served {
    let auth = common::auth(SledStore::open(directory).unwrap());
    let layer = auth.protect("/mcp").unwrap().require("notes:read");
    let codes = {
        let auth = auth.clone();
        move |RawQuery(query): RawQuery| async move {
            let mut all = Vec::new();
            while all.len() < count(query.as_deref()) {
                all.push(common::redemption(&common::code(&auth).await));
            }
            Json(all)
        }
    };
    let app = Router::new()
        .route("/echo", get(echo).layer(layer))
        .route("/bench/codes", get(codes))
        .nest_service(auth.endpoints_path(), auth.endpoints());
    let hello = json!({"token": "/oauth/token", "authorization": common::BASIC});
    (hello, app)
}
