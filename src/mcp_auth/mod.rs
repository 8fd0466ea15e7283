//! One handle for a whole deployment.

mod builder;
mod documents;
mod options;

use std::{fmt, sync::Arc};

use http::{HeaderMap, header::ORIGIN};

pub use self::{
    builder::McpAuthBuilder,
    options::{McpOptions, OidcConfig},
};
use crate::{
    authorization_server::{
        AuthorizationServer, Endpoint, EndpointService, Endpoints, EndpointsLayer, FallbackLayer,
    },
    discovery::{MetadataResponder, ProtectedResourceMetadata, WellKnownLayer, protected_resource},
    error::ConfigError,
    id::{ClientId, Subject},
    resource::KnownResource,
    resource_server::{
        McpAuthLayer, McpOperationLayer, McpSession, ProtectedResource, VerifierUnavailable,
    },
    secret::GrantId,
    store::{
        Revocation, RevokeTarget, StoreError,
        record::{ConsentRecord, GrantRecord},
    },
    uri::{Issuer, ResourceUri},
};

/// Authorization server and protected resources of one deployment. Cloning shares everything.
///
/// ```
/// use http::request::Parts;
/// use tower_mcp_auth::{Authenticator, AuthenticatorError, McpAuth, MemoryStore, SignedIn};
/// # struct MyLogin;
/// # impl Authenticator for MyLogin {
/// #     async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
/// #         Ok(None)
/// #     }
/// # }
///
/// let auth = McpAuth::builder("https://api.example.com")
///     .login_page("/sign-in")
///     .authenticator(MyLogin)
///     .resource("https://api.example.com/mcp", ["notes:read", "notes:write"])
///     .store(MemoryStore::new())
///     .build()?;
/// let layer = auth.protect("/mcp")?;
/// # Ok::<(), tower_mcp_auth::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct McpAuth {
    server: Arc<AuthorizationServer>,
}

impl McpAuth {
    /// Starts with the public origin that clients see: the issuer, byte for byte, everywhere.
    pub fn builder(issuer: &str) -> McpAuthBuilder {
        McpAuthBuilder::new(issuer)
    }

    fn new(server: AuthorizationServer) -> Self {
        // Where there is no runtime yet, the first request to an endpoint starts it.
        server.sweeper.start();
        Self {
            server: Arc::new(server),
        }
    }

    #[cfg(all(test, feature = "cimd", feature = "jwt"))]
    pub(crate) fn server(&self) -> &AuthorizationServer {
        &self.server
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.server.issuer
    }

    /// The path that [`endpoints`](Self::endpoints) belongs at.
    #[must_use]
    pub fn endpoints_path(&self) -> &str {
        &self.server.endpoints_path
    }

