//! Why a request was turned away.

use std::fmt;

use http::StatusCode;

/// Why a protected resource turned a request away. Also found in the extensions of that response,
/// so that outer layers can count and explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// No `Authorization` header, or one of another scheme than `Bearer` and `DPoP`.
    NoCredentials,
    /// More than one `Authorization` header.
    TwoCredentials,
    /// What follows the scheme is empty, too long, or no token.
    MalformedToken,
    /// Nobody issued this token.
    UnknownToken,
    /// The token's time is over.
    ExpiredToken,
    /// The token or its grant was revoked.
    RevokedToken,
    /// The token is for another resource.
    WrongAudience,
    /// The token is good and does not allow this.
    InsufficientScope,
    /// Nobody can say at the moment whether the token is good.
    VerifierUnavailable,
    /// The MCP session belongs to somebody else, or is none, or is over.
    SessionNotFound,
    /// The request's body is no unambiguous JSON-RPC message.
    MalformedMessage,
    /// The request's body is too long to decide what it asks for.
    MessageTooLarge,
    /// The request's body did not come in time.
    MessageTooSlow,
    /// `Mcp-Method` and `Mcp-Name` do not say clearly what is asked for.
    MalformedHeaders,
    /// The token is bound to a key and came without the scheme that proves it.
    BoundToken,
    /// The token is bound to no key where it has to be: it came with the scheme `DPoP`, or the
    /// resource takes only bound ones.
    UnboundToken,
    /// There is no `DPoP` header, or there are several.
    MissingProof,
    /// The `DPoP` proof is not well-formed, not signed, or made for another request or token.
    BadProof,
    /// The `DPoP` proof is too old, or from the future.
    StaleProof,
    /// The `DPoP` proof does not contain a nonce that was handed out lately.
    MissingNonce,
    /// The `DPoP` proof was used before.
    ReplayedProof,
    /// The `DPoP` proof is of another key than the token.
    OtherKey,
}

impl Refusal {
    pub(crate) const ALL: [Self; 22] = [
        Self::NoCredentials,
        Self::TwoCredentials,
        Self::MalformedToken,
        Self::UnknownToken,
        Self::ExpiredToken,
        Self::RevokedToken,
        Self::WrongAudience,
        Self::InsufficientScope,
        Self::VerifierUnavailable,
        Self::SessionNotFound,
        Self::MalformedMessage,
        Self::MessageTooLarge,
        Self::MessageTooSlow,
        Self::MalformedHeaders,
        Self::BoundToken,
        Self::UnboundToken,
        Self::MissingProof,
        Self::BadProof,
        Self::StaleProof,
        Self::MissingNonce,
        Self::ReplayedProof,
        Self::OtherKey,
    ];

