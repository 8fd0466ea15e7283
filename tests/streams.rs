//! A response that still streams ends with its token.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "that is how a test fails"
)]

#[path = "common/resource.rs"]
mod resource;

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Collected, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};
use tower::{Layer, ServiceExt, service_fn};
use tower_mcp_auth::{
    Digest, Event, GrantId, McpAuthLayer, Operation, ProtectedResource, TestClock,
    store::Revocation,
};

use self::resource::{MCP, Session, Told, empty, post, resource};

type Inner = UnsyncBoxBody<Bytes, Infallible>;
type Read = JoinHandle<Collected<Bytes>>;

const SSE: (&str, &str) = ("content-type", "text/event-stream");

fn revocation(grants: &[u8], tokens: &[&str]) -> Revocation {
    Revocation {
        grants: grants
            .iter()
            .map(|id| GrantId::from_bytes([*id; 16]))
            .collect(),
        access_tokens: tokens.iter().map(|token| Digest::of(token)).collect(),
    }
}

/// Alice on two devices, with a second token on the first, and bob.
fn three() -> (ProtectedResource, TestClock) {
    let (resource, told, clock) = resource();
    for (token, grant) in [("phone", 1), ("phone2", 1), ("laptop", 2)] {
        let session = Session {
            grant: Some(grant),
            ..Session::default()
        };
        told.good(token, session.build());
    }
    let bob = Session {
        subject: "bob",
        grant: Some(3),
        ..Session::default()
    };
    told.good("bob", bob.build());
    (resource, clock)
}

/// An open stream, at both ends.
struct Stream {
    server: mpsc::UnboundedSender<&'static str>,
    body: Inner,
}

impl Stream {
    fn says(&self, event: &'static str) {
        self.server.send(event).unwrap();
    }

    /// Reads to the end, elsewhere.
    async fn read(self) -> (mpsc::UnboundedSender<&'static str>, Read) {
        let Self { server, body } = self;
        let read = tokio::spawn(async move { body.collect().await.unwrap() });
        // Until it waits.
        tokio::task::yield_now().await;
        (server, read)
    }
}

/// What was read, unless there is no end to it.
async fn ended(read: Read) -> Collected<Bytes> {
    let read = timeout(Duration::from_secs(60), read).await;
    read.expect("it ends").unwrap()
}

/// What a handler sends through `server`.
fn streaming(
    server: &Mutex<Option<mpsc::UnboundedSender<&'static str>>>,
    headers: &[(&'static str, &'static str)],
) -> Response<Inner> {
    let (sender, events) = mpsc::unbounded_channel();
    *server.lock().unwrap() = Some(sender);
    let frames = UnboundedReceiverStream::new(events)
        .map(|event: &str| Ok(Frame::data(Bytes::from_static(event.as_bytes()))));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

async fn open_with(
    layer: &McpAuthLayer,
    token: &str,
    headers: &'static [(&'static str, &'static str)],
) -> Stream {
    let server = Arc::new(Mutex::new(None));
    let ours = Arc::clone(&server);
    let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(streaming(&ours, headers)))
    }));
    let response = service.oneshot(empty(post(Some(token)))).await.unwrap();
    assert_eq!(response.status(), 200);
    let server = server.lock().unwrap().take().unwrap();
    Stream {
        server,
        body: response.into_body().boxed_unsync(),
    }
}

async fn open(layer: &McpAuthLayer, token: &str) -> Stream {
    open_with(layer, token, &[SSE]).await
}

