//! The members of both documents. What is absent is left out: clients refuse `null` and RFC 9728
//! §3.2 forbids empty arrays.

use serde::Serialize;

/// Authorization server metadata (RFC 8414 §2).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AuthorizationServerMetadata {
    /// The issuer, byte for byte as configured.
    pub issuer: String,
    /// Where browsers begin.
    pub authorization_endpoint: String,
    /// Where tokens come from.
    pub token_endpoint: String,
    /// Where clients introduce themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// Every scope that can be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// `code`.
    pub response_types_supported: Vec<&'static str>,
    /// `query`.
    pub response_modes_supported: Vec<&'static str>,
    /// The grants of the token endpoint.
    pub grant_types_supported: Vec<&'static str>,
    /// Which profiles of these grants there are (ID-JAG §7.2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_grant_profiles_supported: Vec<&'static str>,
    /// How clients may authenticate.
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Where devices without a browser begin (RFC 8628).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_authorization_endpoint: Option<String>,
    /// Where clients give tokens back (RFC 7009).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// How clients may authenticate there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// With what clients may sign assertions there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// Where resource servers ask about tokens (RFC 7662).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    /// How they may authenticate there: never not at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    /// With what they may sign assertions there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// Where clients push authorization requests (RFC 9126).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<String>,
    /// Whether they must.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_pushed_authorization_requests: bool,
    /// `S256`.
    pub code_challenge_methods_supported: Vec<&'static str>,
    /// RFC 9207: every answer carries `iss`.
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether a `client_id` may be the address of a metadata document.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub client_id_metadata_document_supported: bool,
    /// With what clients may sign assertions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// What proofs of a key may be signed with (RFC 9449 §5.1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<&'static str>,
    /// The keys that tokens are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Where clients send their user to sign out (OpenID Connect RP-Initiated Logout §2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_session_endpoint: Option<String>,
    /// What a token may know of its user (OpenID Connect Discovery §3, as what follows).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_endpoint: Option<String>,
    /// `public`: a user has the same name for all clients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_types_supported: Vec<&'static str>,
    /// What id_tokens are signed with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id_token_signing_alg_values_supported: Vec<&'static str>,
    /// What id_tokens say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims_supported: Vec<&'static str>,
    /// What a client may ask to be done before it is answered (OpenID Connect Prompt Create §4.1
    /// names the member).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompt_values_supported: Vec<&'static str>,
    /// Whether requests may be fetched from the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_uri_parameter_supported: Option<bool>,
    /// The resources that tokens can be asked for (RFC 9728 §4).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protected_resources: Vec<String>,
    /// A page for developers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_documentation: Option<String>,
}

impl AuthorizationServerMetadata {
    /// A document with nothing optional in it.
    pub fn new(
        issuer: impl Into<String>,
        authorization_endpoint: impl Into<String>,
        token_endpoint: impl Into<String>,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            authorization_endpoint: authorization_endpoint.into(),
            token_endpoint: token_endpoint.into(),
            registration_endpoint: None,
            scopes_supported: Vec::new(),
            response_types_supported: vec!["code"],
            response_modes_supported: vec!["query"],
            grant_types_supported: vec![
                "authorization_code",
                "refresh_token",
                "client_credentials",
            ],
            authorization_grant_profiles_supported: Vec::new(),
            token_endpoint_auth_methods_supported: vec![
                "none",
                "client_secret_post",
                "client_secret_basic",
            ],
            device_authorization_endpoint: None,
            revocation_endpoint: None,
            revocation_endpoint_auth_methods_supported: Vec::new(),
            revocation_endpoint_auth_signing_alg_values_supported: Vec::new(),
            introspection_endpoint: None,
            introspection_endpoint_auth_methods_supported: Vec::new(),
            introspection_endpoint_auth_signing_alg_values_supported: Vec::new(),
            pushed_authorization_request_endpoint: None,
            require_pushed_authorization_requests: false,
            code_challenge_methods_supported: vec!["S256"],
            authorization_response_iss_parameter_supported: true,
            client_id_metadata_document_supported: false,
            token_endpoint_auth_signing_alg_values_supported: Vec::new(),
            dpop_signing_alg_values_supported: Vec::new(),
            jwks_uri: None,
            end_session_endpoint: None,
            userinfo_endpoint: None,
            subject_types_supported: Vec::new(),
            id_token_signing_alg_values_supported: Vec::new(),
            claims_supported: Vec::new(),
            prompt_values_supported: Vec::new(),
            request_uri_parameter_supported: None,
            protected_resources: Vec::new(),
            service_documentation: None,
        }
    }
}

/// Protected resource metadata (RFC 9728 §2).
///
/// ```
/// use tower_mcp_auth::{MetadataResponder, ProtectedResourceMetadata};
///
/// let mut document = ProtectedResourceMetadata::new(
///     "https://api.example.com/mcp",
///     ["https://login.example.com"],
/// );
/// document.scopes_supported = vec!["notes:read".to_owned()];
/// let service = MetadataResponder::new(&document);
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProtectedResourceMetadata {
    /// The resource, byte for byte as clients are given it.
    pub resource: String,
    /// Who issues tokens for it.
    pub authorization_servers: Vec<String>,
    /// Its scopes. Never `offline_access`, which is no business of a resource.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// `header`.
    pub bearer_methods_supported: Vec<&'static str>,
    /// What proofs of a key may be signed with (RFC 9449 §7).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<&'static str>,
    /// Whether only tokens that are bound to a key are good.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dpop_bound_access_tokens_required: bool,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// A page for developers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_documentation: Option<String>,
}

impl ProtectedResourceMetadata {
    /// A document with nothing optional in it.
    pub fn new<I>(resource: impl Into<String>, authorization_servers: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            resource: resource.into(),
            authorization_servers: authorization_servers.into_iter().map(Into::into).collect(),
            scopes_supported: Vec::new(),
            bearer_methods_supported: vec!["header"],
            dpop_signing_alg_values_supported: Vec::new(),
            dpop_bound_access_tokens_required: false,
            resource_name: None,
            resource_documentation: None,
        }
    }
}
