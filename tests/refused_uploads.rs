//! Who is refused while still sending learns why, and holds nobody up.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "common/resource.rs"]
mod resource;

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, routing::any_service};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep},
};
use tower::{Layer, service_fn};
use tower_mcp_auth::{McpOperationLayer, Operation, ProtectedResource};

use self::resource::{post, resource, send};

const MIB: usize = 1024 * 1024;

fn by_operation(resource: &ProtectedResource) -> McpOperationLayer {
    let layer = resource.layer().require("notes:read");
    layer.require_for(Operation::tool("delete_note"), "notes:write")
}

async fn read_all<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B::Error: std::fmt::Debug,
{
    request.into_body().collect().await.unwrap();
    Ok(Response::new(Full::from("done")))
}

/// A server with one way in by the layer alone and one by operation.
async fn serve() -> SocketAddr {
    let (resource, ..) = resource();
    let app = Router::new()
        .route(
            "/mcp",
            any_service(resource.layer().layer(service_fn(read_all))),
        )
        .route(
            "/operations",
            any_service(by_operation(&resource).layer(service_fn(read_all))),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// What the client has said of how long its message is.
#[derive(Clone, Copy)]
enum Length {
    Known,
    Chunked,
}

/// A connection that sends all that it has before it looks for an answer.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn at(server: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(server).await.unwrap()))
    }

    async fn post(&mut self, path: &str, headers: &str, length: Length, mebibytes: usize) -> u16 {
        let framing = match length {
            Length::Known => format!("Content-Length: {}", mebibytes * MIB),
            Length::Chunked => "Transfer-Encoding: chunked".to_owned(),
        };
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}{framing}\r\n\r\n");
        self.0.write_all(head.as_bytes()).await.unwrap();
        let piece = " ".repeat(MIB);
        let chunk = format!("{MIB:x}\r\n{piece}\r\n");
        for _ in 0..mebibytes {
            let bytes = match length {
                Length::Known => &piece,
                Length::Chunked => &chunk,
            };
            self.0.write_all(bytes.as_bytes()).await.unwrap();
        }
        if let Length::Chunked = length {
            self.0.write_all(b"0\r\n\r\n").await.unwrap();
        }
        self.answer().await
    }

    /// The status of a whole answer.
    async fn answer(&mut self) -> u16 {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length = length.lines().next().unwrap().parse().unwrap();
        self.0.read_exact(&mut vec![0; length]).await.unwrap();
        head[9..12].parse().unwrap()
    }
}

/// In both eras a call of a tool for which alice's token does not suffice.
const NOT_ALLOWED: &str = "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
    Mcp-Name: delete_note\r\nAuthorization: Bearer alice\r\n";
const ALLOWED: &str = "Authorization: Bearer alice\r\n";
/// Not in the cache, so that somebody is asked about it.
const UNKNOWN: &str = "Authorization: Bearer unknown\r\n";

#[tokio::test]
async fn a_large_message_is_read_before_it_is_refused() {
    let server = serve().await;
    for length in [Length::Known, Length::Chunked] {
        for (path, headers, mebibytes, status) in [
            ("/mcp", "", 3, 401),
            ("/mcp", UNKNOWN, 3, 401),
            ("/operations", UNKNOWN, 3, 401),
            ("/operations", NOT_ALLOWED, 3, 403),
            ("/operations", ALLOWED, 9, 413),
        ] {
            let mut client = Client::at(server).await;
            let answer = client.post(path, headers, length, mebibytes).await;
            assert_eq!(answer, status, "{path} {headers}");
            // The connection is as good as new.
            assert_eq!(client.post("/mcp", ALLOWED, length, 1).await, 200);
        }
    }
}

/// A message that comes in pieces, one after each pause; it never ends.
struct Endless {
    piece: usize,
    pause: Duration,
    announced: u64,
    next: Pin<Box<Sleep>>,
}

impl Endless {
    fn new(piece: usize, pause: Duration) -> Self {
        Self {
            piece,
            pause,
            announced: 0,
            next: Box::pin(sleep(pause)),
        }
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.next.as_mut().poll(cx).map(|()| {
            self.next = Box::pin(sleep(self.pause));
            Some(Ok(Frame::data(Bytes::from(vec![b' '; self.piece]))))
        })
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.announced);
        hint
    }
}

/// How many seconds it took to refuse a message at the layer and at the operation behind it.
async fn seconds(
    change: impl Fn(&mut Request<Endless>),
    message: impl Fn() -> Endless,
) -> [u64; 2] {
    let (resource, ..) = resource();
    let mut took = [0; 2];
    for (took, token) in took.iter_mut().zip([None, Some("alice")]) {
        let service = by_operation(&resource).layer(service_fn(read_all));
        let request = post(token)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "delete_note");
        let mut request = request.body(message()).unwrap();
        change(&mut request);
        let begun = Instant::now();
        let answer = send(&service, request).await;
        assert_eq!(answer.status, if token.is_some() { 403 } else { 401 });
        *took = begun.elapsed().as_secs();
    }
    took
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_for_ever_what_is_refused_anyway() {
    let never = Duration::from_secs(365 * 24 * 3600);
    let second = Duration::from_secs(1);
    let unchanged = |_: &mut Request<_>| {};
    // It stops, it goes on and on, it is too much.
    assert_eq!(seconds(unchanged, || Endless::new(1, never)).await, [2; 2]);
    assert_eq!(
        seconds(unchanged, || Endless::new(1, second)).await,
        [30; 2]
    );
    let quickly = || Endless::new(4 * MIB, second);
    assert_eq!(seconds(unchanged, quickly).await, [5; 2]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_has_it_at_once() {
    let message = || Endless::new(1, Duration::from_secs(1));
    let asks_first = |request: &mut Request<_>| {
        let value = "100-continue".parse().unwrap();
        request.headers_mut().insert("expect", value);
    };
    assert_eq!(seconds(asks_first, message).await, [0; 2]);
    let grpc = |request: &mut Request<_>| {
        let value = "application/grpc+proto".parse().unwrap();
        request.headers_mut().insert("content-type", value);
    };
    assert_eq!(seconds(grpc, message).await, [0; 2]);
    for (more, took) in [(0, 30), (1, 0)] {
        let announced = 16 * MIB as u64 + more;
        let long = || Endless {
            announced,
            ..message()
        };
        assert_eq!(seconds(|_| {}, long).await, [took; 2], "{announced}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_end_is_read_to_the_limit_and_refused() {
    let (resource, ..) = resource();
    let service = by_operation(&resource).layer(service_fn(read_all));
    // Four fit and the fifth is too much; sixteen more are thrown away, and no further.
    let message = Endless::new(MIB, Duration::from_secs(1));
    let begun = Instant::now();
    let answer = send(&service, post(Some("alice")).body(message).unwrap()).await;
    assert_eq!(answer.status, 413);
    assert_eq!(begun.elapsed().as_secs(), 22);
}
