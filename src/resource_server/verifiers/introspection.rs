//! Tokens that only their issuer can read (RFC 7662).

use std::{fmt, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::explain;
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    error::ConfigError,
    fetch::{BasicCredentials, Fetch, FetchError, Fetcher},
    id::{ClientId, Subject},
    issuer::{Discovery, IssuerName, LIMITS, PATIENCE, fetcher_for},
    json::parse_strictly,
    jwt::{JwtError, audience, scopes, text, thumbprint, time},
    resource_server::{McpSession, PresentedToken, TokenVerifier, Verdict, VerifierUnavailable},
    secret::Digest,
    uri::ResourceUri,
};

/// How long a token that is no good stays no good without asking again.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// How many such tokens are remembered.
const MAX_REFUSED: u64 = 10_000;
/// How long a good token is believed where the issuer does not say when it expires.
const WITHOUT_EXPIRY: Duration = Duration::from_secs(60);

/// Asks an issuer elsewhere about each token (RFC 7662), for tokens that nobody else can read.
///
/// The layer remembers good answers for as long as its [`TokenCache`](crate::TokenCache) is set to
/// (5 minutes, at most the token's life): that is how late a revocation may be noticed. Bad answers
/// are remembered for ten seconds.
///
/// ```
/// use std::time::Duration;
///
/// use tower_mcp_auth::{IntrospectionVerifier, ProtectedResource, TokenCache};
///
/// # fn main() -> Result<(), tower_mcp_auth::ConfigError> {
/// let url = "https://api.example.com/mcp";
/// let verifier = IntrospectionVerifier::builder("https://login.example.com", url)
///     .credentials("the-mcp-server", "its secret")
///     .build()?;
/// let resource = ProtectedResource::builder(url, verifier)
///     .scopes(["notes:read"])
///     .cache(TokenCache::builder().time_to_live(Duration::from_secs(30)).build())
///     .build()?;
/// # Ok(())
/// # }
/// ```
pub struct IntrospectionVerifier {
    issuer: IssuerName,
    resource: ResourceUri,
    audiences: Vec<String>,
    any_audience: bool,
    client_id: String,
    client_secret: Zeroizing<String>,
    endpoint: Option<String>,
    clock: Arc<dyn Clock>,
    fetcher: Arc<dyn Fetch>,
    discovery: Discovery,
    /// Tokens that were no good, and until when that is believed.
    refused: moka::sync::Cache<Digest, (Verdict, Timestamp)>,
}

impl IntrospectionVerifier {
    /// Starts with the issuer, letter for letter as its document names it, and the resource that
    /// tokens must be for.
    pub fn builder(
        issuer: impl Into<String>,
        resource: impl Into<String>,
    ) -> IntrospectionVerifierBuilder {
        IntrospectionVerifierBuilder {
            issuer: issuer.into(),
            resource: resource.into(),
            audiences: Vec::new(),
            any_audience: false,
            credentials: None,
            endpoint: None,
            clock: Arc::new(SystemClock),
            fetcher: None,
        }
    }

    async fn ask(&self, token: &str) -> Result<Verdict, FetchError> {
        let endpoint = match &self.endpoint {
            Some(url) => url.clone(),
            None => {
                let document = self.discovery.document().await?;
                let url = document.introspection_endpoint.clone();
                url.ok_or(FetchError::Content(
                    "its document names no introspection endpoint",
                ))?
            }
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        let credentials = BasicCredentials {
            client_id: &self.client_id,
            client_secret: &self.client_secret,
        };
        let answer = self
            .fetcher
            .post_form(&endpoint, Some(credentials), form, LIMITS)
            .await?;
        let members = parse_strictly(&answer.body);
        let members = members.ok_or(FetchError::Content("its answer is no JSON object"))?;
        match members.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Ok(Verdict::Unknown),
            _ => return Err(FetchError::Content("its answer does not say `active`")),
        }
        Ok(match self.session(&members) {
            Ok(session) => Verdict::Verified(session),
            Err(error) => {
                explain(self.issuer.as_str(), error.reason());
                match error {
                    JwtError::Expired => Verdict::Expired,
                    JwtError::Audience => Verdict::WrongAudience,
                    _ => Verdict::Unknown,
                }
            }
        })
    }

