//! What the bearer layer lets through, and how it answers whoever it does not.
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
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_mcp_auth::{
    Event, McpAuthLayer, McpSession, Operation, PresentedToken, ProtectedResource, Refusal,
    TestClock, Timestamp, TokenVerifier, Verdict, VerifierUnavailable,
    resource_server::ResponseBody,
};

use self::resource::{MCP, METADATA, START, Session, Told, empty, post, resource, send};

type Ours = Request<Full<Bytes>>;

/// Says who called.
async fn whoami(request: Ours) -> Result<Response<Full<Bytes>>, Infallible> {
    let session = request.extensions().get::<McpSession>();
    let who = session.map_or("nobody", |session| session.subject().as_str());
    Ok(Response::new(Full::from(who.to_owned())))
}

fn protect(
    layer: &McpAuthLayer,
) -> impl Service<Ours, Response = Response<ResponseBody<Full<Bytes>>>, Error = Infallible> + Clone + use<>
{
    layer.layer(service_fn(whoami))
}

#[tokio::test]
async fn a_good_token_gets_through_with_its_session() {
    let (resource, told, _) = resource();
    let service = protect(&resource.layer());
    for _ in 0..3 {
        let answer = send(&service, empty(post(Some("alice")))).await;
        assert_eq!((answer.status, answer.text()), (200, "alice"));
        assert!(answer.refusal.is_none());
    }
    assert_eq!(
        told.calls(),
        1,
        "the second and third are answered from memory"
    );
}

/// RS-7, RS-11, RS-14, RS-15, RS-21, RS-24.
#[tokio::test]
async fn without_credentials_the_challenge_has_no_error_whatever_the_method() {
    let (resource, told, _) = resource();
    let service = protect(&resource.layer());
    for method in ["GET", "POST", "DELETE", "PUT", "OPTIONS"] {
        let request = Request::builder()
            .method(method)
            .uri("/mcp?access_token=alice");
        let answer = send(&service, empty(request)).await;
        assert_eq!(answer.status, 401, "{method}");
        assert_eq!(
            answer.challenge(),
            format!("Bearer resource_metadata=\"{METADATA}\", scope=\"notes:read\"")
        );
        assert_eq!(answer.headers.get_all("www-authenticate").iter().count(), 1);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(
            answer.header("access-control-expose-headers"),
            "WWW-Authenticate, Mcp-Session-Id, DPoP-Nonce"
        );
        assert_eq!(answer.refusal, Some(Refusal::NoCredentials));
        assert_eq!(
            answer.text(),
            r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Sign in to use this resource"},"id":null}"#
        );
    }
    assert_eq!(told.calls(), 0);
}

#[tokio::test]
async fn other_schemes_are_no_credentials() {
    let (resource, ..) = resource();
    let service = protect(&resource.layer());
    for value in ["Basic YTpi", "Digest x", "alice"] {
        let request = Request::get("/").header("authorization", value);
        let answer = send(&service, empty(request)).await;
        assert_eq!(answer.refusal, Some(Refusal::NoCredentials), "{value}");
        assert!(!answer.challenge().contains("error"), "{value}");
    }
}

/// RS-13.
#[tokio::test]
async fn the_scheme_is_matched_in_any_case() {
    let (resource, ..) = resource();
    let service = protect(&resource.layer());
    for value in ["bearer alice", "BEARER alice", "Bearer   alice"] {
        let request = Request::get("/").header("authorization", value);
        assert_eq!(send(&service, empty(request)).await.status, 200, "{value}");
    }
}