/// The next piece, as text; `None` for a clean end.
async fn next<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Option<Bytes>
where
    B::Error: std::fmt::Debug,
{
    Some(body.frame().await?.unwrap().into_data().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_grant_is_revoked_and_all_others_go_on() {
    let (resource, _) = three();
    let layer = resource.layer();
    let (phone, phone2) = (open(&layer, "phone").await, open(&layer, "phone2").await);
    let (mut laptop, mut bob) = (open(&layer, "laptop").await, open(&layer, "bob").await);
    phone.says("one");
    let (server, phone) = phone.read().await;
    let (_server2, phone2) = phone2.read().await;
    let waiting = waits(&mut laptop.body).await && waits(&mut bob.body).await;
    assert!(waiting && !phone.is_finished() && !phone2.is_finished());

    let now = Instant::now();
    resource.cache().revoke(&revocation(&[1], &[]));
    let (phone, phone2) = (ended(phone).await, ended(phone2).await);
    assert!(
        now.elapsed() < Duration::from_secs(1),
        "{:?}",
        now.elapsed()
    );
    assert!(phone.trailers().is_none());
    assert_eq!(phone.to_bytes(), "one");
    assert_eq!(phone2.to_bytes(), "");
    assert!(server.is_closed(), "the handler hears of it");

    for stream in [&mut laptop, &mut bob] {
        stream.says("still here");
        assert_eq!(next(&mut stream.body).await.unwrap(), "still here");
    }
}

/// Whether the body has nothing to say at the moment. Whoever waits from now on is woken.
async fn waits(body: &mut Inner) -> bool {
    let waiting = std::pin::pin!(body.frame());
    timeout(Duration::ZERO, waiting).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_single_token_takes_only_its_own_streams_with_it() {
    let (resource, _) = three();
    let layer = resource.layer();
    for (revoked, other) in [("phone", "phone2"), ("alice", "phone2")] {
        let (_server, gone) = open(&layer, revoked).await.read().await;
        let (server, goes_on) = open(&layer, other).await.read().await;
        let now = Instant::now();
        resource.cache().revoke(&revocation(&[], &[revoked]));
        ended(gone).await;
        assert!(now.elapsed() < Duration::from_secs(1));
        assert!(!goes_on.is_finished());
        drop(server);
        ended(goes_on).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_within_a_second_of_its_tokens_expiry() {
    let (resource, clock) = three();
    let (_server, read) = open(&resource.layer(), "phone").await.read().await;
    // An hour, second by second: as clocks do.
    for _ in 0..3599 {
        clock.advance(Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(!read.is_finished());
    clock.advance(Duration::from_secs(1));
    let now = Instant::now();
    ended(read).await;
    assert!(
        now.elapsed() <= Duration::from_secs(1),
        "{:?}",
        now.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_lets_nothing_more_through() {
    let (resource, clock) = three();
    let mut stream = open(&resource.layer(), "phone").await;
    stream.says("in time");
    assert_eq!(next(&mut stream.body).await.unwrap(), "in time");
    stream.says("too late");
    clock.advance(Duration::from_secs(3600));
    assert_eq!(next(&mut stream.body).await, None);
    assert!(stream.body.is_end_stream());

    // One that waits looks at the clock every now and then.
    let (resource, clock) = three();
    let (_server, read) = open(&resource.layer(), "phone").await.read().await;
    clock.advance(Duration::from_secs(3600));
    let now = Instant::now();
    ended(read).await;
    assert!(now.elapsed() <= Duration::from_secs(10));
}

#[tokio::test]
async fn nothing_that_waits_to_be_sent_gets_out_after_a_revocation() {
    let (resource, _) = three();
    let mut stream = open(&resource.layer(), "phone").await;
    for event in ["one", "two", "three"] {
        stream.says(event);
    }
    assert_eq!(next(&mut stream.body).await.unwrap(), "one");
    resource.cache().revoke(&revocation(&[1], &[]));
    assert_eq!(next(&mut stream.body).await, None);
    assert!(stream.server.is_closed());
}

#[tokio::test]
async fn streams_behind_scopes_by_operation_end_too() {
    let (resource, _) = three();
    let layer = resource
        .layer()
        .require_for(Operation::tool("delete_note"), "notes:write");
    let server = Arc::new(Mutex::new(None));
    let ours = Arc::clone(&server);
    let service = layer.layer(service_fn(move |_| {
        std::future::ready(Ok::<_, Infallible>(streaming(&ours, &[SSE])))
    }));
    let request = post(Some("phone")).body(Full::from(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
    ));
    let mut body = service.oneshot(request.unwrap()).await.unwrap().into_body();
    let server = server.lock().unwrap().take().unwrap();
    server.send("one").unwrap();
    assert_eq!(next(&mut body).await.unwrap(), "one");
    resource.cache().revoke(&revocation(&[1], &[]));
    assert_eq!(next(&mut body).await, None);
}

/// The request was admitted, so its answer goes out; a stream is over before it begins.
#[tokio::test]
async fn a_revocation_while_the_handler_works_leaves_the_answer_and_ends_the_stream() {
    let (resource, _) = three();
    for (streams, revoked) in [(false, 1), (true, 3)] {
        let token = if revoked == 1 { "phone" } else { "bob" };
        let working = Arc::new(Notify::new());
        let (go_on, server) = (Arc::clone(&working), Mutex::new(None));
        let server = Arc::new(server);
        let service = resource
            .layer()
            .layer(service_fn(move |_: Request<Full<Bytes>>| {
                let (go_on, server) = (Arc::clone(&go_on), Arc::clone(&server));
                async move {
                    go_on.notified().await;
                    let response = streaming(&server, &[SSE]);
                    if streams {
                        let sender = server.lock().unwrap().take().unwrap();
                        sender.send("too late").unwrap();
                        return Ok::<_, Infallible>(response);
                    }
                    Ok(Response::new(Full::from("an answer").boxed_unsync()))
                }
            }));
        let call = tokio::spawn(service.oneshot(empty(post(Some(token)))));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        resource.cache().revoke(&revocation(&[revoked], &[]));
        working.notify_one();
        let response = call.await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, if streams { "" } else { "an answer" });
    }
}

/// Cut short, it would be a broken answer: no client could tell it from a network that failed.
#[tokio::test]
async fn an_answer_that_has_told_its_length_goes_out_whole() {
    let (resource, _) = three();
    let length = &[("content-length", "6")];
    let mut stream = open_with(&resource.layer(), "phone", length).await;
    stream.says("one");
    assert_eq!(next(&mut stream.body).await.unwrap(), "one");
    resource.cache().revoke(&revocation(&[1], &[]));
    stream.says("two");
    assert_eq!(next(&mut stream.body).await.unwrap(), "two");
}

#[tokio::test]
async fn nothing_is_read_ahead() {
    const PIECES: usize = 100;
    let made = Arc::new(AtomicUsize::new(0));
    let (resource, _) = three();
    let service = resource.layer().layer(service_fn({
        let made = Arc::clone(&made);
        move |_: Request<Full<Bytes>>| {
            let made = Arc::clone(&made);
            let pieces = tokio_stream::iter(0..PIECES).map(move |_| {
                made.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"piece")))
            });
            std::future::ready(Ok::<_, Infallible>(Response::new(StreamBody::new(pieces))))
        }
    }));
    let request = empty(post(Some("phone")));
    let mut body = service.oneshot(request).await.unwrap().into_body();
    for read in 0..PIECES {
        tokio::task::yield_now().await;
        assert_eq!(made.load(Ordering::SeqCst), read);
        assert_eq!(next(&mut body).await.unwrap(), "piece");
    }
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_stream_ends_with_its_status() {
    for (content_type, status) in [
        ("application/grpc", Some("16")),
        ("application/grpc+proto", Some("16")),
        ("application/grpc-web+proto", None),
        ("text/event-stream", None),
    ] {
        let (resource, _) = three();
        let headers: &'static [_] = Box::leak(Box::new([("content-type", content_type)]));
        let (_server, read) = open_with(&resource.layer(), "phone", headers)
            .await
            .read()
            .await;
        resource.cache().revoke(&revocation(&[1], &[]));
        let end = ended(read).await;
        let said = end.trailers().and_then(|trailers: &HeaderMap| {
            trailers
                .get("grpc-status")
                .map(|value| value.to_str().unwrap())
        });
        assert_eq!(said, status, "{content_type}");
    }
}

/// What was sent to its end, with a status of its own, gets no second one.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_over_is_not_ended_again() {
    let (resource, _) = three();
    let service = resource
        .layer()
        .layer(service_fn(async |_: Request<Full<Bytes>>| {
            let status =
                HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            let frames =
                tokio_stream::iter([Ok::<_, Infallible>(Frame::<Bytes>::trailers(status))]);
            let mut response = Response::new(StreamBody::new(frames));
            let grpc = "application/grpc".parse().unwrap();
            response.headers_mut().insert("content-type", grpc);
            Ok::<_, Infallible>(response)
        }));
    let response = service.oneshot(empty(post(Some("phone")))).await.unwrap();
    let mut body = response.into_body();
    let trailers = body
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_trailers()
        .unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    resource.cache().revoke(&revocation(&[1], &[]));
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn each_end_is_told_once_with_its_reason() {
    let told = Told::default();
    let session = Session {
        grant: Some(1),
        ..Session::default()
    };
    told.good("phone", session.build());
    told.good("alice", Session::default().build());
    let clock = TestClock::at(resource::START);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let resource = ProtectedResource::builder(MCP, told)
        .clock(clock.clone())
        .observer({
            let seen = Arc::clone(&seen);
            move |event: &Event<'_>| {
                if let Event::StreamEnded {
                    session, refusal, ..
                } = event
                {
                    let line = format!("{} {}", session.subject(), refusal.reason());
                    seen.lock().unwrap().push(line);
                }
            }
        })
        .build()
        .unwrap();
    let layer = resource.layer();
    let (_server, phone) = open(&layer, "phone").await.read().await;
    let (_other, alice) = open(&layer, "alice").await.read().await;
    let (server, done) = open(&layer, "alice").await.read().await;
    drop(server);
    ended(done).await;
    resource.cache().revoke(&revocation(&[1], &[]));
    ended(phone).await;
    clock.advance(Duration::from_secs(3600));
    ended(alice).await;
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, ["alice revoked_token", "alice expired_token"]);
}
