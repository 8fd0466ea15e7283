//! What an authorization request asks for, once its client and redirect URI are known good.
//!
//! Everything refused here may be answered at the redirect URI (RFC 6749 §4.1.2.1).

use super::{ErrorCode, Refusal};
use crate::{
    client::Client,
    params::Params,
    pkce::CodeChallenge,
    resource::{Catalog, KnownResource},
    scope::Scopes,
    secret::is_handle,
    store::record::AuthorizationRequest,
    uri::ResourceUri,
};

/// How much is kept until the user decides and then handed back, in bytes.
const MAX_KEPT: usize = 8 * 1024;

/// Decides on the parameters of an authorization request.
pub(crate) fn decide(
    params: &Params<'_>,
    client: &Client,
    redirect_uri: &str,
    catalog: &Catalog,
) -> Result<AuthorizationRequest, Refusal> {
    if params.any_repeated() {
        return Err(Refusal::invalid_request(
            "repeated_parameter",
            "a parameter was sent more than once",
        ));
    }
    refuse_request_objects(params)?;
    let kept = ["state", "nonce", "login_hint"]
        .into_iter()
        .filter_map(|name| params.get(name));
    if kept.map(str::len).sum::<usize>() > MAX_KEPT {
        return Err(Refusal::invalid_request(
            "parameter_too_long",
            "state, nonce and login_hint may have 8192 bytes together",
        ));
    }
    match params.get("response_type") {
        Some("code") => {}
        None => {
            return Err(Refusal::invalid_request(
                "response_type_missing",
                "response_type is missing; use code",
            ));
        }
        Some(_) => {
            return Err(Refusal::new(
                ErrorCode::UnsupportedResponseType,
                "response_type_unsupported",
                "the only response_type is code",
            ));
        }
    }
    if params
        .get("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        return Err(Refusal::invalid_request(
            "response_mode_unsupported",
            "the only response_mode is query",
        ));
    }
    let code_challenge = challenge(params)?;
    let resource = resource(params, catalog)?;
    let prompt = prompt(params)?;
    Ok(AuthorizationRequest {
        client_id: client.id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        scopes: scopes(params, client, resource, catalog)?,
        resource: resource.uri.clone(),
        state: params.get("state").map(str::to_owned),
        code_challenge,
        nonce: params.get("nonce").map(str::to_owned),
        prompt_consent: prompt.consent,
        prompt_login: prompt.login,
        prompt_none: prompt.none,
        max_age: max_age(params)?,
        dpop_jkt: dpop_jkt(params)?,
        login_hint: params.get("login_hint").map(str::to_owned),
        hinted: None,
    })
}

/// OpenID Connect Core §3.1.2.1.
fn max_age(params: &Params<'_>) -> Result<Option<u64>, Refusal> {
    params
        .get("max_age")
        .map(|text| {
            text.parse().map_err(|_| {
                Refusal::invalid_request("max_age_malformed", "max_age is not a number of seconds")
            })
        })
        .transpose()
}

/// RFC 9449 §10: the code is for whoever has this key.
fn dpop_jkt(params: &Params<'_>) -> Result<Option<String>, Refusal> {
    match params.get("dpop_jkt") {
        // Nobody could ever redeem the code.
        _ if !cfg!(feature = "jwt") => Ok(None),
        None => Ok(None),
        Some(jkt) if is_handle(jkt) => Ok(Some(jkt.to_owned())),
        Some(_) => Err(Refusal::invalid_request(
            "dpop_jkt_malformed",
            "dpop_jkt is not a SHA-256 thumbprint",
        )),
    }
}

/// OpenID Connect Core §6.1, §7.2.1: features a client must be told are missing.
fn refuse_request_objects(params: &Params<'_>) -> Result<(), Refusal> {
    for (name, code) in [
        ("request", ErrorCode::RequestNotSupported),
        ("request_uri", ErrorCode::RequestUriNotSupported),
        ("registration", ErrorCode::RegistrationNotSupported),
    ] {
        if params.get(name).is_some() {
            return Err(Refusal::new(
                code,
                "request_object",
                "send the parameters themselves, not in a request object",
            ));
        }
    }
    Ok(())
}