/// RS-8.
#[tokio::test]
async fn every_bad_token_is_invalid_and_says_why() {
    let (resource, told, _) = resource();
    told.token("old", Verdict::Expired);
    told.token("revoked", Verdict::Revoked);
    let elsewhere = "https://api.example.com/other";
    told.good(
        "elsewhere",
        Session {
            resource: elsewhere,
            ..Session::default()
        }
        .build(),
    );
    let service = protect(&resource.layer());
    let huge = "a".repeat(64 * 1024);
    for (token, refusal) in [
        ("", Refusal::MalformedToken),
        ("a b", Refusal::MalformedToken),
        ("a,b", Refusal::MalformedToken),
        ("\"a\"", Refusal::MalformedToken),
        (&huge, Refusal::MalformedToken),
        ("unheard-of", Refusal::UnknownToken),
        ("garbage", Refusal::UnknownToken),
        ("old", Refusal::ExpiredToken),
        ("revoked", Refusal::RevokedToken),
        ("elsewhere", Refusal::WrongAudience),
    ] {
        let answer = send(&service, empty(post(Some(token)))).await;
        assert_eq!(answer.refusal, Some(refusal));
        assert_eq!(answer.status, 401, "{refusal:?}");
        assert_eq!(
            answer.challenge(),
            format!(
                "Bearer error=\"invalid_token\", error_description=\"{}\", \
                 resource_metadata=\"{METADATA}\", scope=\"notes:read\"",
                refusal.description()
            )
        );
        let body = answer.json();
        assert_eq!(body["error"]["data"]["error"], "invalid_token");
        assert_eq!(
            body["error"]["data"]["error_description"],
            refusal.description()
        );
    }
    assert_eq!(
        told.calls(),
        4,
        "malformed and foreign tokens reach no verifier"
    );
}

/// RS-10.
#[tokio::test]
async fn two_authorization_headers_are_an_invalid_request() {
    let (resource, ..) = resource();
    let service = protect(&resource.layer());
    for second in ["Bearer alice", "Bearer bob", "Basic YTpi"] {
        let request = post(Some("alice")).header("authorization", second);
        let answer = send(&service, empty(request)).await;
        assert_eq!(answer.status, 400);
        assert!(
            answer
                .challenge()
                .starts_with("Bearer error=\"invalid_request\"")
        );
        assert_eq!(answer.refusal, Some(Refusal::TwoCredentials));
    }
}

/// RS-9 and RS-14 (d).
#[tokio::test]
async fn too_weak_a_token_is_told_all_the_scopes_it_takes() {
    let (resource, ..) = resource();
    let layer = resource
        .layer()
        .require("notes:write")
        .require(["notes:admin"]);
    let service = protect(&layer);
    let answer = send(&service, empty(post(Some("alice")))).await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.challenge(),
        format!(
            "Bearer error=\"insufficient_scope\", error_description=\"{}\", \
             resource_metadata=\"{METADATA}\", scope=\"notes:admin notes:write\"",
            Refusal::InsufficientScope.description()
        )
    );
    // Whoever brings nothing is asked for enough to get in.
    let answer = send(&service, empty(post(None))).await;
    assert!(
        answer
            .challenge()
            .ends_with("scope=\"notes:admin notes:read notes:write\"")
    );
}

