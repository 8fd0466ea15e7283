//! The response to a request at a protected resource.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::ResponseBody,
    cache::Standing,
    guard::{Admitted, Protection, Question, Refused},
    headers,
    refusing::Refusing,
};
use crate::remainder::Remainder;

type Asking = Pin<Box<dyn Future<Output = Result<Standing, Refused>> + Send>>;

pin_project! {
    /// Response future of [`McpAuthService`](super::McpAuthService).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        Answered { response: Option<Response<Bytes>> },
        Refusing { refusing: Pin<Box<Refusing<B>>> },
        // The token is not in the cache. Boxed, to keep the future of the usual case small.
        Asking { asking: Asking, held: Option<Box<Held<S, B>>> },
        Inner { #[pin] future: F, admitted: Option<Admitted> },
    }
}

impl<S, B: Body, F> State<S, B, F> {
    fn refusing(request: Request<B>, response: Response<Bytes>) -> Self {
        match Remainder::of_unread(request.headers(), request.body()) {
            Some(rest) => Self::Refusing {
                refusing: Refusing::new(request.into_body(), rest, response),
            },
            None => Self::Answered {
                response: Some(response),
            },
        }
    }
}

/// What waits for the verdict.
struct Held<S, B> {
    ready: S,
    request: Request<B>,
    protection: Arc<Protection>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) const fn answered(response: Response<Bytes>) -> Self {
        Self {
            state: State::Answered {
                response: Some(response),
            },
        }
    }

    pub(crate) fn refusing(request: Request<B>, response: Response<Bytes>) -> Self
    where
        B: Body,
    {
        Self {
            state: State::refusing(request, response),
        }
    }

    pub(crate) const fn inner(future: S::Future, admitted: Admitted) -> Self {
        Self {
            state: State::Inner {
                future,
                admitted: Some(admitted),
            },
        }
    }

    pub(crate) fn asking(
        protection: Arc<Protection>,
        question: Question,
        ready: S,
        request: Request<B>,
    ) -> Self {
        Self {
            state: State::Asking {
                asking: Box::pin(Arc::clone(&protection).ask(question)),
                held: Some(Box::new(Held {
                    ready,
                    request,
                    protection,
                })),
            },
        }
    }
}

impl<S, B, RB> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<RB>>,
    B: Body,
    RB: Body,
{
    type Output = Result<Response<ResponseBody<RB>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Answered { response } => {
                    #[expect(clippy::expect_used, reason = "the contract of futures")]
                    let response = response.take().expect("polled after completion");
                    return Poll::Ready(Ok(response.map(ResponseBody::own)));
                }
                StateProj::Refusing { refusing } => {
                    let response = ready!(refusing.as_mut().poll(cx));
                    return Poll::Ready(Ok(response.map(ResponseBody::own)));
                }
                StateProj::Asking { asking, held } => {
                    let verdict = ready!(asking.as_mut().poll(cx));
                    #[expect(clippy::expect_used, reason = "this state ends right below")]
                    let mut held = held.take().expect("taken once");
                    let admitted = verdict.and_then(|standing| {
                        let marks = headers::hear(held.request.headers()).marks;
                        held.protection.admit(standing, marks, &mut held.request)
                    });
                    match admitted {
                        Ok(admitted) => State::Inner {
                            future: held.ready.call(held.request),
                            admitted: Some(admitted),
                        },
                        Err(refused) => {
                            let headers = held.request.headers();
                            let response = held.protection.refuse_to(headers, &refused);
                            State::refusing(held.request, response)
                        }
                    }
                }
                StateProj::Inner { future, admitted } => {
                    let response = ready!(future.poll(cx))?;
                    #[expect(clippy::expect_used, reason = "the contract of futures")]
                    let admitted = admitted.take().expect("polled after completion");
                    return Poll::Ready(Ok(admitted.finish(response)));
                }
            };
            state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
