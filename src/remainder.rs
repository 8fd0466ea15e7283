//! What a client still sends of a request that is refused.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http::{
    HeaderMap,
    header::{CONTENT_TYPE, EXPECT},
};
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep_until};

/// How many bytes are read for nothing.
const LIMIT: u64 = 16 * 1024 * 1024;
/// How long they may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long nothing may come of them: who waits for an answer before sending more is given it.
const PAUSE: Duration = Duration::from_secs(2);

/// Reads what is left of a body before its request is answered, up to a limit and a deadline.
///
/// An HTTP/1 server closes a connection whose request was answered and not read. To a client that is
/// still sending the connection then breaks before it has seen the answer (RFC 9112 §9.6), so it
/// cannot know that it has to sign in. Over HTTP/2 it resets the stream (RFC 9113 §8.1), and many
/// clients forget the answer over that.
///
/// Needs tokio's time driver where a body does not come at once.
#[derive(Debug)]
pub(crate) struct Remainder {
    left: u64,
    /// Only there once the body has kept us waiting: most have come by then.
    patience: Option<Patience>,
}

#[derive(Debug)]
struct Patience {
    end: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Remainder {
    /// Of a body that nobody has read from. `None` where there is nothing to read, or no use in it.
    pub(crate) fn of_unread<B: Body>(headers: &HeaderMap, body: &B) -> Option<Self> {
        if body.is_end_stream() || body.size_hint().lower() > LIMIT || is_grpc(headers) {
            return None;
        }
        // A client that asks first (RFC 9110 §10.1.1) would take reading for leave to send it.
        (!headers.contains_key(EXPECT)).then(Self::of_begun)
    }

    /// Of a body that was read from.
    pub(crate) const fn of_begun() -> Self {
        Self {
            left: LIMIT,
            patience: None,
        }
    }

    /// Ready once the answer should be given.
    pub(crate) fn poll_read<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut came = false;
        loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(None | Some(Err(_))) => return Poll::Ready(()),
                Poll::Ready(Some(Ok(frame))) => {
                    came = true;
                    let length = frame.data_ref().map_or(0, Buf::remaining);
                    match self.left.checked_sub(length as u64) {
                        Some(left) => self.left = left,
                        None => return Poll::Ready(()),
                    }
                }
            }
        }
        let now = Instant::now();
        let patience = self.patience.get_or_insert_with(|| Patience {
            end: now + DEADLINE,
            sleep: Box::pin(sleep_until(now + PAUSE)),
        });
        if came {
            let until = patience.end.min(now + PAUSE);
            patience.sleep.as_mut().reset(until);
        }
        patience.sleep.as_mut().poll(cx)
    }
}

/// Whether this comes from a gRPC client: it may wait for an answer to the first of many messages, and
/// takes one at any time.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
