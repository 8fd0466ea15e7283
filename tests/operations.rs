//! Scopes for single MCP operations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "that is how a test fails"
)]

#[path = "common/resource.rs"]
mod resource;

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, service_fn};
use tower_mcp_auth::{
    McpOperationLayer, Operation, ProtectedResource, Refusal, resource_server::RequestBody,
};

use self::resource::{Answer, METADATA, Session, empty, post, resource, send};

type Inner = Request<RequestBody<Full<Bytes>>>;

/// Gives the body back.
async fn echo(request: Inner) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::from(body)))
}

fn rules(resource: &ProtectedResource) -> McpOperationLayer {
    resource
        .layer()
        .require("notes:read")
        .require_for(Operation::tool("delete_note"), "notes:write")
        .require_for(Operation::tool("wipe"), ["notes:admin", "notes:write"])
        .require_for(Operation::tool("Ünïcode"), "notes:write")
        .require_for(Operation::prompt("secret"), "prompts")
        .require_for(Operation::resource("file:///etc/passwd"), "files")
        .require_for(Operation::method("logging/setLevel"), "ops")
}

async fn call(scopes: &'static str, request: http::request::Builder, body: &str) -> Answer {
    let (resource, told, _) = resource();
    told.good(
        "alice",
        Session {
            scopes,
            ..Session::default()
        }
        .build(),
    );
    let service = rules(&resource).layer(service_fn(echo));
    let request = request.body(Full::from(body.to_owned())).unwrap();
    send(&service, request).await
}

/// Before 2026-07-28: the body alone says what is asked for.
async fn by_body(scopes: &'static str, body: &str) -> Answer {
    let answer = call(scopes, post(Some("alice")), body).await;
    if answer.status == 200 {
        assert_eq!(answer.text(), body, "the inner server gets every byte");
    }
    answer
}

/// Since 2026-07-28: the headers do. The body is none of this layer's business then.
async fn by_headers(scopes: &'static str, headers: &[(&str, &str)]) -> Answer {
    let request = post(Some("alice")).header("mcp-protocol-version", "2026-07-28");
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    call(scopes, request, "this is no JSON").await
}

fn tool(name: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{{"name":"x"}}}}}}"#
    )
}

#[track_caller]
fn assert_needs(answer: &Answer, scopes: &str) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.refusal, Some(Refusal::InsufficientScope));
    assert_eq!(
        answer.challenge(),
        format!(
            "Bearer error=\"insufficient_scope\", error_description=\"{}\", \
             resource_metadata=\"{METADATA}\", scope=\"{scopes}\"",
            Refusal::InsufficientScope.description()
        )
    );
}