/// RS-17: who may do the broad thing may do the narrow one (MCP 2026-07-28, scope hierarchies).
#[tokio::test]
async fn a_broad_scope_is_enough_where_a_narrow_one_is_required() {
    let told = Told::default();
    for (token, scopes) in [
        ("broad", "notes:admin"),
        ("middle", "notes:write"),
        ("narrow", "notes:read"),
    ] {
        let session = Session {
            scopes,
            ..Session::default()
        };
        told.good(token, session.build());
    }
    let resource = ProtectedResource::builder(resource::MCP, told)
        .scopes("notes:read notes:write notes:admin")
        .implies("notes:admin", "notes:write")
        .implies("notes:write", "notes:read")
        .clock(tower_mcp_auth::TestClock::at(START))
        .build()
        .unwrap();
    for (required, good) in [
        ("notes:read", &["broad", "middle", "narrow"][..]),
        ("notes:write", &["broad", "middle"]),
        ("notes:admin", &["broad"]),
    ] {
        let service = protect(&resource.layer().require(required));
        let single = resource
            .layer()
            .require_for(tower_mcp_auth::Operation::method("ping"), required)
            .layer(service_fn(async |_: Request<_>| {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }));
        for token in ["broad", "middle", "narrow"] {
            let expected = if good.contains(&token) { 200 } else { 403 };
            let answer = send(&service, empty(post(Some(token)))).await;
            assert_eq!(answer.status, expected, "{token} for {required}");
            let ping = post(Some(token)).body(Full::from(r#"{"method":"ping"}"#));
            let answer = send(&single, ping.unwrap()).await;
            assert_eq!(answer.status, expected, "{token} for one {required}");
        }
    }
}

/// RS-6, RS-11: it is for the authorization server to offer.
#[tokio::test]
async fn offline_access_is_nothing_that_a_resource_asks_for() {
    let resource = ProtectedResource::builder(resource::MCP, Told::default())
        .scopes("notes:read offline_access")
        .build()
        .unwrap();
    let answer = send(&protect(&resource.layer()), empty(post(None))).await;
    assert!(
        answer.challenge().ends_with(", scope=\"notes:read\""),
        "{}",
        answer.challenge()
    );
}

/// Invariant 5: revoked, expired, audience, scope. A bad token is never treated as none.
#[tokio::test]
async fn checks_come_in_their_order() {
    let (resource, told, clock) = resource();
    let service = protect(&resource.layer().require("notes:write"));
    let weak_elsewhere = Session {
        resource: "https://api.example.com/other",
        ..Session::default()
    };
    told.good("t", weak_elsewhere.build());
    let refusal = async || {
        send(&service, empty(post(Some("t"))))
            .await
            .refusal
            .unwrap()
    };
    assert_eq!(refusal().await, Refusal::WrongAudience);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(refusal().await, Refusal::ExpiredToken);
    told.token("t", Verdict::Revoked);
    resource.cache().revoke(&tower_mcp_auth::store::Revocation {
        access_tokens: vec![tower_mcp_auth::Digest::of("t")],
        grants: vec![],
    });
    assert_eq!(refusal().await, Refusal::RevokedToken);
}

#[tokio::test]
async fn no_token_outlives_its_expiry_in_the_cache() {
    let (resource, told, clock) = resource();
    let soon = Timestamp::from_secs(START.as_secs() + 10);
    told.good(
        "short",
        Session {
            expires_at: soon,
            ..Session::default()
        }
        .build(),
    );
    let service = protect(&resource.layer());
    let status = async || send(&service, empty(post(Some("short")))).await.refusal;
    assert_eq!(status().await, None);
    clock.advance(Duration::from_secs(9));
    assert_eq!(status().await, None);
    clock.advance(Duration::from_secs(1));
    assert_eq!(status().await, Some(Refusal::ExpiredToken));
    assert_eq!(told.calls(), 1);
}

#[tokio::test]
async fn a_verdict_is_asked_for_again_when_the_caches_own_time_is_over() {
    let (resource, told, clock) = resource();
    let service = protect(&resource.layer());
    let status = async || send(&service, empty(post(Some("alice")))).await.status;
    assert_eq!(status().await, 200);
    clock.advance(Duration::from_secs(5 * 60 - 1));
    assert_eq!(status().await, 200);
    assert_eq!(told.calls(), 1);
    told.token("alice", Verdict::Revoked);
    clock.advance(Duration::from_secs(1));
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn an_unavailable_verifier_is_503_and_never_401() {
    let (resource, told, _) = resource();
    told.is_down(true);
    let service = protect(&resource.layer());
    let answer = send(&service, empty(post(Some("alice")))).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.headers.contains_key("www-authenticate"));
    assert_eq!(
        answer.json()["error"]["data"]["error"],
        "temporarily_unavailable"
    );
    let request = empty(post(Some("alice")));
    assert!(resource.session(request.headers()).await.is_err());
    told.is_down(false);
    assert_eq!(send(&service, empty(post(Some("alice")))).await.status, 200);
}

/// Never ready.
#[derive(Clone)]
struct Busy;

impl<B> Service<Request<B>> for Busy {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        unreachable!("it is not ready")
    }
}

/// Otherwise nothing that limits load could stand behind it.
#[tokio::test]
async fn it_is_as_ready_as_what_is_behind_it() {
    let (resource, ..) = resource();
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    let mut plain = resource.layer().layer(Busy);
    assert!(Service::<Ours>::poll_ready(&mut plain, cx).is_pending());
    let operation = Operation::tool("delete_note");
    let mut by_operation = resource
        .layer()
        .require_for(operation, "notes:write")
        .layer(Busy);
    assert!(Service::<Ours>::poll_ready(&mut by_operation, cx).is_pending());
    let mut within = by_operation.into_inner();
    assert!(Service::<Ours>::poll_ready(&mut within, cx).is_pending());
}

#[tokio::test]
async fn a_resource_says_what_it_was_told_about_itself() {
    let (resource, ..) = resource();
    assert_eq!(resource.uri().as_str(), MCP);
    assert_eq!(resource.scopes().to_string(), "notes:read notes:write");
    assert_eq!(resource.challenge_scopes().to_string(), "notes:read");
    assert_eq!(resource.metadata_url(), METADATA);
}

/// RFC 9449 §7.2: there a token that anybody could use is none.
#[cfg(feature = "jwt")]
#[tokio::test]
async fn where_keys_are_required_a_token_without_one_is_refused() {
    let (_, told, clock) = resource();
    let resource = ProtectedResource::builder(MCP, told)
        .clock(clock)
        .require_dpop();
    let service = protect(&resource.build().unwrap().layer());
    for _ in 0..2 {
        let answer = send(&service, empty(post(Some("alice")))).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.refusal, Some(Refusal::UnboundToken));
    }
}