    /// What an active token allows here.
    fn session(&self, members: &Map<String, Value>) -> Result<McpSession, JwtError> {
        let text = |name| text(members, name);
        if text("iss")?.is_some_and(|issuer| issuer != self.issuer.as_str()) {
            return Err(JwtError::Issuer);
        }
        let audience = audience(members.get("aud"))?;
        let ours = |name: &String| {
            self.audiences.contains(name)
                || ResourceUri::parse(name).is_ok_and(|name| name == self.resource)
        };
        if !(audience.iter().any(ours) || (audience.is_empty() && self.any_audience)) {
            return Err(JwtError::Audience);
        }
        // Some issuers answer for refresh tokens as well, and tell them apart by this.
        if text("token_use")?.is_some_and(|kind| kind != "access_token") {
            return Err(JwtError::Type);
        }
        let thumbprint = thumbprint(members)?;
        // A kind of token that nobody here can check; `DPoP` says which key.
        let is_known = |kind: &str| {
            kind.eq_ignore_ascii_case("bearer")
                || (kind.eq_ignore_ascii_case("dpop") && thumbprint.is_some())
        };
        if !text("token_type")?.is_none_or(is_known) {
            return Err(JwtError::Claim("cnf"));
        }
        let now = self.clock.now();
        let expires_at = time(members, "exp")?.unwrap_or(now.plus(WITHOUT_EXPIRY));
        if expires_at <= now {
            return Err(JwtError::Expired);
        }
        let client = text("client_id")?.or(text("azp")?);
        let client = client.ok_or(JwtError::Claim("client_id"))?;
        let subject = text("sub")?.unwrap_or(client);
        let mut session = McpSession::builder(
            Subject::new(subject).map_err(|_| JwtError::Claim("sub"))?,
            ClientId::new(client).map_err(|_| JwtError::Claim("client_id"))?,
            self.resource.clone(),
            expires_at,
        )
        .scopes(scopes(members)?);
        if let Some(issued_at) = time(members, "iat")? {
            session = session.issued_at(issued_at);
        }
        // Whoever asks for a token in their own name is its subject, if it has one.
        if subject == client {
            session = session.of_client();
        }
        // The layer then asks for a proof.
        if let Some(thumbprint) = thumbprint {
            session = session.dpop_thumbprint(thumbprint);
        }
        Ok(session.build())
    }
}

impl TokenVerifier for IntrospectionVerifier {
    async fn verify(&self, token: &PresentedToken) -> Result<Verdict, VerifierUnavailable> {
        let digest = token.digest();
        if let Some((verdict, until)) = self.refused.get(&digest)
            && self.clock.now() < until
        {
            return Ok(verdict);
        }
        let asked = tokio::time::timeout(PATIENCE, self.ask(token.reveal())).await;
        let verdict = asked
            .unwrap_or(Err(FetchError::Deadline))
            .map_err(VerifierUnavailable::new)?;
        if !matches!(verdict, Verdict::Verified(_)) {
            let until = self.clock.now().plus(REFUSED_FOR);
            self.refused.insert(digest, (verdict.clone(), until));
        }
        Ok(verdict)
    }
}

impl fmt::Debug for IntrospectionVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionVerifier")
            .field("issuer", &self.issuer.as_str())
            .field("resource", &self.resource)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// An [`IntrospectionVerifier`] in the making.
#[must_use]
pub struct IntrospectionVerifierBuilder {
    issuer: String,
    resource: String,
    audiences: Vec<String>,
    any_audience: bool,
    credentials: Option<(String, Zeroizing<String>)>,
    endpoint: Option<String>,
    clock: Arc<dyn Clock>,
    fetcher: Option<Arc<dyn Fetch>>,
}

impl IntrospectionVerifierBuilder {
    /// Who we are at the issuer: it answers nobody else (RFC 7662 §2.1). Sent as HTTP Basic.
    pub fn credentials(
        mut self,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        self.credentials = Some((client_id.into(), Zeroizing::new(client_secret.into())));
        self
    }

    /// Where to ask, if the issuer's document does not say.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Also takes tokens with this in `aud`, for issuers that do not name resources by their URL.
    /// Everything that the issuer gives this name is let in, so no other service may share it.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Also takes tokens of which the issuer does not say what they are for. Then every token of
    /// this issuer, for whatever service, opens this one.
    pub fn danger_allow_missing_audience(mut self, allow: bool) -> Self {
        self.any_audience = allow;
        self
    }

    /// Asks in its own way. Unless set: at public addresses, or on this machine where the issuer's
    /// name says so.
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

    /// The verifier. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// When a URL cannot be used, or the credentials are missing.
    pub fn build(self) -> Result<IntrospectionVerifier, ConfigError> {
        let issuer = IssuerName::parse(&self.issuer)?;
        let resource = ResourceUri::parse(&self.resource)?;
        if let Some(url) = &self.endpoint {
            ResourceUri::parse(url)?;
        }
        let (client_id, client_secret) = self
            .credentials
            .ok_or(ConfigError::Missing("credentials"))?;
        let fetcher = match self.fetcher {
            Some(fetcher) => fetcher,
            None => Arc::new(fetcher_for(&self.issuer)?),
        };
        Ok(IntrospectionVerifier {
            discovery: Discovery::new(
                issuer.clone(),
                Arc::clone(&fetcher),
                Arc::clone(&self.clock),
            ),
            issuer,
            resource,
            audiences: self.audiences,
            any_audience: self.any_audience,
            client_id,
            client_secret,
            endpoint: self.endpoint,
            clock: self.clock,
            fetcher,
            refused: moka::sync::Cache::builder()
                .max_capacity(MAX_REFUSED)
                .time_to_live(REFUSED_FOR)
                .build(),
        })
    }
}

impl fmt::Debug for IntrospectionVerifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionVerifierBuilder")
            .field("issuer", &self.issuer)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_tokens_that_are_no_good_are_remembered() {
        let verifier = IntrospectionVerifier::builder("https://a.example", "https://b.example")
            .credentials("us", "our secret")
            .build()
            .unwrap();
        for number in 0..2 * MAX_REFUSED {
            let digest = Digest::of(&number.to_string());
            let until = Timestamp::from_secs(u64::MAX);
            verifier.refused.insert(digest, (Verdict::Unknown, until));
        }
        verifier.refused.run_pending_tasks();
        assert!(verifier.refused.entry_count() <= MAX_REFUSED);
    }
}
