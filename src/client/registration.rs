//! Dynamic client registration (RFC 7591): from a stranger's JSON to metadata worth storing.
//!
//! Real clients list redirect URIs and grants that a server may not know; RFC 7591 §2 lets the
//! server replace what it cannot use, so one odd entry never costs a client its registration.

mod fields;
mod keys;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use self::{
    fields::{member, name, strings, text, url},
    keys::{auth_method, dpop_bound, id_token_alg, jwks, signing_alg},
};
use super::{
    metadata::{ApplicationType, ClientMetadata},
    redirect,
};
use crate::{
    grant::{JWT_BEARER, device},
    json::parse_strictly,
    scope::Scopes,
    secret::{Digest, base64url, is_handle, random_handle},
};

/// What the ids begin with that are given here.
const GIVEN: &str = "mcp_";
/// All of it is kept for as long as the client is.
const MAX_BYTES: usize = 16 * 1024;
const MAX_REDIRECT_URIS: usize = 32;
const MAX_LIST: usize = 32;
/// What is told who sends something else.
pub(crate) const NO_OBJECT: &str =
    "the body is not a JSON object in which every member stands once";

/// Why a registration is refused: an RFC 7591 §3.2.2 code and a description.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RegistrationError {
    pub(crate) code: &'static str,
    pub(crate) description: String,
}

fn invalid(description: impl Into<String>) -> RegistrationError {
    RegistrationError {
        code: "invalid_client_metadata",
        description: description.into(),
    }
}

fn invalid_redirect(description: impl Into<String>) -> RegistrationError {
    RegistrationError {
        code: "invalid_redirect_uri",
        description: description.into(),
    }
}

/// What a server has for its clients.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// The scopes that it can grant at all.
    pub(crate) scopes: Scopes,
    /// Whether it takes assertions of identity providers.
    pub(crate) jwt_bearer: bool,
}

/// Reads a registration request.
pub(crate) fn parse(body: &[u8], offer: &Offer) -> Result<ClientMetadata, RegistrationError> {
    if body.len() > MAX_BYTES {
        return Err(invalid(format!(
            "a registration may have {MAX_BYTES} bytes"
        )));
    }
    let Some(fields) = parse_strictly(body) else {
        return Err(invalid(NO_OBJECT));
    };
    let asked_type = application_type(&fields)?;
    let grant_types = grant_types(&fields, offer)?;
    // A client that is never redirected, such as a device, needs no address for it, and one that it
    // names all the same must not become a way around its own grants.
    let is_redirected = grant_types
        .iter()
        .any(|grant| grant == "authorization_code");
    let redirect_uris = match is_redirected {
        true => redirect_uris(&fields, asked_type)?,
        false => Vec::new(),
    };
    if fields.contains_key("jwks") && fields.contains_key("jwks_uri") {
        return Err(invalid("jwks and jwks_uri exclude each other"));
    }
    Ok(ClientMetadata {
        application_type: asked_type.unwrap_or_else(|| infer_type(&redirect_uris)),
        redirect_uris,
        token_endpoint_auth_method: auth_method(&fields)?,
        grant_types,
        response_types: response_types(&fields, is_redirected)?,
        scope: scope(&fields, &offer.scopes)?,
        client_name: name(&fields, "client_name")?,
        client_uri: url(&fields, "client_uri")?,
        logo_uri: url(&fields, "logo_uri")?,
        tos_uri: url(&fields, "tos_uri")?,
        policy_uri: url(&fields, "policy_uri")?,
        contacts: strings(&fields, "contacts", MAX_LIST)?.unwrap_or_default(),
        software_id: text(&fields, "software_id")?,
        software_version: text(&fields, "software_version")?,
        jwks: jwks(&fields)?,
        jwks_uri: url(&fields, "jwks_uri")?,
        dpop_bound_access_tokens: dpop_bound(&fields)?,
        post_logout_redirect_uris: post_logout_redirect_uris(&fields, asked_type)?,
        token_endpoint_auth_signing_alg: signing_alg(&fields)?,
        id_token_signed_response_alg: id_token_alg(&fields)?,
    })
}

/// Native unless every redirect URI is an `https` one: most clients say nothing, and theirs are
/// loopback or private-scheme URIs.
pub(crate) fn infer_type(redirect_uris: &[String]) -> ApplicationType {
    let all_https = redirect_uris
        .iter()
        .all(|uri| redirect::classify(uri) == Ok(redirect::RedirectKind::Https));
    if all_https {
        ApplicationType::Web
    } else {
        ApplicationType::Native
    }
}

/// The id of a public client: its metadata decides it, so the same program registering again gets
/// the same id back and leaves no second row.
pub(crate) fn content_id(metadata: &ClientMetadata) -> String {
    let canonical = serde_json::to_string(metadata).unwrap_or_default();
    format!("{GIVEN}{}", base64url(Digest::of(&canonical).as_bytes()))
}