#[tokio::test]
async fn the_body_decides_in_the_handshake_era() {
    assert_eq!(by_body("notes:read", &tool("echo")).await.status, 200);
    assert_needs(
        &by_body("notes:read", &tool("delete_note")).await,
        "notes:read notes:write",
    );
    assert_eq!(
        by_body("notes:read notes:write", &tool("delete_note"))
            .await
            .status,
        200
    );
    assert_needs(
        &by_body("notes:read notes:write", &tool("wipe")).await,
        "notes:admin notes:read notes:write",
    );
    for (body, scopes) in [
        (
            r#"{"method":"prompts/get","params":{"name":"secret"}}"#,
            "notes:read prompts",
        ),
        (
            r#"{"method":"resources/read","params":{"uri":"file:///etc/passwd"}}"#,
            "files notes:read",
        ),
        (
            r#"{"method":"resources/subscribe","params":{"uri":"file:///etc/passwd"}}"#,
            "files notes:read",
        ),
        (
            r#"{"method":"subscriptions/listen","params":{"notifications":
                {"toolsListChanged":true,"resourceSubscriptions":["file:///a","file:///etc/passwd"]}}}"#,
            "files notes:read",
        ),
        (
            r#"{"method":"logging/setLevel","params":{"level":"debug"}}"#,
            "notes:read ops",
        ),
        (
            r#"{"params":{"name":"delete_note"},"method":"tools/call"}"#,
            "notes:read notes:write",
        ),
        (
            r#"{"\u006dethod":"tools\/call","params":{"n\u0061me":"delete\u005fnote"}}"#,
            "notes:read notes:write",
        ),
    ] {
        assert_needs(&by_body("notes:read", body).await, scopes);
    }
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":{"method":"logging/setLevel"}}"#,
        r#"{"method":"ping"}"#,
        r#"{"method":"ping","params":null}"#,
        r#"{"method":"prompts/get","params":{"name":"delete_note"}}"#,
        r#"{"method":"custom","params":{"name":[{"a":1}],"uri":1.5}}"#,
        r#"{"method":"custom","params":{"notifications":["file:///etc/passwd"]}}"#,
        r#"{"method":"subscriptions/listen"}"#,
        r#"{"method":"subscriptions/listen","params":{"notifications":{"promptsListChanged":true}}}"#,
        r#"{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["file:///a"]}}}"#,
        r#"{"method":"custom","params":{"name":{"a":[true,null,-1]},"uri":true}}"#,
    ] {
        assert_eq!(by_body("notes:read", body).await.status, 200, "{body}");
    }
}

/// The list has no place in the headers.
#[tokio::test]
async fn to_hear_about_a_resource_takes_what_reading_it_takes_whatever_the_headers_say() {
    let listen = |filter: &str| {
        let request = post(Some("alice"))
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "subscriptions/listen");
        let body =
            format!(r#"{{"method":"subscriptions/listen","params":{{"notifications":{filter}}}}}"#);
        async move { call("notes:read", request, &body).await }
    };
    let secret = r#"{"resourceSubscriptions":["file:///etc/passwd"]}"#;
    assert_needs(&listen(secret).await, "files notes:read");
    let other = r#"{"resourceSubscriptions":["file:///a"]}"#;
    assert_eq!(listen(other).await.status, 200);
    for unclear in [
        r#"{"resourceSubscriptions":"file:///etc/passwd"}"#,
        r#"{"resourceSubscriptions":["file:///etc/passwd"],"resourceSubscriptions":[]}"#,
        r#"["file:///etc/passwd"]"#,
        r#"{},"notifications":{}"#,
    ] {
        let answer = listen(unclear).await;
        assert_eq!(answer.refusal, Some(Refusal::MalformedMessage), "{unclear}");
    }
}

