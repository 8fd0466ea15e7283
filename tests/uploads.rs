//! A message that is still on its way needs its token until the last of it is there.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "common/resource.rs"]
mod resource;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower::{Layer, service_fn};
use tower_mcp_auth::{
    GrantId, Operation, ProtectedResource, Refusal, TestClock, resource_server::RequestBody,
    store::Revocation,
};

use self::resource::{Answer, Session, post, resource, send};

const MESSAGE: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_note"}}"#;

/// What decides what a message takes: the body before MCP 2026-07-28, the headers since.
const ERAS: [&[(&str, &str)]; 2] = [
    &[],
    &[
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "delete_note"),
    ],
];

/// A message that comes piece by piece, of which some know that a piece was the last.
struct Coming {
    pieces: mpsc::UnboundedReceiver<&'static [u8]>,
    left: Option<usize>,
}

impl Body for Coming {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pieces.poll_recv(cx).map(|piece| {
            let piece = piece?;
            self.left = self.left.map(|left| left - piece.len());
            Some(Ok(Frame::data(Bytes::from_static(piece))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }
}

/// A server that works once it has the whole message, for as long as the test says.
#[derive(Clone)]
struct Server {
    began: Arc<AtomicUsize>,
    done: Arc<Semaphore>,
}

impl Server {
    fn new() -> Self {
        Self {
            began: Arc::default(),
            done: Arc::new(Semaphore::new(0)),
        }
    }

    fn began(&self) -> usize {
        self.began.load(Ordering::SeqCst)
    }

    async fn serve(
        self,
        request: Request<RequestBody<Coming>>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (mut body, mut message) = (request.into_body(), Vec::new());
        while !body.is_end_stream()
            && let Some(frame) = body.frame().await
        {
            message.extend_from_slice(&frame?.into_data().unwrap());
        }
        assert_eq!(message, MESSAGE.as_bytes());
        self.began.fetch_add(1, Ordering::SeqCst);
        let _ = self.done.acquire().await;
        // Until then it is held, as some do.
        drop(body);
        Ok(Response::new(Full::from("done")))
    }
}

/// A message of which all but the last byte was sent.
struct Message {
    rest: mpsc::UnboundedSender<&'static [u8]>,
    answer: JoinHandle<Answer>,
}

impl Message {
    async fn begin(resource: &ProtectedResource, server: &Server, era: usize) -> Self {
        Self::begin_with(resource, server, era, false).await
    }

    async fn begin_with(
        resource: &ProtectedResource,
        server: &Server,
        era: usize,
        knows_its_end: bool,
    ) -> Self {
        let layer = resource
            .layer()
            .require_for(Operation::tool("delete_note"), "notes:write");
        let server = server.clone();
        let service = layer.layer(service_fn(move |request| server.clone().serve(request)));
        let (rest, pieces) = mpsc::unbounded_channel();
        let left = knows_its_end.then_some(MESSAGE.len());
        let request = ERAS[era]
            .iter()
            .fold(post(Some("writer")), |request, (name, value)| {
                request.header(*name, *value)
            })
            .body(Coming { pieces, left })
            .unwrap();
        let (most, _) = MESSAGE.as_bytes().split_at(MESSAGE.len() - 1);
        rest.send(most).unwrap();
        let answer = tokio::spawn(async move { send(&service, request).await });
        let message = Self { rest, answer };
        // Until it waits for the rest.
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!message.answer.is_finished());
        message
    }

    fn finish(self) -> JoinHandle<Answer> {
        let (_, last) = MESSAGE.as_bytes().split_at(MESSAGE.len() - 1);
        let _ = self.rest.send(last);
        self.answer
    }
}

async fn came(answer: JoinHandle<Answer>) -> Answer {
    let answer = timeout(Duration::from_secs(60), answer).await;
    answer.unwrap().unwrap()
}

/// A writer's token of an hour.
fn writer() -> (ProtectedResource, TestClock) {
    let (resource, told, clock) = resource();
    let session = Session {
        scopes: "notes:read notes:write",
        grant: Some(1),
        ..Session::default()
    };
    told.good("writer", session.build());
    (resource, clock)
}

fn revoke(resource: &ProtectedResource) {
    let grants = vec![GrantId::from_bytes([1; 16])];
    resource.cache().revoke(&Revocation {
        grants,
        access_tokens: Vec::new(),
    });
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_with_a_token_that_was_revoked_before_the_message_was_there() {
    for era in 0..ERAS.len() {
        let ((resource, _), server) = (writer(), Server::new());
        let message = Message::begin(&resource, &server, era).await;
        revoke(&resource);
        let answer = came(message.finish()).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.refusal, Some(Refusal::RevokedToken));
        assert!(answer.challenge().contains("invalid_token"), "{answer:?}");
        assert_eq!(server.began(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn nor_with_one_that_expired() {
    for era in 0..ERAS.len() {
        let ((resource, clock), server) = (writer(), Server::new());
        let message = Message::begin(&resource, &server, era).await;
        clock.advance(Duration::from_secs(3600));
        let answer = came(message.finish()).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.refusal, Some(Refusal::ExpiredToken));
        assert_eq!(server.began(), 0);
    }
}

/// Whoever reads a message while it comes is not kept waiting for the rest.
#[tokio::test(start_paused = true)]
async fn a_message_whose_rest_never_comes_ends_with_its_token() {
    let ((resource, _), server) = (writer(), Server::new());
    let message = Message::begin(&resource, &server, 1).await;
    let began = Instant::now();
    revoke(&resource);
    let answer = came(message.answer).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(message.rest.is_closed(), "the server behind hears of it");
}

/// What was begun in time is finished: half of it would help nobody.
#[tokio::test(start_paused = true)]
async fn what_was_asked_for_in_time_is_done() {
    for (era, knows_its_end) in [(0, false), (0, true), (1, false), (1, true)] {
        let ((resource, clock), server) = (writer(), Server::new());
        let message = Message::begin_with(&resource, &server, era, knows_its_end).await;
        let answer = message.finish();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.began(), 1);
        revoke(&resource);
        clock.advance(Duration::from_secs(3600));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!answer.is_finished());
        server.done.add_permits(1);
        let answer = came(answer).await;
        assert_eq!((answer.status, answer.text()), (200, "done"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_takes_its_time_arrives() {
    for era in 0..ERAS.len() {
        let ((resource, _), server) = (writer(), Server::new());
        server.done.add_permits(1);
        let message = Message::begin(&resource, &server, era).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let answer = came(message.finish()).await;
        assert_eq!((answer.status, answer.text()), (200, "done"));
    }
}
