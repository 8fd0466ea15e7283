//! What is special about a store in Redis: servers that forget, die, hang or come back, and what
//! machines tell each other through them.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../common/child.rs"]
#[allow(dead_code, reason = "this child says nothing")]
mod child;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod cost;
mod failures;
mod feed;
#[path = "../common/flow.rs"]
mod flow;
mod forgetting;
mod full;
mod layout;
mod proxy;
#[path = "../common/redis.rs"]
mod servers;
#[cfg(feature = "tracing")]
mod start;
mod tls;