/// A new id, for a client that has something of its own.
pub(crate) fn random_id() -> String {
    format!("{GIVEN}{}", *random_handle())
}

/// Whether `id` has the form of those that are given here.
pub(crate) fn is_given_id(id: &str) -> bool {
    id.strip_prefix(GIVEN).is_some_and(is_handle)
}

fn application_type(
    fields: &Map<String, Value>,
) -> Result<Option<ApplicationType>, RegistrationError> {
    match member(fields, "application_type").map(Value::as_str) {
        None => Ok(None),
        Some(Some("native")) => Ok(Some(ApplicationType::Native)),
        Some(Some("web")) => Ok(Some(ApplicationType::Web)),
        Some(_) => Err(invalid("application_type must be native or web")),
    }
}

fn redirect_uris(
    fields: &Map<String, Value>,
    asked: Option<ApplicationType>,
) -> Result<Vec<String>, RegistrationError> {
    let sent = strings(fields, "redirect_uris", MAX_REDIRECT_URIS)
        .map_err(|error| invalid_redirect(error.description))?
        .unwrap_or_default();
    let mut usable: Vec<String> = Vec::with_capacity(sent.len());
    let mut reason = "redirect_uris must name at least one URI".to_owned();
    for uri in sent {
        match redirect::classify(&uri) {
            Ok(kind) if asked.is_none_or(|asked| asked.allows(kind)) => {
                if !usable.contains(&uri) {
                    usable.push(uri);
                }
            }
            Ok(_) => {
                reason = "a client of application_type web has https redirect URIs only, and none on localhost".to_owned();
            }
            Err(why) => reason = format!("a redirect URI cannot be used: {}", why.reason()),
        }
    }
    if usable.is_empty() {
        return Err(invalid_redirect(reason));
    }
    Ok(usable)
}

/// Where a user may be sent after signing out (OpenID Connect RP-Initiated Logout §3.1). A client
/// without any is as good, so what cannot be used is left out.
fn post_logout_redirect_uris(
    fields: &Map<String, Value>,
    asked: Option<ApplicationType>,
) -> Result<Vec<String>, RegistrationError> {
    // Nobody is ever signed out.
    if !cfg!(feature = "jwt") {
        return Ok(Vec::new());
    }
    let sent = strings(fields, "post_logout_redirect_uris", MAX_REDIRECT_URIS)?;
    let mut usable: Vec<String> = Vec::new();
    for uri in sent.unwrap_or_default() {
        let allowed =
            redirect::classify(&uri).is_ok_and(|kind| asked.is_none_or(|asked| asked.allows(kind)));
        if allowed && !usable.contains(&uri) {
            usable.push(uri);
        }
    }
    Ok(usable)
}

fn grant_types(
    fields: &Map<String, Value>,
    offer: &Offer,
) -> Result<Vec<String>, RegistrationError> {
    let Some(asked) = strings(fields, "grant_types", MAX_LIST)? else {
        return Ok(vec!["authorization_code".to_owned()]);
    };
    let beginnings = ["authorization_code", device::GRANT_TYPE, JWT_BEARER]
        .into_iter()
        .filter(|grant| *grant != JWT_BEARER || offer.jwt_bearer)
        .collect::<Vec<_>>();
    let has = |known: &str| asked.iter().any(|grant| grant == known);
    if !beginnings.iter().any(|grant| has(grant)) {
        return Err(invalid(format!(
            "grant_types must contain one of {}",
            beginnings.join(", ")
        )));
    }
    let (first, others) = beginnings.split_at(1);
    Ok([first, &["refresh_token"][..], others]
        .concat()
        .into_iter()
        .filter(|known| has(known))
        .map(str::to_owned)
        .collect())
}

fn response_types(
    fields: &Map<String, Value>,
    is_redirected: bool,
) -> Result<Vec<String>, RegistrationError> {
    let asked = strings(fields, "response_types", MAX_LIST)?;
    if !is_redirected {
        return Ok(Vec::new());
    }
    if asked.is_some_and(|asked| !asked.iter().any(|response| response == "code")) {
        return Err(invalid("response_types must contain code"));
    }
    Ok(vec!["code".to_owned()])
}

fn scope(
    fields: &Map<String, Value>,
    supported: &Scopes,
) -> Result<Option<String>, RegistrationError> {
    let Some(value) = member(fields, "scope") else {
        return Ok(None);
    };
    let scopes = value
        .as_str()
        .and_then(|list| Scopes::parse(list).ok())
        .ok_or_else(|| invalid("scope must be a space-separated list of scopes"))?
        .intersection(supported);
    Ok((!scopes.is_empty()).then(|| scopes.to_string()))
}
