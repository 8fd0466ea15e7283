//! Who is calling the token endpoint (RFC 6749 §2.3).

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, header, request::Parts};
use zeroize::Zeroizing;

use super::{AuthorizationServer, Endpoint, clients::NoClient, response::EndpointResponse};
use crate::{
    client::{Client, StaticClient, metadata::ClientAuthMethod},
    grant::Refusal,
    id::ClientId,
    params::{self, Params},
    secret::Digest,
    store::StoreError,
};

/// Padding is optional: some clients leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const MALFORMED: Refusal = Refusal::invalid_client(
    "basic_malformed",
    "the Authorization header is not well-formed Basic credentials",
);
const WRONG_SECRET: Refusal =
    Refusal::invalid_client("secret_wrong", "the client secret is wrong or has expired");

const TWO_CREDENTIALS: Refusal =
    Refusal::invalid_request("two_credentials", "the client authenticated more than once");
pub(super) const UNKNOWN: Refusal =
    Refusal::invalid_client("client_unknown", "there is no such client; register again");
const NO_KEY: Refusal = Refusal::invalid_client(
    "assertion_unexpected",
    "the client is not registered with a key",
);
const ASSERTION_MISSING: Refusal = Refusal::invalid_client(
    "assertion_missing",
    "the client must authenticate with its key",
);
const SECRET_UNEXPECTED: Refusal = Refusal::invalid_client(
    "secret_unexpected",
    "the client is registered without a secret",
);
const SECRET_MISSING: Refusal = Refusal::invalid_client(
    "secret_missing",
    "the client must authenticate with its secret",
);
const NOT_BY_BODY: Refusal = Refusal::invalid_client(
    "auth_method_differs",
    "the client is registered for client_secret_basic and must send its secret in the header",
);
const NOT_BY_HEADER: Refusal = Refusal::invalid_client(
    "auth_method_differs",
    "the client is registered for client_secret_post and must send its secret in the body",
);
/// RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Why a client is not let in.
#[derive(Debug)]
pub(super) enum ClientAuthError {
    /// For good. Whether `WWW-Authenticate` is owed: the client tried the header.
    Refused { refusal: Refusal, by_header: bool },
    /// For now: the store cannot say.
    Store(StoreError),
    /// For now: it tries too often.
    Limited(EndpointResponse),
}

impl From<StoreError> for ClientAuthError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The credentials of one request, as sent.
#[derive(Default)]
struct Credentials {
    id: String,
    /// The secret as sent; for Basic both as it is and form-decoded, since clients disagree on
    /// whether RFC 6749 §2.3.1 asks for encoding it.
    secrets: Vec<Zeroizing<String>>,
    /// Whether they came in the `Authorization` header.
    by_header: bool,
    /// A signed statement of the client (RFC 7523 §2.2).
    assertion: Option<String>,
}

