//! Who is calling the token endpoint (RFC 6749 §2.3).

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, header, request::Parts};
use zeroize::Zeroizing;

use super::{AuthorizationServer, Endpoint, response::EndpointResponse};
use crate::{
    client::Client,
    grant::Refusal,
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
}

impl AuthorizationServer {
    /// Authenticates the client of a request.
    ///
    /// Basic and post are interchangeable, since real clients mix them up; a secret and no secret
    /// are not: a client that has one must show it, and one that has none must not.
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
        if let Some(limited) = self.limited(endpoint, Some(&credentials.id), parts) {
            return Err(ClientAuthError::Limited(limited));
        }
        let client = self.client(&credentials.id).await?.ok_or_else(|| {
            refuse(Refusal::invalid_client(
                "client_unknown",
                "there is no such client; register again",
            ))
        })?;
        match (client.secret, credentials.secrets.is_empty()) {
            (None, true) => Ok(client),
            (None, false) => Err(refuse(Refusal::invalid_client(
                "secret_unexpected",
                "the client is registered without a secret",
            ))),
            (Some(_), true) => Err(refuse(Refusal::invalid_client(
                "secret_missing",
                "the client must authenticate with its secret",
            ))),
            (Some(expected), false) => {
                let expired = client.secret_expires_at.is_some_and(|at| at <= self.now());
                // Digests compare in constant time.
                let matches = credentials
                    .secrets
                    .iter()
                    .any(|secret| Digest::of(secret) == expected);
                if matches && !expired {
                    Ok(client)
                } else {
                    Err(refuse(WRONG_SECRET))
                }
            }
        }
    }
}

fn read(headers: &HeaderMap, params: &Params<'_>) -> Result<Credentials, Refusal> {
    let id = params.get("client_id");
    let secret = params.get("client_secret");
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
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
        });
    };
    if lines.next().is_some() || secret.is_some() {
        return Err(Refusal::invalid_request(
            "two_credentials",
            "the client authenticated more than once",
        ));
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