    /// All endpoints as one service, to be mounted at [`endpoints_path`](Self::endpoints_path);
    /// whether the mount strips that prefix does not matter.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::new(Arc::clone(&self.server))
    }

    /// All endpoints as a layer, for stacks without a router.
    pub fn endpoints_layer(&self) -> EndpointsLayer {
        EndpointsLayer::new(self.endpoints())
    }

    /// `/authorize`, `/token` and `/register` at the origin, for clients of MCP 2025-03-26 that
    /// know no discovery, and for those that forget what it found when they restart and refresh
    /// there (FastMCP, MCP's Python client). Put it outside of the router, as [`well_known`](Self::well_known).
    pub fn fallback_endpoints(&self) -> FallbackLayer {
        FallbackLayer::new(Arc::clone(&self.server))
    }

    /// One endpoint by itself. It does not look at the path.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint) -> EndpointService {
        EndpointService::new(Arc::clone(&self.server), endpoint)
    }

    /// The authorization server's document (RFC 8414), for mounting it by hand.
    #[must_use]
    pub fn authorization_server_metadata(&self) -> MetadataResponder {
        self.server.documents.server().clone()
    }

    /// The document of one resource (RFC 9728), for mounting it by hand.
    ///
    /// # Errors
    ///
    /// When no such resource was registered.
    pub fn protected_resource_metadata(
        &self,
        path_or_url: &str,
    ) -> Result<MetadataResponder, ConfigError> {
        let document: ProtectedResourceMetadata =
            protected_resource(self.find(path_or_url)?, &self.server.issuer);
        Ok(MetadataResponder::new(&document))
    }

    /// Every discovery document as one layer.
    pub fn well_known(&self) -> WellKnownLayer {
        WellKnownLayer::new(&self.server.documents)
    }

    /// The layer for one resource, named by its path or its whole URL.
    ///
    /// # Errors
    ///
    /// When no such resource was registered, and when it has
    /// [operations](crate::Resource::operation), whose scopes this layer would not ask for.
    pub fn protect(&self, path_or_url: &str) -> Result<McpAuthLayer, ConfigError> {
        let resource = self.find(path_or_url)?;
        if !resource.operations.is_empty() {
            return Err(ConfigError::Operations(resource.uri.to_string()));
        }
        self.layer(&resource.uri)
    }

    fn layer(&self, uri: &ResourceUri) -> Result<McpAuthLayer, ConfigError> {
        self.server
            .resources
            .iter()
            .find(|resource| resource.uri() == uri)
            .map(ProtectedResource::layer)
            .ok_or_else(|| ConfigError::UnknownResource(uri.to_string()))
    }

    /// The layer for one resource, which also asks for what the resource's
    /// [operations](crate::Resource::operation) take.
    ///
    /// # Errors
    ///
    /// When no such resource was registered.
    pub fn protect_operations(&self, path_or_url: &str) -> Result<McpOperationLayer, ConfigError> {
        let resource = self.find(path_or_url)?;
        let layer = self.layer(&resource.uri)?.by_operation();
        Ok(resource
            .operations
            .iter()
            .fold(layer, |layer, (operation, scopes)| {
                layer.require_for(operation.clone(), scopes)
            }))
    }

    /// Where to send the browser once its user has signed in, by whatever method: `transaction` is
    /// the parameter of that name that the sign-in page was called with.
    ///
    /// The address is always on this origin, whatever the parameter holds.
    #[must_use]
    pub fn resume_url(&self, transaction: &str) -> String {
        self.server.resume_url(transaction)
    }

    /// Whether a form was sent from a page of this origin, by what its browser says: what a sign-in
    /// page has to ask, so that no other site signs anyone in. A browser that hides where a form
    /// comes from (`Origin: null`) counts as another site's, and what says nothing at all as no
    /// browser.
    #[must_use]
    pub fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        let hides = !headers.contains_key("sec-fetch-site")
            && headers.get(ORIGIN).is_some_and(|origin| origin == "null");
        !hides && self.server.is_same_origin(headers)
    }

    /// The session behind a request to the default resource: what Better Auth calls
    /// `getMcpSession`. `None` without a good token.
    ///
    /// # Errors
    ///
    /// When nobody can say whether the token is good.
    pub async fn get_mcp_session(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<McpSession>, VerifierUnavailable> {
        match self.server.resources.first() {
            Some(default) => default.session(headers).await,
            None => Ok(None),
        }
    }

    /// What a user has allowed, for a page of connected apps.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn consents(&self, subject: &Subject) -> Result<Vec<ConsentRecord>, StoreError> {
        self.server.store.consents(subject.clone()).await
    }

    /// The grants of a user that are alive: what each program may do now, and where.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn grants(&self, subject: &Subject) -> Result<Vec<GrantRecord>, StoreError> {
        let now = self.server.now();
        self.server.store.grants(subject.clone(), now).await
    }

    /// Revokes one grant. When this returns, no request that starts later is served with any token
    /// of it.
    ///
    /// # Errors
    ///
    /// When the store fails; then nothing is revoked for sure.
    pub async fn revoke_grant(&self, grant: GrantId) -> Result<Revocation, StoreError> {
        self.revoke(RevokeTarget::Grant(grant)).await
    }

    /// Withdraws what a user allowed a client: every grant, and the remembered consent.
    ///
    /// # Errors
    ///
    /// As for [`revoke_grant`](Self::revoke_grant).
    pub async fn withdraw_consent(
        &self,
        subject: &Subject,
        client: &ClientId,
    ) -> Result<Revocation, StoreError> {
        self.revoke(RevokeTarget::Consent(subject.clone(), client.clone()))
            .await
    }

    /// Revokes everything a user ever allowed, as when the account is closed.
    ///
    /// # Errors
    ///
    /// As for [`revoke_grant`](Self::revoke_grant).
    pub async fn revoke_user(&self, subject: &Subject) -> Result<Revocation, StoreError> {
        self.revoke(RevokeTarget::Subject(subject.clone())).await
    }

    /// Revokes what a user allowed while signed in to one session
    /// ([`SignedIn::session`](crate::SignedIn::session)), as when signing out is to end that too.
    /// The remembered consents stay.
    ///
    /// # Errors
    ///
    /// As for [`revoke_grant`](Self::revoke_grant).
    pub async fn revoke_session(
        &self,
        subject: &Subject,
        session: &str,
    ) -> Result<Revocation, StoreError> {
        let target = RevokeTarget::Session(subject.clone(), session.to_owned());
        self.revoke(target).await
    }

    /// Forgets a registered client and revokes everything it was allowed. For a client that was
    /// configured, only the latter.
    ///
    /// # Errors
    ///
    /// As for [`revoke_grant`](Self::revoke_grant).
    pub async fn delete_client(&self, client: &ClientId) -> Result<Revocation, StoreError> {
        let (server, client) = (Arc::clone(&self.server), client.clone());
        to_the_end(async move {
            let revocation = server.store.delete_client(client, server.now()).await?;
            server.forget(&revocation);
            Ok(revocation)
        })
        .await
    }

    async fn revoke(&self, target: RevokeTarget) -> Result<Revocation, StoreError> {
        let server = Arc::clone(&self.server);
        to_the_end(async move { server.revoke(target).await }).await
    }

    fn find(&self, path_or_url: &str) -> Result<&KnownResource, ConfigError> {
        self.server
            .catalog
            .find_by_path(path_or_url)
            .ok_or_else(|| ConfigError::UnknownResource(path_or_url.to_owned()))
    }
}

impl fmt::Debug for McpAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpAuth")
            .field("issuer", &self.server.issuer)
            .finish_non_exhaustive()
    }
}

/// Runs what must not stop half-way even when the caller goes away: between a commit and the
/// caches that have to learn of it there is no good place to stop.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|failed| Err(StoreError::unavailable(failed)))
}
