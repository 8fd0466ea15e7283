//! The application's answer to "who is this?".

use std::future::Future;

use http::request::Parts;
use serde_json::{Map, Value};

#[cfg(feature = "jwt")]
use crate::asserted_subject::AssertedSubject;
use crate::{
    clock::Timestamp, error::AuthenticatorError, id::Subject, scope::Scopes, store::BoxFuture,
};

/// The user who is signed in on a request.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub(crate) subject: Subject,
    pub(crate) auth_time: Option<Timestamp>,
    pub(crate) display_name: Option<String>,
    pub(crate) session: Option<String>,
}

impl SignedIn {
    /// This user, under the name that tokens will carry: stable, never given to anyone else.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            auth_time: None,
            display_name: None,
            session: None,
        }
    }

    /// The name that people know the user by.
    pub(crate) fn name(&self) -> &str {
        self.display_name
            .as_deref()
            .unwrap_or(self.subject.as_str())
    }

    /// When the user last proved who they are. Without it a client that asks for a fresh sign-in
    /// (`prompt=login`, `max_age`) gets one, but nothing checks that the user did not skip it, and
    /// the id_token has no `auth_time`, which such clients look for.
    #[must_use]
    pub fn auth_time(mut self, at: Timestamp) -> Self {
        self.auth_time = Some(at);
        self
    }

    /// The name of the sign-in session: no secret, and never the same for two sign-ins. It is in
    /// id_tokens (`sid`), and what was granted in a session can be told apart by it.
    #[must_use]
    pub fn session(mut self, id: impl Into<String>) -> Self {
        self.session = Some(id.into());
        self
    }

    /// The name shown on the consent page, so that people notice when they are signed in as
    /// somebody else; the subject by default.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }
}

/// Knows the application's users. The crate keeps none itself: any way of signing in will do, as
/// long as this can tell from a later request who it was.
///
/// ```
/// use http::{header::COOKIE, request::Parts};
/// use tower_mcp_auth::{Authenticator, AuthenticatorError, SignedIn, Subject};
///
/// struct ByCookie;
///
/// impl Authenticator for ByCookie {
///     async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
///         let Some(cookie) = request.headers.get(COOKIE) else {
///             return Ok(None);
///         };
///         Ok(match cookie.to_str()? {
///             "session=of-alice" => Some(SignedIn::new(Subject::new("alice")?)),
///             _ => None,
///         })
///     }
/// }
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Who is signed in on this request, `None` for nobody.
    fn signed_in(
        &self,
        request: &Parts,
    ) -> impl Future<Output = Result<Option<SignedIn>, AuthenticatorError>> + Send;

    /// What the userinfo endpoint may tell about a user besides `sub` (OpenID Connect Core §5.3),
    /// given what was consented to (`profile`, `email`); `None` when there is no such user any
    /// more, and then tokens of theirs are refused there.
    fn claims(
        &self,
        subject: &Subject,
        scopes: &Scopes,
    ) -> impl Future<Output = Result<Option<Map<String, Value>>, AuthenticatorError>> + Send {
        let _ = (subject, scopes);
        std::future::ready(Ok(Some(Map::new())))
    }

    /// Which user of the application an enterprise's identity provider speaks of, `None` for one
    /// that is not let in. Asked only about issuers that were
    /// [trusted](crate::McpAuthBuilder::trust_issuer), once everything else about their assertion
    /// is in order; unless implemented, nobody is let in.
    ///
    /// A user who comes for the first time may be created here. Clients repeat themselves, so this
    /// must do no harm when it is asked about the same user again, and an answer gives no access by
    /// itself: an assertion that was used before is still refused afterwards.
    ///
    /// Keep the subjects of different issuers apart from each other and from your own: whoever
    /// controls an issuer controls what it calls its users.
    #[cfg(feature = "jwt")]
    fn enterprise_subject(
        &self,
        asserted: &AssertedSubject,
    ) -> impl Future<Output = Result<Option<Subject>, AuthenticatorError>> + Send {
        let _ = asserted;
        std::future::ready(Ok(None))
    }
}

/// [`Authenticator`] without a type parameter.
pub(crate) trait ErasedAuthenticator: Send + Sync + 'static {
    fn signed_in<'a>(
        &'a self,
        request: &'a Parts,
    ) -> BoxFuture<'a, Result<Option<SignedIn>, AuthenticatorError>>;

    fn claims<'a>(
        &'a self,
        subject: &'a Subject,
        scopes: &'a Scopes,
    ) -> BoxFuture<'a, Result<Option<Map<String, Value>>, AuthenticatorError>>;

    #[cfg(feature = "jwt")]
    fn enterprise_subject<'a>(
        &'a self,
        asserted: &'a AssertedSubject,
    ) -> BoxFuture<'a, Result<Option<Subject>, AuthenticatorError>>;
}

impl<A: Authenticator> ErasedAuthenticator for A {
    fn signed_in<'a>(
        &'a self,
        request: &'a Parts,
    ) -> BoxFuture<'a, Result<Option<SignedIn>, AuthenticatorError>> {
        Box::pin(Authenticator::signed_in(self, request))
    }

    fn claims<'a>(
        &'a self,
        subject: &'a Subject,
        scopes: &'a Scopes,
    ) -> BoxFuture<'a, Result<Option<Map<String, Value>>, AuthenticatorError>> {
        Box::pin(Authenticator::claims(self, subject, scopes))
    }

    #[cfg(feature = "jwt")]
    fn enterprise_subject<'a>(
        &'a self,
        asserted: &'a AssertedSubject,
    ) -> BoxFuture<'a, Result<Option<Subject>, AuthenticatorError>> {
        Box::pin(Authenticator::enterprise_subject(self, asserted))
    }
}
