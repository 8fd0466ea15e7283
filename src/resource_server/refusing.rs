//! A refusal that waits until its request was read.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::remainder::Remainder;

pin_project! {
    /// Gives the response once the rest of the request was read.
    pub(super) struct Refusing<B> {
        #[pin]
        body: B,
        rest: Remainder,
        response: Option<Response<Bytes>>,
    }
}

impl<B: Body> Refusing<B> {
    /// Boxed, since most requests are not refused and should not pay for its size.
    pub(super) fn new(body: B, rest: Remainder, response: Response<Bytes>) -> Pin<Box<Self>> {
        Box::pin(Self {
            body,
            rest,
            response: Some(response),
        })
    }
}

impl<B: Body> Future for Refusing<B> {
    type Output = Response<Bytes>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        ready!(this.rest.poll_read(this.body, cx));
        #[expect(clippy::expect_used, reason = "the contract of futures")]
        let response = this.response.take().expect("polled after completion");
        Poll::Ready(response)
    }
}
