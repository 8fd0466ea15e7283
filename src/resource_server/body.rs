//! Bodies that are ours or somebody else's.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

use super::lease::Lease;

pin_project! {
    /// The body of a protected resource's response: the inner service's, untouched, or a refusal.
    ///
    /// A stream (a body that does not know its length beforehand) ends when the token of its request
    /// expires or is revoked; the inner body is then dropped. Until then it is read no faster than
    /// this one. Needs tokio's time driver where a stream has to be waited for.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        Own { #[pin] body: Full<Bytes> },
        Inner { #[pin] body: B, lease: Option<Box<Lease>> },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn own(body: Bytes) -> Self {
        Self {
            kind: Kind::Own {
                body: Full::new(body),
            },
        }
    }

    pub(crate) const fn full(body: Full<Bytes>) -> Self {
        Self {
            kind: Kind::Own { body },
        }
    }

    pub(crate) const fn inner(body: B) -> Self {
        Self {
            kind: Kind::Inner { body, lease: None },
        }
    }

    /// A stream, for as long as the lease lasts.
    pub(crate) const fn leased(body: B, lease: Box<Lease>) -> Self {
        Self {
            kind: Kind::Inner {
                body,
                lease: Some(lease),
            },
        }
    }
}

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::own(Bytes::new())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut kind = self.project().kind;
        match kind.as_mut().project() {
            KindProj::Own { body } => body.poll_frame(cx).map_err(|never| match never {}),
            KindProj::Inner { body, lease: None } => body.poll_frame(cx),
            KindProj::Inner { .. } => kind.poll_leased(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own { body } => body.is_end_stream(),
            Kind::Inner { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own { body } => body.size_hint(),
            // The lower bound is a promise that only holds as long as the token.
            Kind::Inner { lease: Some(_), .. } => SizeHint::default(),
            Kind::Inner { body, lease: None } => body.size_hint(),
        }
    }
}

impl<B> Kind<B>
where
    B: Body<Data = Bytes>,
{
    /// On its own, so that bodies without a lease stay as cheap as they are.
    #[inline(never)]
    fn poll_leased(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let KindProj::Inner { body, lease } = self.as_mut().project() else {
            return Poll::Ready(None);
        };
        let Some(held) = lease else {
            return body.poll_frame(cx);
        };
        let refusal = match held.lost() {
            Some(refusal) => refusal,
            None => match body.poll_frame(cx) {
                Poll::Pending => ready!(held.poll_lost(cx)),
                Poll::Ready(frame) => {
                    if is_last(&frame) {
                        *lease = None;
                    }
                    return Poll::Ready(frame);
                }
            },
        };
        let trailers = held.end(refusal);
        self.set(Self::Own {
            body: Full::default(),
        });
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

fn is_last<E>(frame: &Option<Result<Frame<Bytes>, E>>) -> bool {
    match frame {
        Some(Ok(frame)) => frame.is_trailers(),
        Some(Err(_)) | None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_its_length() {
        let ours = ResponseBody::<Full<Bytes>>::own(Bytes::from_static(b"no"));
        assert_eq!(ours.size_hint().exact(), Some(2));
        let inner = ResponseBody::inner(Full::<Bytes>::from("yes"));
        assert_eq!(inner.size_hint().exact(), Some(3));
    }
}
