//! Clients that prove themselves with a key (RFC 7523 §2.2, RFC 7521 §4.2).

use std::{sync::Arc, time::Duration};

use http::request::Parts;

use super::{
    AuthorizationServer, Endpoint, client_auth::ClientAuthError, response::EndpointResponse,
};
use crate::{
    client::Client,
    clock::Clock,
    fetch::{CacheSettings, FetchError, Fetcher, Lifetimes, Limits},
    grant::{ErrorCode, Refusal},
    issuer::KeySets,
    jwt::{Algorithm, Expect, JwkSet, Jws, JwtError, Typ, verify},
    secret::Digest,
    store::UseOnce,
};

/// What a set of keys may cost.
const LIMITS: Limits = Limits {
    max_bytes: 64 * 1024,
    deadline: Duration::from_secs(5),
};
const CACHE: CacheSettings = CacheSettings {
    capacity: 1000,
    lifetimes: Lifetimes {
        min: Duration::from_secs(60),
        default: Duration::from_secs(600),
        max: Duration::from_secs(24 * 3600),
    },
    failure: Duration::from_secs(10),
    refetch: Duration::from_secs(30),
    stale: Duration::from_secs(3600),
    may_be_withdrawn: true,
};
/// How far in the future an assertion may expire: what is used up is remembered as long.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// How far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(60);

/// Hosts whose described clients sign for the token endpoint, as RFC 7523 §3 has it, and for
/// nothing else. What the switch for everybody gives up is theirs to lose; without this they have
/// no way in.
const SIGN_FOR_THE_ENDPOINT: [&str; 1] = ["chatgpt.com"];

/// Where the keys of clients come from.
pub(crate) fn client_key_sets(fetcher: Fetcher, clock: Arc<dyn Clock>) -> KeySets {
    KeySets::new(Arc::new(fetcher), LIMITS, CACHE, clock)
}

/// The client that an assertion says it is of, before anything of it is believed.
pub(super) fn named_client(assertion: &str) -> Option<String> {
    let token = Jws::parse(assertion).ok()?;
    token.unverified("sub").map(str::to_owned)
}

impl AuthorizationServer {
    /// Checks that `assertion` is the client's own, for us, and new.
    pub(super) async fn check_assertion(
        &self,
        endpoint: Endpoint,
        parts: &Parts,
        client: &Client,
        assertion: &str,
    ) -> Result<Result<(), Refusal>, ClientAuthError> {
        let token_endpoint = self.url(Endpoint::Token);
        let audience: &[&str] = if self.accepts_endpoint_audience || signs_for_the_endpoint(client)
        {
            &[self.issuer.as_str(), &token_endpoint]
        } else {
            &[self.issuer.as_str()]
        };
        let expect = Expect {
            // Tokens of other kinds that the client may hold are no proof of who it is.
            typ: Typ::NoneOf(&["at+jwt", "dpop+jwt", "oauth-id-jag+jwt", "logout+jwt"]),
            algorithms: &Algorithm::ALL,
            issuer: client.id.as_str(),
            subject: Some(client.id.as_str()),
            audience,
            sole_audience: true,
            now: self.now(),
            max_lifetime: Some(MAX_LIFETIME),
            leeway: LEEWAY,
        };
        let judged = match (&client.metadata.jwks, &client.metadata.jwks_uri) {
            (Some(keys), _) => JwkSet::from_value(keys)
                .map_err(|_| JwtError::UnknownKey)
                .and_then(|keys| verify(assertion, &keys, &expect)),
            (None, Some(url)) => {
                let check = |keys: &JwkSet| verify(assertion, keys, &expect);
                let may_fetch = || match self.fetch_limited(endpoint, &client.id, parts) {
                    Some(limited) => Err(NoKeys::Limited(limited)),
                    None => Ok(()),
                };
                match self.key_sets.judge_if(url, check, may_fetch).await {
                    Ok(judged) => judged,
                    Err(NoKeys::Unreachable) => return Ok(Err(KEYS_UNREACHABLE)),
                    Err(NoKeys::Limited(limited)) => return Err(ClientAuthError::Limited(limited)),
                }
            }
            (None, None) => Err(JwtError::UnknownKey),
        };
        let claims = match judged {
            Ok(claims) => claims,
            Err(error) => return Ok(Err(refusal(error))),
        };
        let asked = client.metadata.token_endpoint_auth_signing_alg.as_deref();
        if asked.is_some_and(|alg| !is_signed_with(assertion, alg)) {
            return Ok(Err(refusal(JwtError::Algorithm)));
        }
        let Some(jti) = claims.jti.as_deref().filter(|jti| !jti.is_empty()) else {
            return Ok(Err(refusal(JwtError::Claim("jti"))));
        };
        let digest = Digest::of(&format!("assertion\n{}\n{jti}", client.id));
        let until = claims.expires_at.plus(LEEWAY);
        let max = self.limits.used;
        match self.store.use_once(digest, until, max, self.now()).await? {
            UseOnce::First => Ok(Ok(())),
            UseOnce::Again => Ok(Err(REPLAYED)),
            UseOnce::Full => Ok(Err(TOO_MANY)),
        }
    }
}

/// Why there are no keys to check an assertion with.
enum NoKeys {
    Unreachable,
    Limited(EndpointResponse),
}

impl From<FetchError> for NoKeys {
    fn from(_: FetchError) -> Self {
        Self::Unreachable
    }
}

fn signs_for_the_endpoint(client: &Client) -> bool {
    let host = client.document_host();
    host.is_some_and(|host| SIGN_FOR_THE_ENDPOINT.contains(&host))
}

fn is_signed_with(assertion: &str, alg: &str) -> bool {
    Jws::parse(assertion).is_ok_and(|token| Some(token.algorithm()) == Algorithm::from_name(alg))
}

fn refusal(error: JwtError) -> Refusal {
    let description = match error {
        JwtError::Audience => "the client assertion must be for the issuer alone",
        JwtError::Expired | JwtError::NotYetValid | JwtError::Lifetime => {
            "the client assertion must be fresh and expire within the hour"
        }
        JwtError::Claim("jti") => "the client assertion needs a jti",
        _ => "the client assertion is not signed by the client with a known key",
    };
    Refusal::invalid_client(error.reason(), description)
}

const REPLAYED: Refusal =
    Refusal::invalid_client("assertion_replayed", "the client assertion was used before");
const TOO_MANY: Refusal = Refusal::new(
    ErrorCode::Full,
    "too_many_assertions",
    "too many assertions were used; try again later",
);
const KEYS_UNREACHABLE: Refusal = Refusal::new(
    ErrorCode::TemporarilyUnavailable,
    "client_keys_unreachable",
    "the jwks_uri of the client does not answer with its keys now",
);

#[cfg(test)]
#[cfg(feature = "cimd")]
mod tests;
