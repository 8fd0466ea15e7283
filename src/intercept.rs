//! Either a layer answers itself, or the service behind it does.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use pin_project_lite::pin_project;

use crate::resource_server::ResponseBody;

pin_project! {
    /// The future of a layer that answers some requests itself (`O`) and passes the others on
    /// (`F`).
    #[derive(Debug)]
    pub struct InterceptFuture<O, F> {
        #[pin]
        kind: Kind<O, F>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<O, F> {
        Own { #[pin] future: O },
        Inner { #[pin] future: F },
    }
}

impl<O, F> InterceptFuture<O, F> {
    /// The layer answers.
    pub(crate) fn own(future: O) -> Self {
        Self {
            kind: Kind::Own { future },
        }
    }

    /// The inner service answers.
    pub(crate) fn inner(future: F) -> Self {
        Self {
            kind: Kind::Inner { future },
        }
    }
}

impl<O, F, R, E> Future for InterceptFuture<O, F>
where
    O: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().kind.project() {
            KindProjection::Own { future } => match ready!(future.poll(cx)) {
                Ok(response) => Ok(response.map(ResponseBody::full)),
                Err(never) => match never {},
            },
            KindProjection::Inner { future } => {
                ready!(future.poll(cx)).map(|response| response.map(ResponseBody::inner))
            }
        })
    }
}