impl AuthorizationServer {
    /// Authenticates the client of a request.
    ///
    /// Basic and post are interchangeable unless configured otherwise, since real clients mix them
    /// up; a secret and no secret are not: a client that has one must show it, and one that has none must not.
    pub(super) async fn authenticate_client(
        &self,
        endpoint: Endpoint,
        parts: &Parts,
        params: &Params<'_>,
    ) -> Result<Client, ClientAuthError> {
        let headers = &parts.headers;
        let by_header = headers.contains_key(header::AUTHORIZATION);
        let refuse = |refusal| ClientAuthError::Refused { refusal, by_header };
        let credentials = read(headers, params).map_err(refuse)?;
        // How often a resource server asks is up to those who present tokens to it: a stranger must
        // not be able to use up what it asks for all others.
        let is_trusted = endpoint == Endpoint::Introspect && self.has_credentials(&credentials.id);
        let limited = match is_trusted {
            true => self.wrong_too_often(endpoint, &credentials.id, parts),
            false => self.limited(endpoint, Some(&credentials.id), parts),
        };
        if let Some(limited) = limited {
            return Err(ClientAuthError::Limited(limited));
        }
        let client = match self.client(&credentials.id, endpoint, parts).await {
            Ok(client) => client,
            Err(NoClient::Unknown) => return Err(refuse(UNKNOWN)),
            // Who holds a token may give it back, also where nobody can say now whose it was, nor by
            // which key it would be known.
            Err(NoClient::Refused(_) | NoClient::Limited(_)) if endpoint == Endpoint::Revoke => {
                let undescribed = StaticClient::public(&credentials.id, [""; 0]);
                return undescribed.resolve().map_err(|_| refuse(UNKNOWN));
            }
            Err(NoClient::Refused(refusal)) => return Err(refuse(refusal)),
            Err(NoClient::Limited(limited)) => return Err(ClientAuthError::Limited(limited)),
            Err(NoClient::Store(error)) => return Err(error.into()),
        };
        match self.check(endpoint, parts, &client, &credentials).await? {
            Ok(()) => Ok(client),
            Err(refusal) => {
                if is_trusted {
                    self.count_wrong(endpoint, &credentials.id, parts);
                }
                Err(refuse(refusal))
            }
        }
    }

    /// Whether a configured client has to prove who it is.
    fn has_credentials(&self, id: &str) -> bool {
        let client = ClientId::new(id).ok().and_then(|id| self.clients.get(&id));
        client.is_some_and(|client| !client.is_public())
    }

    async fn check(
        &self,
        endpoint: Endpoint,
        parts: &Parts,
        client: &Client,
        credentials: &Credentials,
    ) -> Result<Result<(), Refusal>, ClientAuthError> {
        if let Some(assertion) = &credentials.assertion {
            if client.metadata.token_endpoint_auth_method != ClientAuthMethod::PrivateKeyJwt {
                return Ok(Err(NO_KEY));
            }
            #[cfg(feature = "jwt")]
            return self
                .check_assertion(endpoint, parts, client, assertion)
                .await;
            #[cfg(not(feature = "jwt"))]
            {
                let _ = (endpoint, parts, assertion);
                return Ok(Err(NO_KEY));
            }
        }
        Ok(match (client.secret, credentials.secrets.is_empty()) {
            (None, true) if client.is_public() => Ok(()),
            (None, true) => Err(ASSERTION_MISSING),
            (None, false) => Err(SECRET_UNEXPECTED),
            (Some(_), true) => Err(SECRET_MISSING),
            (Some(expected), false) => {
                if let Some(refusal) = self.wrong_method(client, credentials) {
                    return Ok(Err(refusal));
                }
                let expired = client.secret_expires_at.is_some_and(|at| at <= self.now());
                // Digests compare in constant time.
                let matches = credentials
                    .secrets
                    .iter()
                    .any(|secret| Digest::of(secret) == expected);
                if matches && !expired {
                    Ok(())
                } else {
                    Err(WRONG_SECRET)
                }
            }
        })
    }

    /// Where the registered method is insisted on and another one was used.
    fn wrong_method(&self, client: &Client, credentials: &Credentials) -> Option<Refusal> {
        if !self.requires_registered_method {
            return None;
        }
        match client.metadata.token_endpoint_auth_method {
            ClientAuthMethod::ClientSecretBasic if !credentials.by_header => Some(NOT_BY_BODY),
            ClientAuthMethod::ClientSecretPost if credentials.by_header => Some(NOT_BY_HEADER),
            _ => None,
        }
    }
}

