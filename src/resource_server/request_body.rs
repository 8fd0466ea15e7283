//! Request bodies that were read to decide about an operation, or not.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// The body that the service behind [`McpOperationLayer`](super::McpOperationLayer) gets: the
    /// one that came, or its bytes once more.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        // `open` is given up with the last of it, which somebody else may be waiting for.
        PassedThrough { #[pin] body: B, open: Option<Arc<()>> },
        Read { #[pin] body: Full<Bytes> },
    }
}

impl<B> RequestBody<B> {
    /// Holds `open` until all of it was read, or nobody wants it.
    pub(crate) const fn passed_through(body: B, open: Option<Arc<()>>) -> Self {
        Self {
            kind: Kind::PassedThrough { body, open },
        }
    }

    pub(crate) fn read(body: Bytes) -> Self {
        Self {
            kind: Kind::Read {
                body: Full::new(body),
            },
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::PassedThrough { mut body, open } => {
                let frame = body.as_mut().poll_frame(cx);
                if matches!(frame, Poll::Ready(None | Some(Err(_)))) || body.is_end_stream() {
                    *open = None;
                }
                frame
            }
            KindProj::Read { body } => body.poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::PassedThrough { body, .. } => body.is_end_stream(),
            Kind::Read { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::PassedThrough { body, .. } => body.size_hint(),
            Kind::Read { body } => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_tells_its_length_and_its_end_however_it_came() {
        for length in [0, 3] {
            let bytes = Bytes::from(vec![b'x'; length]);
            let passed = RequestBody::passed_through(Full::new(bytes.clone()), None);
            let read = RequestBody::<Full<Bytes>>::read(bytes);
            for body in [passed, read] {
                assert_eq!(body.size_hint().exact(), Some(length as u64));
                assert_eq!(body.is_end_stream(), length == 0);
            }
        }
    }
}
