//! The application's way to end a session.

use std::future::Future;

use http::{HeaderMap, request::Parts};

use crate::{error::AuthenticatorError, store::BoxFuture};

/// Ends sessions of the application, for clients that send their user to sign out (OpenID Connect
/// RP-Initiated Logout 1.0). Given to [`McpAuthBuilder::sign_out`](crate::McpAuthBuilder::sign_out).
///
/// It is called only when the user wants that: they were asked, or the client brought an id_token
/// about the user (and the [session](crate::SignedIn::session)) that is signed in.
///
/// What clients were granted is left alone. An MCP agent works on while its user is away, and who
/// leaves a website does not expect it to stop; people end that where they manage their connected
/// programs. Where a session is to take along what was granted in it, give sessions a
/// [name](crate::SignedIn::session) and call
/// [`McpAuth::revoke_session`](crate::McpAuth::revoke_session) whenever one ends, here too.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::SET_COOKIE, request::Parts};
/// use tower_mcp_auth::{AuthenticatorError, SignOut};
///
/// struct ByCookie;
///
/// impl SignOut for ByCookie {
///     async fn sign_out(&self, request: &Parts) -> Result<HeaderMap, AuthenticatorError> {
///         // Here the session is forgotten on the server too.
///         # let _ = request;
///         let gone = "session=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax";
///         Ok(HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static(gone))]))
///     }
/// }
/// ```
pub trait SignOut: Send + Sync + 'static {
    /// Ends the session that the request belongs to, so that the
    /// [`Authenticator`](crate::Authenticator) finds nobody signed in with its cookies any more. Of
    /// the headers, `Set-Cookie` is passed on to the browser, and nothing else.
    ///
    /// # Errors
    ///
    /// When the session cannot be ended now: the user is told to try again, and goes nowhere.
    fn sign_out(
        &self,
        request: &Parts,
    ) -> impl Future<Output = Result<HeaderMap, AuthenticatorError>> + Send;
}

/// [`SignOut`] without a type parameter.
pub(crate) trait ErasedSignOut: Send + Sync + 'static {
    fn sign_out<'a>(
        &'a self,
        request: &'a Parts,
    ) -> BoxFuture<'a, Result<HeaderMap, AuthenticatorError>>;
}

impl<S: SignOut> ErasedSignOut for S {
    fn sign_out<'a>(
        &'a self,
        request: &'a Parts,
    ) -> BoxFuture<'a, Result<HeaderMap, AuthenticatorError>> {
        Box::pin(SignOut::sign_out(self, request))
    }
}
