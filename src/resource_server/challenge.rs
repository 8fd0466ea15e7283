//! Answers to requests that are turned away (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1), put
//! together once.

use std::fmt::Write;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

use super::{Refusal, bearer::Scheme, cors, guard::Guard};
use crate::{scope::Scopes, uri::ResourceUri};

/// The answers of one layer.
#[derive(Clone, Debug)]
pub(crate) struct Challenges {
    metadata: ResourceUri,
    /// In place of `Bearer`, where that is never good enough.
    scheme: Scheme,
    /// One for each of [`Refusal::ALL`], in that order.
    prepared: [Prepared; Refusal::ALL.len()],
}

#[derive(Clone, Debug)]
struct Prepared {
    challenge: Option<HeaderValue>,
    /// For who came with the scheme `DPoP`.
    #[cfg(feature = "jwt")]
    dpop: Option<HeaderValue>,
    body: Bytes,
}

impl Challenges {
    /// The challenges of `guard`. Whoever comes without a good token is asked for `wanted`, whoever
    /// comes with too weak a one for `required`.
    pub(crate) fn new(guard: &Guard, wanted: &Scopes, required: &Scopes) -> Self {
        let metadata = &guard.metadata_url;
        #[cfg(feature = "jwt")]
        let scheme = if guard.requires_dpop {
            Scheme::Dpop
        } else {
            Scheme::Bearer
        };
        #[cfg(not(feature = "jwt"))]
        let scheme = Scheme::Bearer;
        let prepared = Refusal::ALL.map(|refusal| {
            let scopes = if refusal == Refusal::InsufficientScope {
                required
            } else {
                wanted
            };
            Prepared {
                challenge: challenge(refusal, metadata, scopes, scheme),
                #[cfg(feature = "jwt")]
                dpop: challenge(refusal, metadata, scopes, Scheme::Dpop),
                body: body(refusal),
            }
        });
        Self {
            metadata: metadata.clone(),
            scheme,
            prepared,
        }
    }

    /// The answer to a request that came in `scheme`.
    pub(crate) fn response(&self, refusal: Refusal, scheme: Scheme) -> Response<Bytes> {
        let prepared = &self.prepared[refusal as usize];
        let challenge = match scheme {
            Scheme::Bearer => &prepared.challenge,
            #[cfg(feature = "jwt")]
            Scheme::Dpop => &prepared.dpop,
        };
        respond(refusal, challenge.clone(), prepared.body.clone())
    }

    /// Insufficient scope for an operation that needs `required`.
    pub(crate) fn insufficient(&self, required: &Scopes, scheme: Scheme) -> Response<Bytes> {
        let refusal = Refusal::InsufficientScope;
        let scheme = match scheme {
            Scheme::Bearer => self.scheme,
            #[cfg(feature = "jwt")]
            Scheme::Dpop => scheme,
        };
        respond(
            refusal,
            challenge(refusal, &self.metadata, required, scheme),
            body(refusal),
        )
    }
}

/// One header line with one scheme: parsers in use read it with a regular expression over the
/// whole line, so every parameter is quoted and none appears twice.
fn challenge(
    refusal: Refusal,
    metadata: &ResourceUri,
    scopes: &Scopes,
    scheme: Scheme,
) -> Option<HeaderValue> {
    if !matches!(refusal.status().as_u16(), 400 | 401 | 403)
        || (refusal.error().is_none() && refusal != Refusal::NoCredentials)
    {
        return None;
    }
    let mut text = scheme.name().to_owned();
    text.push(' ');
    if let Some(error) = refusal.error() {
        let description = refusal.description();
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            text,
            "error=\"{error}\", error_description=\"{description}\", "
        );
    }
    #[cfg(feature = "jwt")]
    if scheme == Scheme::Dpop {
        let _ = write!(text, "algs=\"{}\", ", super::proof::algorithms());
    }
    let _ = write!(text, "resource_metadata=\"{metadata}\"");
    if !scopes.is_empty() {
        let _ = write!(text, ", scope=\"{scopes}\"");
    }
    #[expect(
        clippy::expect_used,
        reason = "URLs and scopes are ASCII without controls, quotes and backslashes"
    )]
    let value = HeaderValue::try_from(text).expect("only visible ASCII");
    Some(value)
}

fn respond(refusal: Refusal, challenge: Option<HeaderValue>, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = refusal.status();
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = challenge {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if refusal == Refusal::VerifierUnavailable {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    cors::allow(headers);
    response.extensions_mut().insert(refusal);
    response
}

/// An error as MCP clients print it. The request's own id is not known here.
fn body(refusal: Refusal) -> Bytes {
    #[derive(Serialize)]
    struct Message {
        jsonrpc: &'static str,
        error: Error,
        id: Option<()>,
    }
    #[derive(Serialize)]
    struct Error {
        code: i32,
        message: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<Data>,
    }
    #[derive(Serialize)]
    struct Data {
        error: &'static str,
        error_description: &'static str,
    }
    let message = Message {
        jsonrpc: "2.0",
        error: Error {
            code: refusal.code(),
            message: refusal.description(),
            data: refusal.error().map(|error| Data {
                error,
                error_description: refusal.description(),
            }),
        },
        id: None,
    };
    // Three constant strings always serialize.
    serde_json::to_vec(&message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_listed_in_their_order() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
        }
    }

    /// RS-11 and RS-14: the character set, and nothing in a description that reads as a parameter.
    #[test]
    fn descriptions_cannot_be_taken_for_parameters() {
        for refusal in Refusal::ALL {
            let text = refusal.description();
            assert!(
                text.bytes()
                    .all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
                "{text}"
            );
            assert!(!text.contains('=') && !text.contains(','), "{text}");
        }
    }
}
