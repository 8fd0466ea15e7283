//! Counts what is admitted, which happens too often to look its counter up each time.

use crate::uri::ResourceUri;

/// How many requests one resource has admitted, where metrics are wanted.
#[derive(Default)]
pub(crate) struct Admissions {
    #[cfg(feature = "metrics")]
    counter: std::sync::OnceLock<metrics::Counter>,
}

impl Admissions {
    /// One more.
    #[cfg(feature = "metrics")]
    pub(crate) fn count(&self, resource: &ResourceUri) {
        // At the first request an application has installed its recorder.
        let counter = self.counter.get_or_init(
            || metrics::counter!("mcp_auth_admitted_total", "resource" => resource.to_string()),
        );
        counter.increment(1);
    }

    /// One more.
    #[cfg(not(feature = "metrics"))]
    pub(crate) const fn count(&self, _: &ResourceUri) {}
}