fn read(headers: &HeaderMap, params: &Params<'_>) -> Result<Credentials, Refusal> {
    let id = params.get("client_id");
    let secret = params.get("client_secret");
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(assertion) = params.get("client_assertion") {
        if secret.is_some() || lines.next().is_some() {
            return Err(TWO_CREDENTIALS);
        }
        return by_assertion(assertion, id, params);
    }
    let Some(line) = lines.next() else {
        let Some(id) = id else {
            return Err(Refusal::invalid_client(
                "client_id_missing",
                "client_id is missing",
            ));
        };
        return Ok(Credentials {
            id: id.to_owned(),
            secrets: secret
                .map(|s| Zeroizing::new(s.to_owned()))
                .into_iter()
                .collect(),
            by_header: false,
            assertion: None,
        });
    };
    if lines.next().is_some() || secret.is_some() {
        return Err(TWO_CREDENTIALS);
    }
    let credentials = basic(line.as_bytes())?;
    if id.is_some_and(|id| id != credentials.id) {
        return Err(Refusal::invalid_request(
            "client_id_differs",
            "client_id differs from the one in the Authorization header",
        ));
    }
    Ok(credentials)
}

/// RFC 7521 §4.2: the assertion names the client; `client_id` may be left out.
fn by_assertion(
    assertion: &str,
    id: Option<&str>,
    params: &Params<'_>,
) -> Result<Credentials, Refusal> {
    if params.get("client_assertion_type") != Some(JWT_BEARER) {
        return Err(Refusal::invalid_client(
            "assertion_type",
            "client_assertion_type must be that of a JWT",
        ));
    }
    #[cfg(feature = "jwt")]
    let named = super::client_assertion::named_client(assertion);
    #[cfg(not(feature = "jwt"))]
    let named: Option<String> = None;
    let named = named.ok_or(Refusal::invalid_client(
        "assertion_malformed",
        "client_assertion is not a signed token that names a client",
    ))?;
    if id.is_some_and(|id| id != named) {
        return Err(Refusal::invalid_request(
            "client_id_differs",
            "client_id differs from the subject of the client assertion",
        ));
    }
    Ok(Credentials {
        id: named,
        secrets: Vec::new(),
        by_header: false,
        assertion: Some(assertion.to_owned()),
    })
}

/// RFC 7617 §2, with the id form-decoded (RFC 6749 §2.3.1).
fn basic(line: &[u8]) -> Result<Credentials, Refusal> {
    let line = std::str::from_utf8(line).map_err(|_| MALFORMED)?;
    let (scheme, encoded) = line.split_once(' ').ok_or(MALFORMED)?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(Refusal::invalid_client(
            "scheme_unsupported",
            "clients authenticate with Basic, client_secret_post or not at all",
        ));
    }
    let bytes = Zeroizing::new(BASE64.decode(encoded.trim()).map_err(|_| MALFORMED)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| MALFORMED)?;
    let (id, secret) = text.split_once(':').ok_or(MALFORMED)?;
    let mut secrets = Vec::new();
    if !secret.is_empty() {
        secrets.push(Zeroizing::new(secret.to_owned()));
        if let Ok(decoded) = params::decode(secret) {
            secrets.push(Zeroizing::new(decoded.into_owned()));
        }
    }
    Ok(Credentials {
        id: params::decode(id).map_err(|_| MALFORMED)?.into_owned(),
        secrets,
        by_header: true,
        assertion: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> String {
        format!("bAsIc {}", BASE64.encode(text))
    }

    #[test]
    fn both_spellings_of_a_secret_are_tried() {
        let credentials = basic(header("my%20id:a%2Bb+c").as_bytes()).unwrap_or_default();
        assert_eq!(credentials.id, "my id");
        let secrets: Vec<&str> = credentials.secrets.iter().map(|s| s.as_str()).collect();
        assert_eq!(secrets, ["a%2Bb+c", "a+b c"]);
    }

    #[test]
    fn malformed_headers_are_refused() {
        for line in [
            "Basic",
            "Basic !!!",
            &header("no colon"),
            "Bearer x",
            &header("\u{0}:x"),
        ] {
            assert!(basic(line.as_bytes()).is_err(), "{line}");
        }
        assert!(basic(b"Basic \xff").is_err());
    }
}
