//! Sign-in for MCP servers as small tower services.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(
    clippy::expect_used,
    clippy::unwrap_used,
    missing_debug_implementations,
    unreachable_pub
)]
#![allow(
    clippy::result_large_err,
    reason = "a refusal is a whole response, and nothing on a hot path returns one"
)]

mod authenticator;
pub mod authorization_server;
mod client;
mod clock;
pub mod discovery;
mod error;
mod event;
mod grant;
mod id;
mod intercept;
mod mcp_auth;
mod params;
mod pkce;
mod resource;
pub mod resource_server;
mod scope;
mod secret;
pub mod store;
mod uri;

#[cfg(feature = "pages")]
pub use self::authorization_server::BuiltInPages;
#[cfg(feature = "rate-limit")]
pub use self::authorization_server::RateLimits;
#[cfg(feature = "test-util")]
pub use self::clock::TestClock;
#[cfg(feature = "sled")]
pub use self::store::SledStore;
pub use self::{
    authenticator::{Authenticator, AuthenticatorError, SignedIn},
    authorization_server::{ConsentPage, Endpoint, ErrorPage, Pages},
    client::{
        StaticClient,
        metadata::{ApplicationType, ClientAuthMethod, ClientMetadata},
    },
    clock::{Clock, SystemClock, Timestamp},
    discovery::{
        AuthorizationServerMetadata, MetadataResponder, ProtectedResourceMetadata, WellKnownLayer,
    },
    error::{ConfigError, InvalidIdentifier, InvalidScope, InvalidUri},
    event::{Event, Observer},
    id::{ClientId, Subject},
    mcp_auth::{McpAuth, McpAuthBuilder, McpOptions, OidcConfig},
    pkce::CodeChallenge,
    resource::Resource,
    resource_server::{
        McpAuthLayer, McpOperationLayer, McpSession, Operation, PresentedToken, ProtectedResource,
        Refusal, StoreVerifier, TokenCache, TokenVerifier, Verdict, VerifierUnavailable,
    },
    scope::{IntoScopes, Scopes},
    secret::{Digest, GrantId, SecretKey},
    store::{MemoryStore, Store, StoreError},
    uri::{Issuer, ResourceUri},
};