/// PKCE is required of everyone, and `S256` is the only method (OAuth 2.1 §4.1.1).
fn challenge(params: &Params<'_>) -> Result<CodeChallenge, Refusal> {
    let Some(challenge) = params.get("code_challenge") else {
        return Err(Refusal::invalid_request(
            "pkce_missing",
            "code_challenge is missing; PKCE with S256 is required",
        ));
    };
    // RFC 7636 §4.3: a missing method means `plain`, which nobody should use.
    if params.get("code_challenge_method") != Some("S256") {
        return Err(Refusal::invalid_request(
            "pkce_method",
            "code_challenge_method must be S256",
        ));
    }
    CodeChallenge::parse(challenge).ok_or(Refusal::invalid_request(
        "pkce_malformed",
        "code_challenge must be 43 to 128 unreserved characters",
    ))
}

/// The one resource the tokens will be for (RFC 8707 §2).
pub(crate) fn resource<'a>(
    params: &Params<'_>,
    catalog: &'a Catalog,
) -> Result<&'a KnownResource, Refusal> {
    let mut found: Option<&KnownResource> = None;
    for asked in params.all("resource") {
        let known = ResourceUri::parse(asked)
            .ok()
            .and_then(|uri| catalog.find(&uri))
            .ok_or(Refusal::new(
                ErrorCode::InvalidTarget,
                "resource_unknown",
                "no such resource is protected here",
            ))?;
        if found.is_some_and(|other| other.uri != known.uri) {
            return Err(Refusal::new(
                ErrorCode::InvalidTarget,
                "resource_ambiguous",
                "ask for one resource at a time",
            ));
        }
        found = Some(known);
    }
    Ok(found.unwrap_or_else(|| catalog.default_resource()))
}

/// Scopes nobody knows are left out, and the token response says what was granted
/// (RFC 6749 §3.3); it is an error only when nothing remains.
pub(super) fn scopes(
    params: &Params<'_>,
    client: &Client,
    resource: &KnownResource,
    catalog: &Catalog,
) -> Result<Scopes, Refusal> {
    const NOTHING_LEFT: Refusal = Refusal::new(
        ErrorCode::InvalidScope,
        "scope_unknown",
        "none of the scopes exists at this resource",
    );
    let asked = params
        .get("scope")
        .or(client.metadata.scope.as_deref())
        .map(Scopes::parse)
        .transpose()
        .map_err(|_| {
            Refusal::new(
                ErrorCode::InvalidScope,
                "scope_malformed",
                "scope is not a space-separated list of scopes",
            )
        })?
        .unwrap_or_else(|| catalog.default_scopes(resource));
    let granted = asked.intersection(&catalog.grantable(resource));
    if granted.is_empty() {
        return Err(NOTHING_LEFT);
    }
    // What a scope contains is said on the consent page, in the token response and to the layer,
    // rather than left for each of them to work out.
    Ok(resource.hierarchy.close(&granted))
}

#[derive(Default)]
struct Prompt {
    none: bool,
    login: bool,
    consent: bool,
}

/// OpenID Connect Core §3.1.2.1. Values nobody knows are ignored.
fn prompt(params: &Params<'_>) -> Result<Prompt, Refusal> {
    let mut prompt = Prompt::default();
    for value in params.get("prompt").unwrap_or_default().split(' ') {
        match value {
            "none" => prompt.none = true,
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => {}
        }
    }
    if prompt.none && (prompt.login || prompt.consent) {
        return Err(Refusal::invalid_request(
            "prompt_contradiction",
            "prompt=none excludes every other prompt",
        ));
    }
    Ok(prompt)
}
