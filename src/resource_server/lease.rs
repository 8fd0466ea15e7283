//! Ends what still streams when its token is good no longer.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::Body;

use super::{Refusal, cache::Standing, guard::Guard, watch::Watch};
use crate::event::Event;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// `UNAUTHENTICATED`.
const GRPC_UNAUTHENTICATED: HeaderValue = HeaderValue::from_static("16");
/// `UNAVAILABLE`.
const GRPC_UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");

/// How long a response may stream.
pub(crate) struct Lease {
    watch: Watch,
    is_grpc: bool,
}

impl Lease {
    /// Whether a response needs one. One that knows how long it is does not: it is an answer and
    /// not a stream, and could not be cut without breaking it.
    pub(crate) fn is_for<B: Body>(response: &Response<B>) -> bool {
        let body = response.body();
        body.size_hint().exact().is_none()
            && !body.is_end_stream()
            && !response.headers().contains_key(CONTENT_LENGTH)
    }

    /// For a response with these headers. Boxed, so that answers have nothing to carry.
    pub(crate) fn new(guard: &Arc<Guard>, standing: Standing, headers: &HeaderMap) -> Box<Self> {
        Box::new(Self {
            watch: Watch::new(guard, standing),
            is_grpc: headers.get(CONTENT_TYPE).is_some_and(is_grpc),
        })
    }

    /// Why it is over.
    pub(crate) fn lost(&self) -> Option<Refusal> {
        self.watch.lost()
    }

    /// Waits for the end, which wakes the task.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        self.watch.poll_lost(cx)
    }

    /// Tells whoever watches. What comes back is for the client, as trailers.
    pub(crate) fn end(&self, refusal: Refusal) -> Option<HeaderMap> {
        let guard = self.watch.guard();
        guard.events.emit(&Event::StreamEnded {
            resource: &guard.resource,
            session: self.watch.session(),
            refusal,
        });
        // gRPC takes a stream that ends without a status for a broken one.
        let status = match refusal {
            Refusal::VerifierUnavailable => GRPC_UNAVAILABLE,
            _ => GRPC_UNAUTHENTICATED,
        };
        self.is_grpc
            .then(|| HeaderMap::from_iter([(GRPC_STATUS, status)]))
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("session", self.watch.session())
            .finish_non_exhaustive()
    }
}

/// `application/grpc` and what follows a `+`, but not gRPC-Web, whose status is in its body.
fn is_grpc(content_type: &HeaderValue) -> bool {
    let rest = content_type.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| rest.first() != Some(&b'-'))
}
