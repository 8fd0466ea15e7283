//! The layer under tonic: refusals that a gRPC client understands.

#[path = "common/resource.rs"]
mod resource;

use tokio::net::TcpListener;
use tonic::{
    Code, Request, Status,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};

use self::resource::{Session, resource};

/// Calls tonic's health service behind a layer that wants `notes:read`.
async fn check(token: Option<&str>) -> Result<i32, Status> {
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
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let mut request = Request::new(HealthCheckRequest::default());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    Ok(client.check(request).await?.into_inner().status)
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