/// RS-9: one complete challenge, the layer's own scopes among them.
#[tokio::test]
async fn a_token_that_lacks_both_learns_of_both_at_once() {
    assert_needs(
        &by_body("openid", &tool("delete_note")).await,
        "notes:read notes:write",
    );
    assert_needs(
        &by_body("openid", r#"{"method":"ping"}"#).await,
        "notes:read",
    );
    let (resource, told, _) = resource();
    let weak = Session {
        scopes: "openid",
        ..Session::default()
    };
    told.good("weak", weak.build());
    let service = rules(&resource).layer(service_fn(echo));
    let get = Request::get("/mcp").header("authorization", "Bearer weak");
    assert_needs(&send(&service, empty(get)).await, "notes:read");
}

#[tokio::test]
async fn who_has_no_token_is_not_asked_for_what_single_operations_take() {
    let (resource, ..) = resource();
    let service = rules(&resource).layer(service_fn(echo));
    let answer = send(&service, empty(post(None))).await;
    assert_eq!(answer.status, 401);
    assert!(answer.challenge().ends_with("scope=\"notes:read\""));
}

#[tokio::test]
async fn a_batch_takes_what_all_its_messages_take() {
    let batch = format!(
        "[{}, {}, {}]",
        tool("echo"),
        tool("delete_note"),
        tool("wipe")
    );
    assert_needs(
        &by_body("notes:read", &batch).await,
        "notes:admin notes:read notes:write",
    );
    let scopes = "notes:admin notes:read notes:write";
    assert_eq!(by_body(scopes, &batch).await.status, 200);
    assert_eq!(by_body("notes:read", "[]").await.status, 200);
}

#[tokio::test]
async fn a_message_in_a_request_that_has_none_is_read_all_the_same() {
    let wipe = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wipe"}}"#;
    for method in ["GET", "DELETE", "PUT"] {
        for version in ["2025-06-18", "2026-07-28"] {
            let request = |body| {
                let request = post(Some("alice")).method(method);
                call(
                    "notes:read",
                    request.header("mcp-protocol-version", version),
                    body,
                )
            };
            for message in [wipe, &format!("[{wipe}]")] {
                let answer = request(message).await;
                assert!([400, 403].contains(&answer.status), "{method} {version}");
            }
        }
    }
    // Without one they need what everything needs.
    for method in ["GET", "DELETE"] {
        let answer = call("notes:read", post(Some("alice")).method(method), "").await;
        assert_eq!(answer.status, 200, "{method}");
    }
}

#[tokio::test]
async fn what_parsers_may_read_differently_is_refused() {
    for body in [
        "",
        "{",
        "null",
        "\"tools/call\"",
        "this is no JSON",
        r#"{"method":"ping"} {"method":"tools/call"}"#,
        r#"{"method":"ping","method":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"method":"ping","m\u0065thod":"tools/call","params":{"name":"delete_note"}}"#,
        r#"{"method":"tools/call","params":{"name":"echo"},"params":{"name":"delete_note"}}"#,
        r#"{"method":"tools/call","params":{"name":"echo","name":"delete_note"}}"#,
        r#"{"method":"resources/read","params":{"uri":"a","uri":"file:///etc/passwd"}}"#,
        r#"{"method":"tools/call","params":["delete_note"]}"#,
        r#"{"method":"tools/call","params":{"name":["delete_note"]}}"#,
        r#"{"method":"tools/call","params":{}}"#,
        r#"{"method":"tools/call"}"#,
        r#"{"method":["tools/call"],"params":{"name":"delete_note"}}"#,
        r#"["2.0",1,"tools/call",{"name":"delete_note"}]"#,
        r#"[["2.0",1,"tools/call",{"name":"delete_note"}]]"#,
        r#"[[{"method":"tools/call","params":{"name":"delete_note"}}]]"#,
    ] {
        let answer = by_body("notes:read notes:write", body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.refusal, Some(Refusal::MalformedMessage), "{body}");
        assert!(!answer.headers.contains_key("www-authenticate"));
        assert_eq!(answer.json()["error"]["code"], -32600);
    }
}

#[tokio::test]
async fn the_headers_decide_since_2026_07_28() {
    let call = ("mcp-method", "tools/call");
    for (headers, scopes) in [
        (
            vec![call, ("mcp-name", "delete_note")],
            Some("notes:read notes:write"),
        ),
        (vec![call, ("mcp-name", "echo")], None),
        (
            vec![("mcp-method", "logging/setLevel")],
            Some("notes:read ops"),
        ),
        (
            vec![
                ("mcp-method", "resources/read"),
                ("mcp-name", "file:///etc/passwd"),
            ],
            Some("files notes:read"),
        ),
        (vec![("mcp-method", "tools/list")], None),
        (
            vec![("mcp-method", "tools/list"), ("mcp-name", "delete_note")],
            None,
        ),
    ] {
        let answer = by_headers("notes:read", &headers).await;
        match scopes {
            Some(scopes) => assert_needs(&answer, scopes),
            None => assert_eq!((answer.status, answer.text()), (200, "this is no JSON")),
        }
    }
}

#[tokio::test]
async fn a_coded_name_is_decoded() {
    for prefix in ["=?base64?", "=?BASE64?"] {
        for name in ["Ünïcode", "delete_note"] {
            let coded = format!("{prefix}{}?=", STANDARD.encode(name));
            let headers = [("mcp-method", "tools/call"), ("mcp-name", coded.as_str())];
            assert_needs(
                &by_headers("notes:read", &headers).await,
                "notes:read notes:write",
            );
        }
    }
}

/// Clients may send more than this layer has to understand.
#[tokio::test]
async fn a_name_is_looked_at_only_where_it_matters() {
    let headers = [
        ("mcp-method", "ping"),
        ("mcp-name", "one"),
        ("mcp-name", "=?base64?!?="),
    ];
    assert_eq!(by_headers("notes:read", &headers).await.status, 200);
}

#[tokio::test]
async fn unclear_headers_are_refused() {
    let call = ("mcp-method", "tools/call");
    for headers in [
        vec![call],
        vec![call, call, ("mcp-name", "echo")],
        vec![("mcp-method", "tools/list"), call],
        vec![call, ("mcp-name", "echo"), ("mcp-name", "delete_note")],
        vec![call, ("mcp-name", "=?base64?*?=")],
        vec![call, ("mcp-name", "=?base64?ZGVsZXRlX25vdGU")],
        vec![call, ("mcp-name", "=?base64?//8=?=")],
        vec![call, ("mcp-name", "ä")],
        // HTTP/2 carries blanks around a value, which no reader counts as part of it.
        vec![call, ("mcp-name", "delete_note ")],
        vec![call, ("mcp-name", "\tdelete_note")],
        vec![("mcp-method", " tools/call"), ("mcp-name", "delete_note")],
    ] {
        let answer = by_headers("notes:read notes:write", &headers).await;
        assert_eq!(
            answer.refusal,
            Some(Refusal::MalformedHeaders),
            "{headers:?}"
        );
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"]["code"], -32020);
    }
}

/// A server may not know such a version and go by the body, as for the old ones.
#[tokio::test]
async fn headers_of_other_versions_are_not_taken_on_trust() {
    for versions in [
        &["2025-11-25"][..],
        &["2099-01-01"],
        &["9"],
        &["2026-07-28", "2025-11-25"],
        &[],
    ] {
        let request = post(Some("alice"))
            .header("mcp-method", "tools/call")
            .header("mcp-name", "echo");
        let request = versions.iter().fold(request, |request, version| {
            request.header("mcp-protocol-version", *version)
        });
        let answer = call("notes:read", request, &tool("delete_note")).await;
        assert_needs(&answer, "notes:read notes:write");
    }
}

#[tokio::test]
async fn the_body_can_be_made_to_decide_always() {
    let (resource, ..) = resource();
    let layer = rules(&resource).always_read_body();
    let service = layer.layer(service_fn(echo));
    let request = post(Some("alice"))
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "echo")
        .body(Full::from(tool("delete_note")));
    assert_needs(
        &send(&service, request.unwrap()).await,
        "notes:read notes:write",
    );
}

