//! Client metadata (RFC 7591 §2) as it is stored and echoed: validated, bounded, without secrets.

use serde::{Deserialize, Serialize};

/// How a client authenticates at the token endpoint (RFC 7591 §2, `token_endpoint_auth_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientAuthMethod {
    /// Not at all: a public client, held to PKCE.
    None,
    /// With a secret in the body.
    ClientSecretPost,
    /// With a secret in the `Authorization` header.
    ClientSecretBasic,
    /// With an assertion that it signed (RFC 7523).
    PrivateKeyJwt,
}

impl ClientAuthMethod {
    /// Whether it needs a secret.
    pub(crate) const fn takes_secret(self) -> bool {
        matches!(self, Self::ClientSecretPost | Self::ClientSecretBasic)
    }
}

/// Which rules a client's redirect URIs follow (OpenID Connect Registration §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApplicationType {
    /// A program on the user's own machine.
    Native,
    /// A web server.
    Web,
}

/// What a client said about itself, after validation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMetadata {
    /// The usable ones of the redirect URIs it sent, in its order.
    pub redirect_uris: Vec<String>,
    /// How it authenticates.
    pub token_endpoint_auth_method: ClientAuthMethod,
    /// One or more of `authorization_code`, the device grant and that of signed assertions, and
    /// `refresh_token` where asked for.
    pub grant_types: Vec<String>,
    /// `code`; nothing for a client that is never redirected.
    pub response_types: Vec<String>,
    /// Inferred from the redirect URIs where the client said nothing.
    pub application_type: ApplicationType,
    /// What it will ask for when it names no scope.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<String>,
    /// The name people see.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_name: Option<String>,
    /// Its home page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_uri: Option<String>,
    /// Its logo.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub logo_uri: Option<String>,
    /// Its terms of service.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tos_uri: Option<String>,
    /// Its privacy policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_uri: Option<String>,
    /// Whom to write to.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub contacts: Vec<String>,
    /// The software, whatever its instance.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub software_id: Option<String>,
    /// The software's version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub software_version: Option<String>,
    /// Its public keys (RFC 7517).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jwks: Option<serde_json::Value>,
    /// Where its public keys are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jwks_uri: Option<String>,
    /// Whether it always wants tokens that are bound to a key (RFC 9449 §5.2).
    #[serde(skip_serializing_if = "is_false", default)]
    pub dpop_bound_access_tokens: bool,
    /// Where a user may be sent after signing out (OpenID Connect RP-Initiated Logout §3.1).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// The one algorithm it signs assertions with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_endpoint_auth_signing_alg: Option<String>,
    /// What its id_tokens are signed with (OpenID Connect Registration §2): `RS256` where it says
    /// nothing, or `EdDSA`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id_token_signed_response_alg: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}
