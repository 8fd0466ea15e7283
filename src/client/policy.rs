//! Who may register, and as what: the application's say.

use std::future::Future;

use http::request::Parts;

use super::metadata::ClientMetadata;
use crate::{error::PolicyError, store::BoxFuture};

/// What an application makes of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Registration {
    /// It is welcome.
    Allow,
    /// It is not, and the client is told why (plain ASCII without quotes).
    Deny {
        /// Why.
        reason: String,
    },
}

/// Decides on every registration, after the metadata was found to be in order: to allow only known
/// redirect hosts, say, or only programs of a list.
///
/// ```
/// use http::request::Parts;
/// use tower_mcp_auth::{ClientMetadata, PolicyError, Registration, RegistrationPolicy};
///
/// struct OnlyClaude;
///
/// impl RegistrationPolicy for OnlyClaude {
///     async fn decide(
///         &self,
///         _: &Parts,
///         client: &ClientMetadata,
///     ) -> Result<Registration, PolicyError> {
///         let known = |uri: &String| uri.starts_with("https://claude.ai/");
///         Ok(if client.redirect_uris.iter().all(known) {
///             Registration::Allow
///         } else {
///             Registration::Deny { reason: "only Claude may register here".to_owned() }
///         })
///     }
/// }
/// ```
pub trait RegistrationPolicy: Send + Sync + 'static {
    /// Decides.
    ///
    /// # Errors
    ///
    /// When nobody can tell now: the client is asked to try again.
    fn decide(
        &self,
        request: &Parts,
        client: &ClientMetadata,
    ) -> impl Future<Output = Result<Registration, PolicyError>> + Send;
}

/// [`RegistrationPolicy`] without a type parameter.
pub(crate) trait ErasedPolicy: Send + Sync + 'static {
    fn decide<'a>(
        &'a self,
        request: &'a Parts,
        client: &'a ClientMetadata,
    ) -> BoxFuture<'a, Result<Registration, PolicyError>>;
}

impl<P: RegistrationPolicy> ErasedPolicy for P {
    fn decide<'a>(
        &'a self,
        request: &'a Parts,
        client: &'a ClientMetadata,
    ) -> BoxFuture<'a, Result<Registration, PolicyError>> {
        Box::pin(RegistrationPolicy::decide(self, request, client))
    }
}