    /// A short name that stays the same between versions, for logs, metrics and alerts.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::TwoCredentials => "two_credentials",
            Self::MalformedToken => "malformed_token",
            Self::UnknownToken => "unknown_token",
            Self::ExpiredToken => "expired_token",
            Self::RevokedToken => "revoked_token",
            Self::WrongAudience => "wrong_audience",
            Self::InsufficientScope => "insufficient_scope",
            Self::VerifierUnavailable => "verifier_unavailable",
            Self::SessionNotFound => "session_not_found",
            Self::MalformedMessage => "malformed_message",
            Self::MessageTooLarge => "message_too_large",
            Self::MessageTooSlow => "message_too_slow",
            Self::MalformedHeaders => "malformed_headers",
            Self::BoundToken => "bound_token",
            Self::UnboundToken => "unbound_token",
            Self::MissingProof => "dpop_missing",
            Self::BadProof => "dpop_invalid",
            Self::StaleProof => "dpop_stale",
            Self::MissingNonce => "dpop_nonce",
            Self::ReplayedProof => "dpop_replayed",
            Self::OtherKey => "dpop_other_key",
        }
    }

    /// The status of the response.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NoCredentials
            | Self::MalformedToken
            | Self::UnknownToken
            | Self::ExpiredToken
            | Self::RevokedToken
            | Self::WrongAudience
            | Self::BoundToken
            | Self::UnboundToken
            | Self::MissingProof
            | Self::BadProof
            | Self::StaleProof
            | Self::MissingNonce
            | Self::ReplayedProof
            | Self::OtherKey => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::TwoCredentials | Self::MalformedMessage | Self::MalformedHeaders => {
                StatusCode::BAD_REQUEST
            }
            Self::SessionNotFound => StatusCode::NOT_FOUND,
            Self::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MessageTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::VerifierUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The OAuth error code (RFC 6750 §3.1, RFC 9449 §7.1), `None` where the protocol has none: a request without
    /// credentials is told only where to get some.
    #[must_use]
    pub const fn error(self) -> Option<&'static str> {
        match self {
            Self::TwoCredentials => Some("invalid_request"),
            Self::MalformedToken
            | Self::UnknownToken
            | Self::ExpiredToken
            | Self::RevokedToken
            | Self::WrongAudience
            | Self::BoundToken
            | Self::UnboundToken
            | Self::OtherKey => Some("invalid_token"),
            Self::MissingProof | Self::BadProof | Self::StaleProof | Self::ReplayedProof => {
                Some("invalid_dpop_proof")
            }
            Self::MissingNonce => Some("use_dpop_nonce"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::VerifierUnavailable => Some("temporarily_unavailable"),
            Self::NoCredentials
            | Self::SessionNotFound
            | Self::MalformedMessage
            | Self::MessageTooLarge
            | Self::MessageTooSlow
            | Self::MalformedHeaders => None,
        }
    }

    /// What a person reads. Stands in a header too, so it has no quotes, no backslashes, and
    /// nothing that a careless parser would take for a parameter.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::NoCredentials => "Sign in to use this resource",
            Self::TwoCredentials => "Send exactly one Authorization header",
            Self::MalformedToken => "The access token is not well-formed",
            Self::UnknownToken => "The access token is not known here",
            Self::ExpiredToken => "The access token has expired",
            Self::RevokedToken => "The access token was revoked",
            Self::WrongAudience => "The access token was issued for another resource",
            Self::InsufficientScope => "The access token does not allow this operation",
            Self::VerifierUnavailable => {
                "Access tokens cannot be checked at the moment; try again shortly"
            }
            Self::SessionNotFound => "Session not found",
            Self::MalformedMessage => "The body is not an unambiguous JSON-RPC message",
            Self::MessageTooLarge => "The body is too large",
            Self::MessageTooSlow => "The body took too long",
            Self::MalformedHeaders => "Mcp-Method and Mcp-Name must each be sent once and readable",
            Self::BoundToken => "The access token is bound to a key and needs the scheme DPoP",
            Self::UnboundToken => "The access token is not bound to a key",
            Self::MissingProof => "Send exactly one DPoP header",
            Self::BadProof => "The DPoP proof is not well-formed or not for this request",
            Self::StaleProof => "The DPoP proof is too old or from the future",
            Self::MissingNonce => "The DPoP proof needs the nonce of the header DPoP-Nonce",
            Self::ReplayedProof => "The DPoP proof was used before",
            Self::OtherKey => "The DPoP proof is of another key than the access token",
        }
    }

    /// The error code of the JSON-RPC shaped body.
    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::MalformedMessage | Self::MessageTooLarge | Self::MessageTooSlow => -32600,
            // HeaderMismatch, as MCP 2026-07-28 has it.
            Self::MalformedHeaders => -32020,
            _ => -32001,
        }
    }

    /// Whether well-behaved clients cause it all the time, or an event of its own tells of it.
    #[cfg(feature = "tracing")]
    pub(crate) const fn is_routine(self) -> bool {
        matches!(
            self,
            Self::NoCredentials
                | Self::UnknownToken
                | Self::MalformedToken
                | Self::ExpiredToken
                | Self::SessionNotFound
                | Self::VerifierUnavailable
                | Self::MissingNonce
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_as_its_description() {
        for refusal in Refusal::ALL {
            assert_eq!(refusal.to_string(), refusal.description());
        }
    }
}
