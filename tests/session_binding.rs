//! `Mcp-Session-Id` belongs to whoever opened the session.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "that is how a test fails"
)]

#[path = "common/resource.rs"]
mod resource;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_mcp_auth::{ProtectedResource, Refusal};

use self::resource::{Answer, Session, Told, empty, post, resource, send};

type Ours = Request<Full<Bytes>>;

/// Opens session `s.1`, and shows which session a request came with.
async fn server(request: Ours) -> Result<Response<Full<Bytes>>, Infallible> {
    let given = request.headers().get("mcp-session-id");
    let given = given.map_or("none", |id| id.to_str().unwrap()).to_owned();
    let mut response = Response::new(Full::from(given));
    let id = "s.1".parse().unwrap();
    response.headers_mut().insert("mcp-session-id", id);
    Ok(response)
}

fn grants(told: &Told) {
    let session = |subject, client, grant| Session {
        subject,
        client,
        grant,
        ..Session::default()
    };
    told.good("alice-1", session("alice", "agent", Some(1)).build());
    told.good(
        "alice-1-refreshed",
        session("alice", "agent", Some(1)).build(),
    );
    told.good("alice-2", session("alice", "agent", Some(2)).build());
    told.good(
        "alice-elsewhere",
        session("alice", "agent2", Some(4)).build(),
    );
    told.good("agent", session("agent", "agent", Some(5)).build());
    told.good(
        "agent-itself",
        session("agent", "agent", Some(6))
            .into_builder()
            .of_client()
            .build(),
    );
    told.good("mallory", session("mallory", "agent", Some(3)).build());
    told.good("carol", session("carol", "agent", None).build());
    told.good("carol-again", session("carol", "agent", None).build());
    told.good("carol-elsewhere", session("carol", "agent2", None).build());
}

async fn call(resource: &ProtectedResource, token: &str, session: &str) -> Answer {
    let service = resource.layer().layer(service_fn(server));
    let request = post(Some(token)).header("mcp-session-id", session);
    send(&service, empty(request)).await
}

async fn open(resource: &ProtectedResource, token: &str) -> String {
    let service = resource.layer().layer(service_fn(server));
    let answer = send(&service, empty(post(Some(token)))).await;
    assert_eq!(answer.text(), "none");
    answer.header("mcp-session-id").to_owned()
}

#[tokio::test]
async fn the_id_comes_back_as_it_was_for_its_own_user_and_client() {
    let (resource, told, _) = resource();
    grants(&told);
    let id = open(&resource, "alice-1").await;
    assert!(
        id.starts_with("s.1.") && id.len() == "s.1.".len() + 22,
        "{id}"
    );
    // One after another sign-in too: with more scopes, or because both tokens had expired.
    for token in ["alice-1", "alice-1-refreshed", "alice-2"] {
        let answer = call(&resource, token, &id).await;
        assert_eq!((answer.status, answer.text()), (200, "s.1"), "{token}");
        assert_eq!(answer.header("mcp-session-id"), id);
    }
    let id = open(&resource, "carol").await;
    assert_eq!(call(&resource, "carol-again", &id).await.text(), "s.1");
    assert_eq!(call(&resource, "carol-elsewhere", &id).await.status, 404);
}

#[tokio::test]
async fn to_everybody_else_the_session_does_not_exist() {
    let (resource, told, _) = resource();
    grants(&told);
    let id = open(&resource, "alice-1").await;
    let forged = format!("s.2.{}", id.rsplit('.').next().unwrap());
    let cut = &id[..id.len() - 1];
    for (token, id) in [
        ("mallory", id.as_str()),
        ("alice-elsewhere", &id),
        ("carol", &id),
        ("alice-1", "s.1"),
        ("alice-1", "s1"),
        ("alice-1", ""),
        ("alice-1", "s.1."),
        ("alice-1", &forged),
        ("alice-1", cut),
    ] {
        let answer = call(&resource, token, id).await;
        assert_eq!(answer.status, 404, "{token} {id}");
        assert_eq!(answer.refusal, Some(Refusal::SessionNotFound));
        assert_eq!(
            answer.text(),
            r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#
        );
    }
}

/// A program has a session of its own, whatever its user is called.
#[tokio::test]
async fn a_client_is_not_the_user_of_its_name() {
    let (resource, told, _) = resource();
    grants(&told);
    for (opened, other) in [("agent", "agent-itself"), ("agent-itself", "agent")] {
        let id = open(&resource, opened).await;
        assert_eq!(call(&resource, opened, &id).await.status, 200);
        assert_eq!(call(&resource, other, &id).await.status, 404);
    }
}

/// Whatever else is sent along, or nothing at all.
#[tokio::test]
async fn an_id_is_looked_at_in_the_barest_of_requests() {
    let (resource, told, _) = resource();
    grants(&told);
    let id = open(&resource, "alice-1").await;
    let service = resource.layer().layer(service_fn(server));
    for (token, status) in [("alice-1", 200), ("mallory", 404)] {
        let request = Request::get("/mcp")
            .header("authorization", format!("Bearer {token}"))
            .header("mcp-session-id", &id);
        assert_eq!(
            send(&service, empty(request)).await.status,
            status,
            "{token}"
        );
    }
}

#[tokio::test]
async fn two_ids_are_none() {
    let (resource, told, _) = resource();
    grants(&told);
    let id = open(&resource, "alice-1").await;
    let service = resource.layer().layer(service_fn(server));
    let request = post(Some("alice-1"))
        .header("mcp-session-id", &id)
        .header("mcp-session-id", &id);
    assert_eq!(send(&service, empty(request)).await.status, 404);
}

#[tokio::test]
async fn whoever_has_no_token_learns_nothing_of_sessions() {
    let (resource, told, _) = resource();
    grants(&told);
    let id = open(&resource, "alice-1").await;
    let service = resource.layer().layer(service_fn(server));
    let request = post(None).header("mcp-session-id", &id);
    assert_eq!(send(&service, empty(request)).await.status, 401);
}
