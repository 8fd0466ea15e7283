//! Sign-in for MCP servers as small tower services.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod clock;
mod error;
mod event;
mod id;
mod pkce;
pub mod resource_server;
mod scope;
mod secret;
pub mod store;
mod uri;

#[cfg(feature = "test-util")]
pub use self::clock::TestClock;
pub use self::{
    client::metadata::{ApplicationType, ClientAuthMethod, ClientMetadata},
    clock::{Clock, SystemClock, Timestamp},
    error::{ConfigError, InvalidIdentifier, InvalidScope, InvalidUri},
    event::{Event, Observer},
    id::{ClientId, Subject},
    pkce::CodeChallenge,
    resource_server::{
        McpAuthLayer, McpOperationLayer, McpSession, Operation, PresentedToken, ProtectedResource,
        Refusal, StoreVerifier, TokenCache, TokenVerifier, Verdict, VerifierUnavailable,
    },
    scope::{IntoScopes, Scopes},
    secret::{Digest, GrantId, SecretKey},
    uri::{Issuer, ResourceUri},
};