/// What a verifier need not say: that it knows its tokens by their form.
#[derive(Clone)]
struct Taciturn(Told);

impl TokenVerifier for Taciturn {
    async fn verify(&self, token: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        self.0.verify(token).await
    }
}

#[tokio::test]
async fn a_verifier_is_asked_about_all_that_it_may_know() {
    let (_, told, _) = resource();
    let taciturn = ProtectedResource::builder(MCP, Taciturn(told.clone()));
    let shared = ProtectedResource::builder(MCP, Arc::new(told.clone()));
    for (builder, about_garbage) in [(taciturn, 1), (shared, 0)] {
        let resource = builder.clock(TestClock::at(START)).build().unwrap();
        let service = protect(&resource.layer());
        let before = told.calls();
        assert_eq!(send(&service, empty(post(Some("alice")))).await.status, 200);
        assert_eq!(told.calls(), before + 1);
        assert_eq!(
            send(&service, empty(post(Some("garbage")))).await.status,
            401
        );
        assert_eq!(told.calls(), before + 1 + about_garbage);
    }
}

/// What a server writes when nobody observes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn only_what_is_out_of_the_ordinary_is_logged_for_all_to_see() {
    let log = Log::default();
    let ours = log.clone();
    let _logging = tracing_subscriber::util::SubscriberInitExt::set_default(
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || ours.clone())
            .finish(),
    );
    let (resource, told, _) = resource();
    told.token("elsewhere", Verdict::WrongAudience);
    let service = protect(&resource.layer());
    for (token, level) in [(None, "DEBUG"), (Some("elsewhere"), " INFO")] {
        let refusal = send(&service, empty(post(token))).await.refusal.unwrap();
        let written = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
        let line = written.lines().find(|line| line.contains(refusal.reason()));
        let line = line.unwrap_or_else(|| panic!("{written}"));
        assert!(line.contains(level), "{line}");
    }
}

#[tokio::test]
async fn session_is_none_where_the_layer_would_refuse() {
    let (resource, told, _) = resource();
    told.good(
        "elsewhere",
        Session {
            resource: "https://api.example.com/other",
            ..Session::default()
        }
        .build(),
    );
    for token in [None, Some("unheard-of"), Some("elsewhere"), Some("a b")] {
        let session = resource.session(post(token).headers_ref().unwrap()).await;
        assert!(session.unwrap().is_none(), "{token:?}");
    }
    let (whole, _) = empty(post(Some("alice"))).into_parts();
    assert!(resource.session_of(&whole).await.unwrap().is_some());
    for _ in 0..2 {
        let session = resource
            .session(post(Some("alice")).headers_ref().unwrap())
            .await;
        let session = session.unwrap().unwrap();
        assert!(!session.is_client());
        assert_eq!(
            serde_json::to_string(&session).unwrap(),
            r#"{"subject":"alice","client_id":"agent","scope":"notes:read","resource":"https://api.example.com/mcp","issued_at":1700000000,"expires_at":1700003600}"#
        );
    }
}