#[tokio::test]
async fn too_long_a_body_is_413_however_it_comes() {
    let (resource, ..) = resource();
    let layer = rules(&resource).body_limit(64);
    let fits = format!("{:64}", r#"{"method":"ping"}"#);
    for (body, status) in [(fits.clone(), 200), (format!("{fits} "), 413)] {
        let whole = layer.layer(service_fn(echo));
        let request = post(Some("alice")).body(Full::from(body.clone())).unwrap();
        assert_eq!(send(&whole, request).await.status, status);

        let pieces = layer.layer(service_fn(|request: Request<_>| async {
            let body = RequestBody::<_>::collect(request.into_body()).await;
            Ok::<_, Infallible>(Response::new(Full::from(body.unwrap().to_bytes())))
        }));
        let frames = body
            .clone()
            .into_bytes()
            .into_iter()
            .map(|byte| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(vec![byte]))));
        let stream = StreamBody::new(tokio_stream::iter(frames));
        let answer = send(&pieces, post(Some("alice")).body(stream).unwrap()).await;
        assert_eq!(answer.status, status);
        if status == 200 {
            assert_eq!(answer.text(), body);
        } else {
            assert_eq!(answer.refusal, Some(Refusal::MessageTooLarge));
        }
    }
}

#[tokio::test]
async fn four_mebibytes_are_read_unless_told_otherwise() {
    const LIMIT: usize = 4_194_304;
    for (length, status) in [(LIMIT, 200), (LIMIT + 1, 413)] {
        let message = r#"{"method":"ping"}"#;
        let body = message.to_owned() + &" ".repeat(length - message.len());
        assert_eq!(by_body("notes:read", &body).await.status, status);
    }
}

