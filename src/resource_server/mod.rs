//! The protected side: who may call, and what for.
//!
//! [`ProtectedResource`] describes one resource, [`McpAuthLayer`] stands in front of the service
//! behind it. Both know tokens only through a [`TokenVerifier`], so they work just as well in front
//! of somebody else's issuer.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode, header::WWW_AUTHENTICATE};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_mcp_auth::{
//!     ClientId, McpSession, PresentedToken, ProtectedResource, ResourceUri, Scopes, Subject,
//!     Timestamp, TokenVerifier, Verdict, VerifierUnavailable,
//! };
//!
//! /// Asks an issuer that is run by somebody else.
//! struct TheirIssuer;
//!
//! impl TokenVerifier for TheirIssuer {
//!     async fn verify(&self, token: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
//!         if token.reveal() != "a-token-of-alice" {
//!             return Ok(Verdict::Unknown);
//!         }
//!         let session = McpSession::builder(
//!             Subject::new("alice").map_err(VerifierUnavailable::new)?,
//!             ClientId::new("an-agent").map_err(VerifierUnavailable::new)?,
//!             ResourceUri::parse("https://api.example.com/mcp").map_err(VerifierUnavailable::new)?,
//!             Timestamp::from_secs(u64::MAX),
//!         );
//!         let scopes = Scopes::parse("notes:read").map_err(VerifierUnavailable::new)?;
//!         Ok(Verdict::Verified(session.scopes(scopes).build()))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let resource = ProtectedResource::builder("https://api.example.com/mcp", TheirIssuer)
//!     .scopes(["notes:read", "notes:write"])
//!     .challenge_scopes("notes:read")
//!     .build()?;
//!
//! let service = resource.layer().layer(service_fn(|request: Request<Full<Bytes>>| async move {
//!     let who = request.extensions().get::<McpSession>().map(|s| s.subject().to_string());
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(who.unwrap_or_default())))
//! }));
//!
//! let call = Request::post("/mcp")
//!     .header("authorization", "Bearer a-token-of-alice")
//!     .body(Full::default())?;
//! assert_eq!(service.clone().oneshot(call).await?.status(), StatusCode::OK);
//!
//! let anonymous = Request::post("/mcp").body(Full::default())?;
//! let response = service.oneshot(anonymous).await?;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(
//!     response.headers()[WWW_AUTHENTICATE],
//!     "Bearer resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource/mcp\", \
//!      scope=\"notes:read\""
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # What the layer does
//!
//! * It looks at credentials first, whatever the method, so that a client that knocks with a bare
//!   `GET` learns where to sign in. A browser's preflight is answered before that.
//! * 401 without `error` to whoever brings nothing, 401 `invalid_token` to whoever brings something
//!   bad, 403 `insufficient_scope` to whoever may not do this, 503 when nobody can tell.
//! * With the feature `jwt`, a token that is bound to a key (RFC 9449) needs the scheme `DPoP` and
//!   a fresh proof of that key for each request, made for its method and address, and with a
//!   nonce of ours where these are asked for. Which proofs were used is remembered per process:
//!   behind a load balancer, a proof that leaked together with its token is good for five minutes
//!   at the other processes.
//! * It ties `Mcp-Session-Id`, where the server hands one out, to the user and the client that
//!   opened the session: any token of theirs gets into it, one after a new sign-in too. To everybody
//!   else it is answered 404, upon which MCP clients start a session of their own. A 401 of the inner server without a challenge becomes the same 404: the token is not what was
//!   wrong.
//! * It ends what still streams when the token expires or is revoked: the body of a response that
//!   does not know its length (server-sent events) comes to a clean end within a second, with
//!   gRPC's status 16 where it is gRPC, and the client's next request is told why. Nothing more is
//!   let through meanwhile. What was let in is otherwise finished: a handler is not interrupted,
//!   and an answer that knows its length goes out whole. A connection that was upgraded
//!   (WebSocket) is the server's own affair. A revocation by another machine is heard of where the
//!   store has a [`Feed`](crate::store::Feed); elsewhere when [`TokenCache::revoke`] is told of it,
//!   or when the token is next looked up.
//! * It leaves `Host` and `Origin` alone: checking them is the server's part.

pub(crate) mod bearer;
mod binding;
mod body;
mod cache;
mod challenge;
mod cors;
#[cfg(feature = "axum")]
mod extract;
mod future;
mod gate;
mod guard;
mod headers;
mod layer;
mod lease;
mod mcp_headers;
mod message;
mod operation;
mod patience;
mod policy;
mod policy_future;
pub(crate) mod proof;
mod refusal;
mod refusing;
mod request_body;
mod resource;
mod service;
mod session;
mod verifier;
#[cfg(feature = "jwt")]
mod verifiers;
mod watch;

#[cfg(feature = "axum")]
pub use self::extract::MissingSession;
pub(crate) use self::gate::TokenGate;
#[cfg(feature = "jwt")]
pub use self::verifiers::{
    IntrospectionVerifier, IntrospectionVerifierBuilder, JwtVerifier, JwtVerifierBuilder,
};
pub use self::{
    body::ResponseBody,
    cache::{StaleFeed, TokenCache, TokenCacheBuilder},
    future::ResponseFuture,
    layer::McpAuthLayer,
    operation::Operation,
    policy::{McpOperationLayer, McpOperationService},
    policy_future::OperationFuture,
    refusal::Refusal,
    request_body::RequestBody,
    resource::{ProtectedResource, ProtectedResourceBuilder},
    service::McpAuthService,
    session::{McpSession, McpSessionBuilder},
    verifier::{PresentedToken, StoreVerifier, TokenVerifier, Verdict, VerifierUnavailable},
};