/// A browser asks for a page of another origin.
fn page_asks() -> http::request::Builder {
    Request::options("/mcp")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
}

/// RS-15, RS-24, invariant 12.
#[tokio::test]
async fn a_preflight_is_answered_without_credentials() {
    let (resource, ..) = resource();
    let service = protect(&resource.layer());
    let request = page_asks().header("access-control-request-headers", "authorization");
    let answer = send(&service, empty(request)).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(
        answer.header("access-control-allow-methods"),
        "GET, POST, DELETE, OPTIONS"
    );
    for header in [
        "authorization",
        "content-type",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "last-event-id",
        "dpop",
    ] {
        let allowed = answer.header("access-control-allow-headers");
        assert!(allowed.split(", ").any(|h| h == header), "{header}");
    }
    assert_eq!(answer.header("access-control-max-age"), "86400");
}

/// MCP 2026-07-28 has arguments of tools in headers as well, which only the inner server knows.
#[tokio::test]
async fn a_page_may_send_the_headers_of_arguments() {
    let (resource, ..) = resource();
    let service = protect(&resource.layer());
    let request = page_asks()
        .header(
            "access-control-request-headers",
            "authorization, Mcp-Param-Region,mcp-param-a b,,x-mcp-param-c",
        )
        .header("access-control-request-headers", "mcp-param-name");
    let answer = send(&service, empty(request)).await;
    assert_eq!(answer.status, 204);
    let allowed = answer.headers.get_all("access-control-allow-headers");
    let allowed: Vec<_> = allowed.iter().skip(1).collect();
    assert_eq!(allowed, ["mcp-param-region", "mcp-param-name"]);
    assert_eq!(answer.header("vary"), "access-control-request-headers");
}

/// Only all three together make one: everything else is for the inner service, behind the token.
#[tokio::test]
async fn an_options_request_of_another_kind_needs_a_token_too() {
    let (resource, ..) = resource();
    let service = protect(&resource.layer());
    let asks =
        |request: http::request::Builder| request.header("access-control-request-method", "POST");
    for request in [
        Request::options("/mcp"),
        asks(Request::options("/mcp")),
        Request::options("/mcp").header("origin", "https://app.example"),
        asks(Request::get("/mcp")).header("origin", "https://app.example"),
    ] {
        assert_eq!(send(&service, empty(request)).await.status, 401);
    }
}

#[tokio::test]
async fn a_browser_can_read_responses_and_the_inner_servers_word_stands() {
    let (resource, ..) = resource();
    let service = protect(&resource.layer());
    let request = post(Some("alice")).header("origin", "https://app.example");
    let answer = send(&service, empty(request)).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(
        answer
            .header("access-control-expose-headers")
            .contains("Mcp-Session-Id")
    );

    let strict = resource.layer().layer(service_fn(|_: Ours| async {
        Response::builder()
            .header("access-control-allow-origin", "https://app.example")
            .header("access-control-expose-headers", "X-Own")
            .body(Full::<Bytes>::default())
    }));
    let request = post(Some("alice")).header("origin", "https://app.example");
    let answer = send(&strict, empty(request)).await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://app.example"
    );
    assert_eq!(answer.header("access-control-expose-headers"), "X-Own");
}

/// RS-22: the inner server decides about these.
#[tokio::test]
async fn host_and_origin_reach_the_inner_server_as_they_came() {
    let (resource, ..) = resource();
    let service = resource
        .layer()
        .layer(service_fn(|request: Ours| async move {
            let text = format!(
                "{:?} {:?}",
                request.headers()["host"],
                request.headers()["origin"]
            );
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
        }));
    let request = post(Some("alice"))
        .header("host", "evil.example")
        .header("origin", "https://evil.example");
    let answer = send(&service, empty(request)).await;
    assert_eq!(answer.text(), r#""evil.example" "https://evil.example""#);
}

#[tokio::test]
async fn an_inner_401_is_a_lost_session_unless_it_has_a_challenge() {
    let (resource, ..) = resource();
    let service = resource
        .layer()
        .layer(service_fn(|request: Ours| async move {
            let mut response = Response::builder().status(401);
            if request.uri().path() == "/own" {
                response = response.header("www-authenticate", "Bearer realm=\"own\"");
            }
            response.body(Full::<Bytes>::from("inner"))
        }));
    let answer = send(&service, empty(post(Some("alice")))).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.refusal, Some(Refusal::SessionNotFound));
    assert_eq!(answer.json()["error"]["message"], "Session not found");
    let answer = send(&service, empty(post(Some("alice")).uri("/own"))).await;
    assert_eq!((answer.status, answer.text()), (401, "inner"));
}