/// Says how long it is, and never comes.
struct Announced(u64);

impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_for_a_body_that_is_too_long_by_its_own_account() {
    let (resource, ..) = resource();
    let layer = rules(&resource).body_limit(64);
    let service = layer.layer(service_fn(async |_: Request<RequestBody<Announced>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    for (length, refusal, seconds) in [
        (16 * 1024 * 1024 + 1, Refusal::MessageTooLarge, 0),
        // The answer can be read when what was sent of it was.
        (65, Refusal::MessageTooLarge, 2),
        (64, Refusal::MessageTooSlow, 30),
    ] {
        let begun = tokio::time::Instant::now();
        let request = post(Some("alice")).body(Announced(length)).unwrap();
        let answer = send(&service, request).await;
        assert_eq!(answer.refusal, Some(refusal));
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let (resource, ..) = resource();
    let service = rules(&resource).layer(service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let frames = [
        Ok(http_body::Frame::data(Bytes::from("{\"method\":\"ping\""))),
        Err(std::io::Error::other("gone")),
    ];
    let stream = StreamBody::new(tokio_stream::iter(frames));
    let answer = send(&service, post(Some("alice")).body(stream).unwrap()).await;
    assert_eq!(answer.refusal, Some(Refusal::MalformedMessage));
}

/// Sends a message of `pieces` with `pause` before each; whether the server behind got it, and when
/// the answer came.
async fn slowly(layer: McpOperationLayer, pieces: u32, pause: Duration) -> (Answer, Duration) {
    let (bytes, body) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        for piece in 0..pieces {
            tokio::time::sleep(pause).await;
            let text = match piece {
                0 => r#"{"method":"ping"}"#,
                _ => " ",
            };
            let frame = http_body::Frame::data(Bytes::from(text));
            if bytes.send(Ok::<_, Infallible>(frame)).await.is_err() {
                return;
            }
        }
    });
    let service = layer.layer(service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let stream = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(body));
    let start = tokio::time::Instant::now();
    let answer = send(&service, post(Some("alice")).body(stream).unwrap()).await;
    (answer, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_body() {
    let (resource, ..) = resource();
    let never = Duration::from_secs(365 * 24 * 3600);
    for (layer, deadline) in [
        (rules(&resource), 30),
        (rules(&resource).body_deadline(Duration::from_secs(5)), 5),
    ] {
        let deadline = Duration::from_secs(deadline);
        // One that does not come, and one that comes byte by byte and always moves.
        for pause in [never, Duration::from_secs(1)] {
            let (answer, took) = slowly(layer.clone(), 1000, pause).await;
            assert_eq!(answer.status, 408, "{answer:?}");
            assert_eq!(answer.refusal, Some(Refusal::MessageTooSlow));
            assert_eq!(answer.json()["error"]["code"], -32600);
            assert!(!answer.headers.contains_key("www-authenticate"));
            assert_eq!(took.as_secs(), deadline.as_secs());
        }
        // In time, though not at once.
        let (answer, _) = slowly(layer, 4, Duration::from_secs(1)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
