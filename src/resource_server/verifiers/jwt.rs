//! Tokens that can be read: RFC 9068, and what comes near it.

use std::{fmt, sync::Arc, time::Duration};

use super::explain;
use crate::{
    clock::{Clock, SystemClock},
    error::ConfigError,
    fetch::{Fetch, FetchError, Fetcher},
    issuer::{IssuerKeys, IssuerName, fetcher_for},
    jwt::{AccessToken, Algorithm, ExpectAccessToken, JwkSet, Jws, JwtError, verify_access_token},
    resource_server::{McpSession, PresentedToken, TokenVerifier, Verdict, VerifierUnavailable},
    uri::ResourceUri,
};

/// Believes the signature of an issuer elsewhere: access tokens as RFC 9068 has them.
///
/// Its document and keys are fetched when the first token comes, kept for as long as it allows (an
/// hour unless it says), and fetched anew when a token names a key that is not known, though not
/// more often than every ten seconds. While the issuer cannot be reached, the keys that are known
/// last another hour; after that the layer answers 503.
///
/// ```
/// use tower_mcp_auth::{JwtVerifier, ProtectedResource};
///
/// # fn main() -> Result<(), tower_mcp_auth::ConfigError> {
/// let url = "https://api.example.com/mcp";
/// let verifier = JwtVerifier::builder("https://login.example.com", url).build()?;
/// let resource = ProtectedResource::builder(url, verifier)
///     .scopes(["notes:read"])
///     .build()?;
/// let layer = resource.layer();
/// let documents = resource.well_known(["https://login.example.com"]);
/// # Ok(())
/// # }
/// ```
pub struct JwtVerifier {
    issuer: IssuerName,
    resource: ResourceUri,
    audiences: Vec<String>,
    plain: bool,
    leeway: Duration,
    clock: Arc<dyn Clock>,
    keys: IssuerKeys,
}

impl JwtVerifier {
    /// Starts with the issuer, letter for letter as its tokens and its document name it, and the
    /// resource that tokens must be for.
    pub fn builder(issuer: impl Into<String>, resource: impl Into<String>) -> JwtVerifierBuilder {
        JwtVerifierBuilder {
            issuer: issuer.into(),
            resource: resource.into(),
            audiences: Vec::new(),
            plain: false,
            leeway: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
            fetcher: None,
            jwks_uri: None,
        }
    }

    async fn judge(&self, token: &str) -> Result<AccessToken, Refused> {
        // Whose it claims to be costs nothing to find out, and no stranger makes us fetch.
        let claimed = Jws::parse(token)?;
        if claimed.unverified("iss") != Some(self.issuer.as_str()) {
            return Err(JwtError::Issuer.into());
        }
        let checked = self.keys.judge(|keys| self.check(token, keys)).await?;
        Ok(checked?)
    }

    fn check(&self, token: &str, keys: &JwkSet) -> Result<AccessToken, JwtError> {
        let expect = ExpectAccessToken {
            issuer: self.issuer.as_str(),
            resource: &self.resource,
            also_audience: &self.audiences,
            algorithms: &Algorithm::ALL,
            plain: self.plain,
            now: self.clock.now(),
            leeway: self.leeway,
        };
        verify_access_token(token, keys, &expect)
    }

    fn session(&self, token: AccessToken) -> McpSession {
        // Whoever asks for a token in their own name is its subject (RFC 9068 §2.2).
        let is_client = token.subject.as_str() == token.client_id.as_str();
        let mut session = McpSession::builder(
            token.subject,
            token.client_id,
            self.resource.clone(),
            token.expires_at,
        )
        .scopes(token.scopes);
        if let Some(issued_at) = token.issued_at {
            session = session.issued_at(issued_at);
        }
        if is_client {
            session = session.of_client();
        }
        // The layer then asks for a proof.
        if let Some(thumbprint) = token.jkt {
            session = session.dpop_thumbprint(thumbprint);
        }
        session.build()
    }
}

/// Why there is no session: the token, or that nobody can say.
enum Refused {
    Token(JwtError),
    Fetch(FetchError),
}

impl From<JwtError> for Refused {
    fn from(error: JwtError) -> Self {
        Self::Token(error)
    }
}

impl From<FetchError> for Refused {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl TokenVerifier for JwtVerifier {
    fn recognises(&self, token: &str) -> bool {
        // A JSON object in base64url, and two dots.
        token.starts_with("ey") && token.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    async fn verify(&self, token: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        let error = match self.judge(token.reveal()).await {
            Ok(token) => return Ok(Verdict::Verified(self.session(token))),
            Err(Refused::Fetch(error)) => return Err(VerifierUnavailable::new(error)),
            Err(Refused::Token(error)) => error,
        };
        explain(self.issuer.as_str(), error.reason());
        Ok(match error {
            JwtError::Expired => Verdict::Expired,
            JwtError::Audience => Verdict::WrongAudience,
            _ => Verdict::Unknown,
        })
    }
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifier")
            .field("issuer", &self.issuer.as_str())
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// A [`JwtVerifier`] in the making.
#[must_use]
pub struct JwtVerifierBuilder {
    issuer: String,
    resource: String,
    audiences: Vec<String>,
    plain: bool,
    leeway: Duration,
    clock: Arc<dyn Clock>,
    fetcher: Option<Arc<dyn Fetch>>,
    jwks_uri: Option<String>,
}

impl JwtVerifierBuilder {
    /// Also takes tokens with this in `aud`, for issuers that do not name resources by their URL.
    /// Everything that the issuer gives this name is let in, so no other service may share it.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Also takes tokens that do not say that they are access tokens (`typ` of `JWT`, or none).
    ///
    /// Many issuers send such. It is safe only as long as the issuer signs nothing else with this
    /// resource in `aud`: an id_token must not open a door.
    pub fn danger_allow_plain_jwt(mut self, allow: bool) -> Self {
        self.plain = allow;
        self
    }

    /// Where the issuer's keys are, if its document does not say.
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.jwks_uri = Some(url.into());
        self
    }

    /// How far the issuer's clock may be off: 5 seconds unless set.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Fetches the issuer's document and keys in its own way. Unless set: from public addresses,
    /// or from this machine where the issuer's name says so.
    pub fn fetcher(mut self, fetcher: Fetcher) -> Self {
        self.fetcher = Some(Arc::new(fetcher));
        self
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn fetch_with(mut self, fetcher: Arc<dyn Fetch>) -> Self {
        self.fetcher = Some(fetcher);
        self
    }

    /// Judges expiry by `clock`.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The verifier. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// When a URL cannot be used.
    pub fn build(self) -> Result<JwtVerifier, ConfigError> {
        let issuer = IssuerName::parse(&self.issuer)?;
        let resource = ResourceUri::parse(&self.resource)?;
        if let Some(url) = &self.jwks_uri {
            ResourceUri::parse(url)?;
        }
        let fetcher = match self.fetcher {
            Some(fetcher) => fetcher,
            None => Arc::new(fetcher_for(&self.issuer)?),
        };
        Ok(JwtVerifier {
            keys: IssuerKeys::published(
                issuer.clone(),
                self.jwks_uri,
                fetcher,
                Arc::clone(&self.clock),
            ),
            issuer,
            resource,
            audiences: self.audiences,
            plain: self.plain,
            leeway: self.leeway.min(Duration::from_secs(300)),
            clock: self.clock,
        })
    }
}

impl fmt::Debug for JwtVerifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifierBuilder")
            .field("issuer", &self.issuer)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}