/// A body without `Default` that yields frames one by one.
struct Ticks(u8);

impl Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        let frame = Frame::data(Bytes::from(vec![self.0]));
        Poll::Ready((self.0 <= 3).then_some(Ok(frame)))
    }
}

/// RS-25: no frame waits for another, and no bound asks for `Default`.
#[tokio::test]
async fn bodies_of_any_kind_stream_through() {
    let (resource, ..) = resource();
    let service = resource
        .layer()
        .layer(service_fn(|request: Request<Ticks>| async move {
            Ok::<_, Infallible>(Response::new(request.into_body()))
        }));
    for _ in ["miss", "hit"] {
        let request = post(Some("alice")).body(Ticks(0)).unwrap();
        let mut body = service.clone().oneshot(request).await.unwrap().into_body();
        for expected in 1..=3 {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), [expected].as_slice());
        }
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn the_observer_sees_each_decision_and_no_token() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let told = Told::default();
    told.good("alice-token", Session::default().build());
    let resource = ProtectedResource::builder(resource::MCP, told.clone())
        .clock(tower_mcp_auth::TestClock::at(START))
        .observer(move |event: &Event<'_>| {
            let line = match event {
                Event::Admitted { session, .. } => format!("in {}", session.subject()),
                Event::Refused {
                    refusal, session, ..
                } => format!(
                    "out {} {}",
                    refusal.reason(),
                    session.map_or("?", |session| session.client_id().as_str())
                ),
                other => format!("{other:?}"),
            };
            assert!(!format!("{event:?}").contains("alice-token"));
            log.lock().unwrap().push(line);
        })
        .build()
        .unwrap();
    let open = protect(&resource.layer());
    let strict = protect(&resource.layer().require("notes:admin"));
    send(&open, empty(post(Some("alice-token")))).await;
    send(&strict, empty(post(Some("alice-token")))).await;
    send(&open, empty(post(None))).await;
    told.is_down(true);
    send(&open, empty(post(Some("other")))).await;
    let seen = seen.lock().unwrap();
    assert_eq!(
        seen[..3],
        [
            "in alice",
            "out insufficient_scope agent",
            "out no_credentials ?"
        ]
    );
    assert!(seen[3].contains("the disk is on fire"), "{}", seen[3]);
    assert_eq!(seen[4], "out verifier_unavailable ?");
}

#[test]
#[should_panic(expected = "cannot require this scope")]
fn a_malformed_scope_fails_when_the_server_starts() {
    let (resource, ..) = resource();
    let _ = resource.layer().require("no\"quotes");
}

/// As a logger does where its disk is full.
#[tokio::test]
async fn who_watches_cannot_stop_what_they_are_told_of() {
    let told = Told::default();
    told.good("alice", Session::default().build());
    let heard = Arc::new(Mutex::new(0));
    let count = Arc::clone(&heard);
    let resource = ProtectedResource::builder(resource::MCP, told)
        .clock(tower_mcp_auth::TestClock::at(START))
        .observer(move |event: &Event<'_>| {
            *count.lock().unwrap() += 1;
            // Without the words of a panic hook in the test's own output.
            std::panic::resume_unwind(Box::new(format!("{event:?}")));
        })
        .build()
        .unwrap();
    let open = protect(&resource.layer());
    let strict = protect(&resource.layer().require("notes:admin"));
    assert_eq!(send(&open, empty(post(Some("alice")))).await.status, 200);
    assert_eq!(send(&strict, empty(post(Some("alice")))).await.status, 403);
    assert_eq!(send(&open, empty(post(Some("nobody")))).await.status, 401);
    assert_eq!(*heard.lock().unwrap(), 3);
}
