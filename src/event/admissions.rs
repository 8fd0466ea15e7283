//! Counts what is admitted, which happens too often to look its counter up each time.

use std::sync::OnceLock;

use metrics::{Counter, counter};

use crate::uri::ResourceUri;

/// How many requests one resource has admitted.
#[derive(Default)]
pub(crate) struct Admissions(OnceLock<Counter>);

impl Admissions {
    /// One more.
    pub(crate) fn count(&self, resource: &ResourceUri) {
        // At the first request an application has installed its recorder.
        let counter = self.0.get_or_init(
            || counter!("mcp_auth_admitted_total", "resource" => resource.to_string()),
        );
        counter.increment(1);
    }
}
