//! Identity providers whose word is taken for who a user is.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    clock::{Clock, Timestamp},
    error::ConfigError,
    fetch::{FetchError, Fetcher},
    id::ClientId,
    issuer::{IssuerKeys, IssuerName, fetcher_for},
    jwt::{Algorithm, Claims, Expect, JwkSet, Jws, JwtError, Typ, verify},
    uri::{Issuer, ResourceUri},
};

/// How long an assertion may live: what is used up is remembered as long.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// How far clocks may be apart.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);

/// An enterprise's identity provider, whose signed assertions (ID-JAG) give its users access
/// without asking them: MCP's enterprise-managed authorization.
///
/// An assertion is good once, within an hour, for this server alone, for the client that it names
/// and that proves to be it, and for no more than it says. Which user of the application it is
/// about, [`Authenticator::enterprise_subject`](crate::Authenticator::enterprise_subject) decides.
///
/// ```
/// use http::request::Parts;
/// use tower_mcp_auth::{
///     AssertedSubject, Authenticator, AuthenticatorError, McpAuth, MemoryStore, SignedIn,
///     StaticClient, Subject, TrustedIssuer,
/// };
///
/// struct Users;
///
/// impl Authenticator for Users {
///     async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
///         Ok(None)
///     }
///
///     async fn enterprise_subject(
///         &self,
///         asserted: &AssertedSubject,
///     ) -> Result<Option<Subject>, AuthenticatorError> {
///         // Acme's provider may speak for people at Acme. Here they are made on their first visit.
///         match (asserted.issuer(), asserted.email()) {
///             ("https://acme.idp.example", Some(email)) if email.ends_with("@acme.example") => {
///                 Ok(Some(Subject::new(format!("acme:{}", asserted.subject()))?))
///             }
///             _ => Ok(None),
///         }
///     }
/// }
///
/// # fn main() -> Result<(), tower_mcp_auth::ConfigError> {
/// let auth = McpAuth::builder("https://api.example.com")
///     .login_page("/sign-in")
///     .authenticator(Users)
///     .resource("https://api.example.com/mcp", ["notes:read"])
///     // The client as it is known here: the assertion's `client_id`.
///     .client(StaticClient::confidential("assistant", "its secret", Vec::<String>::new()))
///     .trust_issuer(TrustedIssuer::new("https://acme.idp.example").clients(["assistant"]))
///     .store(MemoryStore::new())
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct TrustedIssuer {
    issuer: String,
    jwks_uri: Option<String>,
    jwks: Option<Value>,
    algorithms: Option<Vec<String>>,
    clients: Option<Vec<String>>,
    fetcher: Option<Fetcher>,
    takes_again: bool,
    takes_public: bool,
}

impl TrustedIssuer {
    /// Trusts the issuer of this name, letter for letter as its assertions and its document have
    /// it. Its document (RFC 8414, OpenID Connect Discovery) says where its keys are; both are
    /// fetched when the first assertion comes, kept for as long as they allow (an hour unless they
    /// say), and the keys anew when an assertion names one that is not known.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            jwks_uri: None,
            jwks: None,
            algorithms: None,
            clients: None,
            fetcher: None,
            takes_again: false,
            takes_public: false,
        }
    }

    /// Where its keys are, in place of what its document says.
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.jwks_uri = Some(url.into());
        self
    }

    /// Its public keys (RFC 7517 §5) themselves: nothing is fetched, so whoever runs this server
    /// has to follow when the issuer changes them.
    pub fn jwks(mut self, keys: Value) -> Self {
        self.jwks = Some(keys);
        self
    }

    /// What it may sign with, by the names of RFC 7518: all of `EdDSA`, `ES256`, `PS256` and
    /// `RS256` unless set. There are no others.
    pub fn algorithms<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.algorithms = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The clients that it may let act for its users: every client unless set.
    pub fn clients<I>(mut self, ids: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.clients = Some(ids.into_iter().map(Into::into).collect());
        self
    }

    /// Fetches its document and keys in its own way. Unless set: from public addresses, or from
    /// this machine where the issuer's name says so.
    pub fn fetcher(mut self, fetcher: Fetcher) -> Self {
        self.fetcher = Some(fetcher);
        self
    }

    /// Takes an assertion as often as it is sent until it expires, in place of once.
    ///
    /// The IETF's draft lets clients do that instead of asking the issuer again (ID-JAG §4.4.3);
    /// MCP forbids it: whoever finds an assertion and has the client's credentials, or is the
    /// client, can use it as well.
    pub fn danger_allow_resubmission(mut self) -> Self {
        self.takes_again = true;
        self
    }

    /// Also takes assertions from clients that do not authenticate, such as programs on users'
    /// machines that describe themselves at their `client_id` (MCP allows them to; the IETF's draft
    /// advises against it, ID-JAG §9.1). Whoever finds an unused assertion can then use it.
    pub fn danger_allow_public_clients(mut self) -> Self {
        self.takes_public = true;
        self
    }

    fn resolve(self, own: &Issuer, clock: Arc<dyn Clock>) -> Result<KnownIssuer, ConfigError> {
        let name = IssuerName::parse(&self.issuer)?;
        // Otherwise a token of ours could be traded in for a better one (ID-JAG §9.3).
        if canonical(&self.issuer)? == canonical(own.as_str())? {
            return Err(ConfigError::OwnIssuer);
        }
        let keys = match (self.jwks, self.jwks_uri) {
            (Some(_), Some(_)) => return Err(ConfigError::Keys("`jwks` excludes `jwks_uri`")),
            (Some(keys), None) => IssuerKeys::Fixed(JwkSet::configured(&keys)?),
            (None, url) => {
                if let Some(url) = &url {
                    ResourceUri::parse(url)?;
                }
                let fetcher = match self.fetcher {
                    Some(fetcher) => fetcher,
                    None => fetcher_for(&self.issuer)?,
                };
                IssuerKeys::published(name.clone(), url, Arc::new(fetcher), clock)
            }
        };
        let algorithms = match self.algorithms {
            None => Algorithm::ALL.to_vec(),
            Some(names) => names
                .into_iter()
                .map(|name| Algorithm::from_name(&name).ok_or(ConfigError::Algorithm(name)))
                .collect::<Result<_, _>>()?,
        };
        let clients = self
            .clients
            .map(|ids| ids.iter().map(ClientId::new).collect::<Result<_, _>>())
            .transpose()?;
        Ok(KnownIssuer {
            name,
            keys,
            algorithms,
            clients,
            takes_again: self.takes_again,
            takes_public: self.takes_public,
        })
    }
}

