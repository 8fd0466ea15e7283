//! The response to a request for an operation.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::{
    Refusal,
    bearer::Scheme,
    body::ResponseBody,
    cache::Standing,
    guard::{Protection, Refused},
    policy::Gate,
    refusing::Refusing,
    request_body::RequestBody,
    watch::Watch,
};
use crate::remainder::Remainder;

pin_project! {
    /// Response future of [`McpOperationService`](super::McpOperationService).
    #[must_use = "futures do nothing unless polled"]
    pub struct OperationFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
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
        Reading {
            #[pin]
            body: B,
            read: Read,
            // Once it is too long.
            rest: Option<Remainder>,
            held: Option<Box<Held<S>>>,
        },
        Inner { #[pin] future: F, upload: Option<Upload> },
    }
}

/// A body that the service behind reads while it comes. Its token has to be good until the last of
/// it is there: whoever held that back could do something with a token that was taken away since.
pub(crate) struct Upload {
    /// Shared with the body, which gives it up.
    open: Arc<()>,
    watch: Watch,
    protection: Arc<Protection>,
    scheme: Scheme,
}

impl Upload {
    pub(crate) fn new(standing: Standing, protection: &Arc<Protection>, scheme: Scheme) -> Self {
        Self {
            open: Arc::new(()),
            watch: Watch::new(&protection.guard, standing),
            protection: Arc::clone(protection),
            scheme,
        }
    }

    /// For the body.
    pub(crate) fn open(&self) -> Arc<()> {
        Arc::clone(&self.open)
    }

    fn is_complete(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }

    fn refuse(&self, refusal: Refusal) -> Response<Bytes> {
        let session = Some(self.watch.session().clone());
        let refused = Refused { refusal, session };
        self.protection.refuse(&refused, self.scheme)
    }
}

/// What waits for the body.
struct Held<S> {
    ready: S,
    gate: Gate,
    parts: Parts,
    standing: Option<Standing>,
    /// Until when. Only set once the body keeps us waiting: most are there at once.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Held<S> {
    /// Whether the body has kept us waiting for too long; wakes the task when it has.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let patience = self.gate.body_deadline();
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        deadline.as_mut().poll(cx).is_ready()
    }
}

/// What has come of the body.
enum Read {
    Nothing,
    /// Most bodies come in one piece, which is not copied.
    One(Bytes),
    More(BytesMut),
}

impl Read {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(bytes) => bytes.len(),
            Self::More(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, chunk: Bytes) {
        match self {
            Self::Nothing => *self = Self::One(chunk),
            Self::One(first) => {
                let mut bytes = BytesMut::with_capacity(first.len() + chunk.len());
                bytes.extend_from_slice(first);
                bytes.extend_from_slice(&chunk);
                *self = Self::More(bytes);
            }
            Self::More(bytes) => bytes.extend_from_slice(&chunk),
        }
    }

    fn take(&mut self) -> Bytes {
        match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::More(bytes) => bytes.freeze(),
        }
    }
}

impl<S, B> OperationFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(crate) fn refusing(parts: &Parts, body: B, response: Response<Bytes>) -> Self
    where
        B: Body,
    {
        let state = match Remainder::of_unread(&parts.headers, &body) {
            Some(rest) => State::Refusing {
                refusing: Refusing::new(body, rest, response),
            },
            None => State::Answered {
                response: Some(response),
            },
        };
        Self { state }
    }

    pub(crate) const fn inner(future: S::Future, upload: Option<Upload>) -> Self {
        Self {
            state: State::Inner { future, upload },
        }
    }

    pub(crate) fn reading(
        ready: S,
        gate: Gate,
        parts: Parts,
        standing: Option<Standing>,
        body: B,
    ) -> Self {
        Self {
            state: State::Reading {
                body,
                read: Read::Nothing,
                rest: None,
                held: Some(Box::new(Held {
                    ready,
                    gate,
                    parts,
                    standing,
                    deadline: None,
                })),
            },
        }
    }
}

impl<S, B, RB> Future for OperationFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<RB>>,
    B: Body<Data = Bytes>,
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
                StateProj::Reading {
                    mut body,
                    read,
                    rest,
                    held,
                } => {
                    #[expect(clippy::expect_used, reason = "taken when this state ends")]
                    let waiting = held.as_mut().expect("polled after completion");
                    let limit = waiting.gate.body_limit();
                    let refusal = loop {
                        if let Some(rest) = rest {
                            ready!(rest.poll_read(body.as_mut(), cx));
                            break Some(Refusal::MessageTooLarge);
                        }
                        match body.as_mut().poll_frame(cx) {
                            Poll::Pending => {
                                if waiting.is_overdue(cx) {
                                    break Some(Refusal::MessageTooSlow);
                                }
                                return Poll::Pending;
                            }
                            Poll::Ready(None) => break None,
                            Poll::Ready(Some(Err(_))) => break Some(Refusal::MalformedMessage),
                            Poll::Ready(Some(Ok(frame))) => {
                                // Trailers are dropped: no MCP message has any.
                                let Ok(chunk) = frame.into_data() else {
                                    continue;
                                };
                                if chunk.len() > limit - read.len() {
                                    *rest = Some(Remainder::of_begun());
                                    continue;
                                }
                                read.push(chunk);
                            }
                        }
                    };
                    #[expect(clippy::expect_used, reason = "this state ends right below")]
                    let held = held.take().expect("taken once");
                    let Held {
                        mut ready,
                        gate,
                        parts,
                        standing,
                        ..
                    } = *held;
                    let bytes = read.take();
                    let refusal = refusal.or_else(|| gate.lost(&standing?));
                    let verdict = match refusal {
                        Some(refusal) => Err(refusal.into()),
                        None => gate.by_body(&parts, &bytes),
                    };
                    match verdict {
                        Ok(()) => {
                            let request = Request::from_parts(parts, RequestBody::read(bytes));
                            State::Inner {
                                future: ready.call(request),
                                upload: None,
                            }
                        }
                        Err(denied) => State::Answered {
                            response: Some(gate.answer(&parts, &denied)),
                        },
                    }
                }
                StateProj::Inner { future, upload } => {
                    let open = upload.as_ref().filter(|upload| !upload.is_complete());
                    let refused = match open.and_then(|upload| upload.watch.lost()) {
                        Some(refusal) => Some(refusal),
                        None => match future.poll(cx)? {
                            Poll::Ready(response) => {
                                return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                            }
                            Poll::Pending => None,
                        },
                    };
                    let Some(held) = upload.as_mut().filter(|upload| !upload.is_complete()) else {
                        *upload = None;
                        return Poll::Pending;
                    };
                    let refusal = match refused {
                        Some(refusal) => refusal,
                        None => ready!(held.watch.poll_lost(cx)),
                    };
                    State::Answered {
                        response: Some(held.refuse(refusal)),
                    }
                }
            };
            state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for OperationFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationFuture").finish_non_exhaustive()
    }
}
