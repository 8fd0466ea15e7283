//! The documents by which clients find their way (RFC 8414, RFC 9728).

mod documents;
mod metadata;
mod responder;
mod well_known;

pub use self::{
    metadata::{AuthorizationServerMetadata, ProtectedResourceMetadata},
    responder::{MetadataFuture, MetadataResponder},
    well_known::{WellKnownLayer, WellKnownService},
};

pub(crate) use self::documents::{Documents, protected_resource, published_scopes, standalone};
