//! The layer under tonic: refusals that a gRPC client understands.

#[path = "common/resource.rs"]
mod resource;

use std::{pin::Pin, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use tokio::{net::TcpListener, time::timeout};
use tokio_stream::Stream;
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_client::HealthClient,
        health_server::{Health, HealthServer},
    },
};
use tower::{Service, ServiceExt};
use tower_mcp_auth::{
    Authenticator, AuthenticatorError, Digest, McpAuth, McpSession, MemoryStore, ProtectedResource,
    Resource, SignedIn, StaticClient, store::Revocation,
};

use self::resource::{Session, resource};

/// tonic's health service behind a layer that wants `notes:read`.
async fn health() -> (HealthClient<Channel>, ProtectedResource) {
    let (resource, told, _) = resource();
    let weak = Session {
        scopes: "",
        ..Session::default()
    };
    told.good("weak", weak.build());
    let (_reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder()
        .layer(resource.layer().require("notes:read"))
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);

    let channel = Endpoint::from_shared(address).unwrap();
    let client = HealthClient::new(channel.connect().await.unwrap());
    (client, resource)
}

fn question(token: Option<&str>) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest::default());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

async fn check(token: Option<&str>) -> Result<i32, Status> {
    let (mut client, _) = health().await;
    Ok(client.check(question(token)).await?.into_inner().status)
}

#[tokio::test]
async fn a_stream_whose_token_is_revoked_ends_unauthenticated() {
    let (mut client, resource) = health().await;
    let watch = client.watch(question(Some("alice"))).await.unwrap();
    let mut statuses = watch.into_inner();
    let first = statuses.message().await.unwrap().unwrap();
    assert_eq!(first.status, ServingStatus::Serving as i32);
    resource.cache().revoke(&Revocation {
        grants: vec![],
        access_tokens: vec![Digest::of("alice")],
    });
    let end = timeout(Duration::from_secs(20), statuses.message()).await;
    assert_eq!(end.unwrap().unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_good_token_reaches_the_service() {
    assert_eq!(
        check(Some("alice")).await.unwrap(),
        ServingStatus::Serving as i32
    );
}

#[tokio::test]
async fn no_token_and_a_bad_one_are_unauthenticated() {
    for token in [None, Some("unknown"), Some("garbage")] {
        let refused = check(token).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::Unauthenticated,
            "{token:?}: {refused}"
        );
    }
}

#[tokio::test]
async fn too_weak_a_token_is_permission_denied() {
    let refused = check(Some("weak")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}

/// A service that is well for `robot` alone: it has to see who calls.
struct WellForRobot;

#[tonic::async_trait]
impl Health for WellForRobot {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let session = request.extensions().get::<McpSession>();
        let session = session.ok_or_else(|| Status::internal("nobody looked at the token"))?;
        let is_robot = session.subject().as_str() == "robot"
            && session.scopes().contains("health:read")
            && session.resource().as_str().ends_with("/grpc");
        let status = match is_robot {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        Ok(Response::new(HealthCheckResponse {
            status: status as i32,
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only check"))
    }
}

/// Nobody signs in at a browser here.
struct Nobody;

impl Authenticator for Nobody {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(None)
    }
}

/// A whole deployment, as in `examples/tonic.rs`: the address of its service, and a token from its
/// own token endpoint.
async fn deployment() -> (Channel, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let public = format!("http://{}", listener.local_addr().unwrap());
    let auth = McpAuth::builder(&public)
        .login_page("/sign-in")
        .authenticator(Nobody)
        .resource_with(Resource::new(format!("{public}/grpc")).scopes(["health:read"]))
        .client(StaticClient::confidential("robot", "secret", [""; 0]))
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let request = http::Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            format!("Basic {}", STANDARD.encode("robot:secret")),
        )
        .body(Full::<bytes::Bytes>::from(
            "grant_type=client_credentials&scope=health%3Aread",
        ));
    let answer = auth.endpoints().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let tokens: serde_json::Value = serde_json::from_slice(&body).unwrap();

    let server = Server::builder()
        .layer(auth.protect("/grpc").unwrap().require("health:read"))
        .add_service(HealthServer::new(WellForRobot))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    let channel = Endpoint::from_shared(public).unwrap().connect().await;
    let token = tokens["access_token"].as_str().unwrap().to_owned();
    (channel.unwrap(), token)
}

#[tokio::test]
async fn the_service_sees_the_session_of_a_token_of_its_own_deployment() {
    let (channel, token) = deployment().await;
    let mut client = HealthClient::new(channel);
    let mut request = Request::new(HealthCheckRequest::default());
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    let answer = client.check(request).await.unwrap().into_inner();
    assert_eq!(answer.status, ServingStatus::Serving as i32);

    let refused = client.check(HealthCheckRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

/// What is on the wire for a client that looks: where to sign in, and no body that a gRPC client
/// would take for a message.
#[tokio::test]
async fn a_refusal_says_where_to_sign_in() {
    let (mut channel, _) = deployment().await;
    let request = http::Request::post("/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::empty());
    let channel = channel.ready().await.unwrap();
    let answer = channel.call(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
    assert!(
        challenge.starts_with("Bearer resource_metadata=\"http://127.0.0.1:")
            && challenge
                .ends_with("/.well-known/oauth-protected-resource/grpc\", scope=\"health:read\""),
        "{challenge}"
    );
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.is_empty(), "{body:?}");
}
