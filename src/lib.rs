//! Sign-in for MCP servers as small tower services.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod clock;
mod error;
mod id;
mod pkce;
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
    id::{ClientId, Subject},
    pkce::CodeChallenge,
    scope::Scopes,
    secret::{Digest, GrantId, SecretKey},
    uri::{Issuer, ResourceUri},
};