impl fmt::Debug for TrustedIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedIssuer")
            .field("issuer", &self.issuer)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

fn canonical(issuer: &str) -> Result<String, ConfigError> {
    let uri = ResourceUri::parse(issuer)?;
    Ok(uri.canonical().trim_end_matches('/').to_owned())
}

/// A trusted issuer after validation.
pub(super) struct KnownIssuer {
    pub(super) name: IssuerName,
    keys: IssuerKeys,
    algorithms: Vec<Algorithm>,
    clients: Option<HashSet<ClientId>>,
    /// Whether one assertion is good more than once.
    pub(super) takes_again: bool,
    /// Whether clients need not authenticate.
    pub(super) takes_public: bool,
}

impl KnownIssuer {
    /// Whether it may let that client act for its users.
    pub(super) fn may_speak_for(&self, client: &ClientId) -> bool {
        self.clients
            .as_ref()
            .is_none_or(|clients| clients.contains(client))
    }

    /// Judges an assertion that is to be for `audience`, which is matched letter for letter: all
    /// documents here name it without a slash at the end, and that is what clients and issuers go
    /// by.
    pub(super) async fn verify(
        &self,
        assertion: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<Result<Claims, JwtError>, FetchError> {
        let expect = Expect {
            typ: Typ::OneOf(&["oauth-id-jag+jwt"]),
            algorithms: &self.algorithms,
            issuer: self.name.as_str(),
            subject: None,
            audience: &[audience],
            sole_audience: true,
            now,
            max_lifetime: Some(MAX_LIFETIME),
            leeway: LEEWAY,
        };
        let check = |keys: &JwkSet| verify(assertion, keys, &expect);
        self.keys.judge(check).await
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct TrustedIssuers(Vec<KnownIssuer>);

impl TrustedIssuers {
    pub(crate) fn new(
        issuers: Vec<TrustedIssuer>,
        own: &Issuer,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let mut known: Vec<KnownIssuer> = Vec::with_capacity(issuers.len());
        for issuer in issuers {
            let issuer = issuer.resolve(own, Arc::clone(clock))?;
            let name = issuer.name.as_str();
            if known.iter().any(|other| other.name.as_str() == name) {
                return Err(ConfigError::DuplicateIssuer(name.to_owned()));
            }
            known.push(issuer);
        }
        Ok(Self(known))
    }

    /// Whether nobody is trusted, so that the grant does not exist.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that `assertion` says it is of, before anything of it is believed.
    pub(super) fn of(&self, assertion: &str) -> Result<&KnownIssuer, JwtError> {
        let token = Jws::parse(assertion)?;
        let named = token.unverified("iss").ok_or(JwtError::Claim("iss"))?;
        let found = self.0.iter().find(|known| known.name.as_str() == named);
        found.ok_or(JwtError::Issuer)
    }
}
