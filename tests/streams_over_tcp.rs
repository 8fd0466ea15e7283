//! A client of a real server whose token is revoked: its stream ends as streams do, and the next
//! request tells it why.

mod common;

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::get,
};
use common::*;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, time::timeout};
use tokio_stream::{StreamExt, once, pending};

/// Far more than a second: a stream that does not end fails the test here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says hello and then nothing more.
async fn events() -> Response<Body> {
    let hello = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"data: hello\n\n")));
    let body = StreamBody::new(once(hello).chain(pending()));
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::new(body))
        .unwrap()
}

#[tokio::test]
async fn a_revoked_stream_ends_cleanly_and_the_next_request_is_refused() {
    let app = App::new();
    let client = app.public_client().await;
    let alice = app.tokens(&client, "alice", &[]).await;
    let bob = app.tokens(&client, "bob", &[]).await;
    let layer = app.auth.protect("/mcp").unwrap();
    let router = Router::new()
        .route("/mcp", get(events).layer(layer))
        .nest_service(app.auth.endpoints_path(), app.auth.endpoints());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });

    let http: Client<HttpConnector, Body> =
        Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let open = |token: &str| {
        let request = Request::get(format!("{server}/mcp"))
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty());
        http.request(request.unwrap())
    };
    let mut stream = open(&alice.access).await.unwrap();
    let mut other = open(&bob.access).await.unwrap();
    assert_eq!(stream.headers()["transfer-encoding"], "chunked");
    for stream in [&mut stream, &mut other] {
        let hello = stream.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(hello.into_data().unwrap(), "data: hello\n\n");
    }

    let form = form(&[("client_id", &client), ("token", &alice.refresh)]);
    let revoke = Request::post(format!("{server}/oauth/revoke"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form));
    assert_eq!(http.request(revoke.unwrap()).await.unwrap().status(), 200);

    // An end and no error: the last chunk came.
    let end = timeout(PATIENCE, stream.body_mut().frame()).await.unwrap();
    assert!(end.is_none(), "{end:?}");
    assert_eq!(open(&alice.access).await.unwrap().status(), 401);
    assert_eq!(open(&bob.access).await.unwrap().status(), 200);
    let waits = timeout(Duration::from_millis(1), other.body_mut().frame()).await;
    assert!(waits.is_err(), "{waits:?}");
}
