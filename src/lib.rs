//! Sign-in for MCP servers: an OAuth 2.1 provider and a bearer-validating layer as small tower
//! services.
//!
//! [`McpAuth`] is the handle of a whole deployment; from it come the parts, and each of them works
//! without the others:
//!
//! * [`McpAuth::protect`]: a [layer](McpAuthLayer) that lets only requests with a good token
//!   through and puts an [`McpSession`] in their extensions;
//! * [`McpAuth::endpoints`]: the OAuth endpoints (authorize, consent, token, register, userinfo)
//!   over a [`Store`] and your own [`Authenticator`];
//! * [`McpAuth::well_known`]: a layer that answers every discovery document.
//!
//! In front of somebody else's issuer, [`ProtectedResource`] with a [`TokenVerifier`] is all that
//! is needed.
//!
//! ```
//! use axum::{Router, routing::get};
//! use http::request::Parts;
//! use tower_mcp_auth::{
//!     Authenticator, AuthenticatorError, McpAuth, McpSession, MemoryStore, SignedIn, Subject,
//! };
//!
//! /// Your users. Here everyone is demo.
//! struct Demo;
//!
//! impl Authenticator for Demo {
//!     async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
//!         Ok(Some(SignedIn::new(Subject::new("demo")?)))
//!     }
//! }
//!
//! async fn notes(session: McpSession) -> String {
//!     format!("the notes of {}", session.subject())
//! }
//!
//! # fn main() -> Result<(), tower_mcp_auth::ConfigError> {
//! let auth = McpAuth::builder("https://api.example.com")
//!     .login_page("/sign-in")
//!     .authenticator(Demo)
//!     .resource("https://api.example.com/notes", ["notes:read"])
//!     .store(MemoryStore::new())
//!     .build()?;
//!
//! let app: Router = Router::new()
//!     .route("/notes", get(notes).layer(auth.protect("/notes")?.require("notes:read")))
//!     .nest_service(auth.endpoints_path(), auth.endpoints())
//!     .layer(auth.well_known());
//! # Ok(())
//! # }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(
    clippy::expect_used,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    missing_debug_implementations,
    unreachable_pub
)]
#![allow(
    clippy::result_large_err,
    reason = "a refusal is a whole response, and nothing on a hot path returns one"
)]

#[cfg(feature = "jwt")]
mod asserted_subject;
mod authenticator;
pub mod authorization_server;
mod client;
mod clock;
pub mod discovery;
#[cfg(feature = "jwt")]
mod dpop_nonces;
mod error;
mod event;
#[cfg(feature = "fetch")]
#[cfg_attr(
    not(feature = "jwt"),
    allow(dead_code, unused_imports, reason = "signed tokens use the rest")
)]
mod fetch;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod grant;
mod hierarchy;
mod id;
mod intercept;
#[cfg(feature = "jwt")]
mod issuer;
mod json;
#[cfg(feature = "jwt")]
mod jwt;
mod mcp_auth;
mod params;
mod pkce;
mod remainder;
mod resource;
pub mod resource_server;
mod scope;
mod secret;
#[cfg(feature = "jwt")]
mod sign_out;
pub mod store;
mod uri;

#[cfg(feature = "jwt")]
pub use self::asserted_subject::AssertedSubject;
#[cfg(feature = "pages")]
pub use self::authorization_server::BuiltInPages;
#[cfg(feature = "rate-limit")]
pub use self::authorization_server::RateLimits;
#[cfg(feature = "jwt")]
pub use self::authorization_server::TrustedIssuer;
#[cfg(feature = "test-util")]
pub use self::clock::TestClock;
#[cfg(feature = "jwt")]
pub use self::dpop_nonces::DpopNonces;
#[cfg(feature = "fetch")]
pub use self::fetch::{Fetcher, FetcherBuilder};
#[cfg(feature = "jwt")]
pub use self::resource_server::{IntrospectionVerifier, JwtVerifier};
#[cfg(feature = "jwt")]
pub use self::sign_out::SignOut;
#[cfg(feature = "postgres")]
pub use self::store::PostgresStore;
#[cfg(feature = "redis")]
pub use self::store::RedisStore;
#[cfg(feature = "sled")]
pub use self::store::SledStore;
pub use self::{
    authenticator::{Authenticator, SignedIn},
    authorization_server::{
        ConsentPage, DeviceCodePage, DeviceConfirmPage, Endpoint, ErrorPage, MessagePage, Pages,
        SignOutPage,
    },
    client::{
        StaticClient,
        destination::Destination,
        metadata::{ApplicationType, ClientAuthMethod, ClientMetadata},
        policy::{Registration, RegistrationPolicy},
    },
    clock::{Clock, SystemClock, Timestamp},
    discovery::{
        AuthorizationServerMetadata, MetadataResponder, ProtectedResourceMetadata, WellKnownLayer,
    },
    error::{
        AuthenticatorError, ConfigError, InvalidIdentifier, InvalidScope, InvalidUri, PolicyError,
    },
    event::{Event, Observer},
    id::{ClientId, Subject},
    mcp_auth::{McpAuth, McpAuthBuilder, McpOptions, OidcConfig},
    pkce::CodeChallenge,
    resource::Resource,
    resource_server::{
        McpAuthLayer, McpOperationLayer, McpSession, McpSessionBuilder, Operation, PresentedToken,
        ProtectedResource, Refusal, StaleFeed, StoreVerifier, TokenCache, TokenVerifier, Verdict,
        VerifierUnavailable,
    },
    scope::{IntoScopes, Scopes},
    secret::{Digest, GrantId, KeyMaterial, SecretKey},
    store::{MemoryStore, Store, StoreError},
    uri::{Issuer, ResourceUri},
};

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
