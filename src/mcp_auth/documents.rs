//! What the discovery documents say about a deployment.

use crate::{
    authorization_server::Endpoint,
    discovery::{AuthorizationServerMetadata, Documents},
    grant::device::GRANT_TYPE as DEVICE_GRANT,
    resource::Catalog,
    uri::Issuer,
};
#[cfg(feature = "jwt")]
use crate::{
    authorization_server::{SIGNS, TrustedIssuers},
    grant::JWT_BEARER,
};

/// The profile of the grant of signed assertions that is offered (ID-JAG §7.2).
#[cfg(feature = "jwt")]
const ID_JAG: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// All documents of a deployment.
pub(super) fn of(
    issuer: &Issuer,
    endpoints_path: &str,
    catalog: &Catalog,
    requires_push: bool,
    #[cfg(feature = "jwt")] trusted_issuers: &TrustedIssuers,
    signs_out: bool,
) -> Documents {
    let url =
        |endpoint: Endpoint| format!("{}{endpoints_path}/{}", issuer.origin(), endpoint.segment());
    let mut metadata = AuthorizationServerMetadata::new(
        issuer.as_str(),
        url(Endpoint::Authorize),
        url(Endpoint::Token),
    );
    metadata.registration_endpoint = Some(url(Endpoint::Register));
    metadata.client_id_metadata_document_supported = cfg!(feature = "cimd");
    #[cfg(feature = "jwt")]
    {
        describe_signatures(&mut metadata, catalog, &url);
        metadata.end_session_endpoint = signs_out.then(|| url(Endpoint::EndSession));
        let methods = &mut metadata.token_endpoint_auth_methods_supported;
        methods.push("private_key_jwt");
        // RFC 8414 §2 wants it said again for each endpoint that takes assertions.
        let algorithms = crate::jwt::Algorithm::ALL
            .map(crate::jwt::Algorithm::name)
            .to_vec();
        metadata
            .token_endpoint_auth_signing_alg_values_supported
            .clone_from(&algorithms);
        metadata
            .revocation_endpoint_auth_signing_alg_values_supported
            .clone_from(&algorithms);
        metadata.introspection_endpoint_auth_signing_alg_values_supported = algorithms;
    }
    #[cfg(not(feature = "jwt"))]
    let _ = signs_out;
    metadata.device_authorization_endpoint = Some(url(Endpoint::DeviceAuthorization));
    metadata.grant_types_supported.push(DEVICE_GRANT);
    #[cfg(feature = "jwt")]
    if !trusted_issuers.is_empty() {
        metadata.grant_types_supported.push(JWT_BEARER);
        metadata.authorization_grant_profiles_supported = vec![ID_JAG];
    }
    metadata.pushed_authorization_request_endpoint = Some(url(Endpoint::PushedAuthorization));
    metadata.require_pushed_authorization_requests = requires_push;
    metadata.revocation_endpoint = Some(url(Endpoint::Revoke));
    metadata
        .revocation_endpoint_auth_methods_supported
        .clone_from(&metadata.token_endpoint_auth_methods_supported);
    metadata.introspection_endpoint = Some(url(Endpoint::Introspect));
    metadata.introspection_endpoint_auth_methods_supported = metadata
        .token_endpoint_auth_methods_supported
        .iter()
        .copied()
        .filter(|method| *method != "none")
        .collect();
    metadata.scopes_supported = catalog.advertised().iter().map(str::to_owned).collect();
    #[cfg(feature = "jwt")]
    {
        metadata.dpop_signing_alg_values_supported = crate::jwt::DpopProof::algorithms().collect();
    }
    metadata.protected_resources = catalog
        .resources()
        .iter()
        .map(|resource| resource.uri.to_string())
        .collect();
    Documents::new(&metadata, issuer, catalog, endpoints_path)
}

/// Where the keys are, and what OpenID Connect Discovery §3 wants said besides where users can be
/// named at all.
#[cfg(feature = "jwt")]
fn describe_signatures(
    metadata: &mut AuthorizationServerMetadata,
    catalog: &Catalog,
    url: &dyn Fn(Endpoint) -> String,
) {
    if catalog.speaks_openid() || catalog.signs_access_tokens() {
        metadata.jwks_uri = Some(url(Endpoint::Jwks));
    }
    if !catalog.speaks_openid() {
        return;
    }
    metadata.userinfo_endpoint = Some(url(Endpoint::Userinfo));
    metadata.subject_types_supported = vec!["public"];
    metadata.id_token_signing_alg_values_supported =
        SIGNS.map(crate::jwt::Algorithm::name).to_vec();
    metadata.claims_supported = CLAIMS.to_vec();
    metadata.prompt_values_supported = vec!["none", "login", "consent", "select_account"];
    // Supported where nothing is said (OpenID Connect Discovery §3).
    metadata.request_uri_parameter_supported = Some(false);
}

/// The claims of an id_token; what userinfo tells besides is the application's.
#[cfg(feature = "jwt")]
const CLAIMS: [&str; 9] = [
    "iss",
    "sub",
    "aud",
    "iat",
    "exp",
    "auth_time",
    "nonce",
    "sid",
    "at_hash",
];
