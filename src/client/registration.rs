//! Dynamic client registration (RFC 7591): from a stranger's JSON to metadata worth storing.
//!
//! Real clients list redirect URIs and grants that a server may not know; RFC 7591 §2 lets the
//! server replace what it cannot use, so one odd entry never costs a client its registration.

use serde_json::{Map, Value};

use super::{
    metadata::{ApplicationType, ClientAuthMethod, ClientMetadata},
    redirect,
};
use crate::{
    grant::{JWT_BEARER, device},
    scope::Scopes,
    secret::{Digest, base64url, is_handle, random_handle},
    uri::ResourceUri,
};

/// What the ids begin with that are given here.
const GIVEN: &str = "mcp_";
const MAX_REDIRECT_URIS: usize = 32;
const MAX_LIST: usize = 32;
const MAX_TEXT: usize = 512;
const MAX_URL: usize = 2048;

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
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        return Err(invalid("the body is not a JSON object"));
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
        client_name: text(&fields, "client_name")?,
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

/// A present, non-null, non-empty member: real clients send `""` and `null` for what they lack.
fn member<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields
        .get(name)
        .filter(|value| !value.is_null() && value.as_str() != Some(""))
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, RegistrationError> {
    let Some(value) = member(fields, name) else {
        return Ok(None);
    };
    let value = value
        .as_str()
        .ok_or_else(|| invalid(format!("{name} must be a string")))?;
    if value.chars().count() > MAX_TEXT {
        return Err(invalid(format!(
            "{name} is longer than {MAX_TEXT} characters"
        )));
    }
    // Invisible and direction-changing characters have no place in a name people decide by.
    let visible: String = value.chars().filter(|c| !is_deceptive(*c)).collect();
    let visible = visible.trim();
    Ok((!visible.is_empty()).then(|| visible.to_owned()))
}

/// What is not seen: controls, all that Unicode says may be ignored when it is shown
/// (`Default_Ignorable_Code_Point`), line breaks and the blank of Braille.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

fn strings(
    fields: &Map<String, Value>,
    name: &str,
    max: usize,
) -> Result<Option<Vec<String>>, RegistrationError> {
    let Some(value) = member(fields, name) else {
        return Ok(None);
    };
    let wrong = || invalid(format!("{name} must be an array of at most {max} strings"));
    let items = value
        .as_array()
        .filter(|items| items.len() <= max)
        .ok_or_else(wrong)?;
    items
        .iter()
        .map(|item| match item.as_str() {
            Some(text) if text.len() <= MAX_URL => Ok(text.to_owned()),
            _ => Err(wrong()),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// A page about the client. Only web addresses: they end up as links in front of people.
fn url(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, RegistrationError> {
    let Some(value) = member(fields, name) else {
        return Ok(None);
    };
    match value.as_str() {
        Some(text) if text.len() <= MAX_URL && ResourceUri::parse(text).is_ok() => {
            Ok(Some(text.to_owned()))
        }
        _ => Err(invalid(format!("{name} must be an https URL"))),
    }
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

/// RFC 9449 §5.2. Where nobody can prove a key, no client can insist on it.
fn dpop_bound(fields: &Map<String, Value>) -> Result<bool, RegistrationError> {
    match member(fields, "dpop_bound_access_tokens") {
        None => Ok(false),
        Some(Value::Bool(bound)) => Ok(*bound && cfg!(feature = "jwt")),
        Some(_) => Err(invalid("dpop_bound_access_tokens must be true or false")),
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
                reason = "a client of application_type web has https redirect URIs only".to_owned();
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

fn auth_method(fields: &Map<String, Value>) -> Result<ClientAuthMethod, RegistrationError> {
    match member(fields, "token_endpoint_auth_method").map(Value::as_str) {
        // RFC 7591 §2 names the default.
        None | Some(Some("client_secret_basic")) => Ok(ClientAuthMethod::ClientSecretBasic),
        Some(Some("client_secret_post")) => Ok(ClientAuthMethod::ClientSecretPost),
        Some(Some("none")) => Ok(ClientAuthMethod::None),
        Some(Some("private_key_jwt")) if cfg!(feature = "jwt") => {
            if member(fields, "jwks").is_none() && member(fields, "jwks_uri").is_none() {
                return Err(invalid("private_key_jwt takes jwks or jwks_uri"));
            }
            Ok(ClientAuthMethod::PrivateKeyJwt)
        }
        Some(_) => Err(invalid("this token_endpoint_auth_method is not supported")),
    }
}

/// Public keys, checked now so that a client learns of a mistake before its first sign-in.
fn jwks(fields: &Map<String, Value>) -> Result<Option<Value>, RegistrationError> {
    let Some(keys) = member(fields, "jwks") else {
        return Ok(None);
    };
    #[cfg(feature = "jwt")]
    match crate::jwt::JwkSet::from_value(keys) {
        Ok(set) if !set.is_empty() => Ok(Some(keys.clone())),
        Ok(_) => Err(invalid("jwks has no key that can be used")),
        Err(error) => Err(invalid(format!("jwks cannot be used: {}", error.message()))),
    }
    #[cfg(not(feature = "jwt"))]
    {
        let _ = keys;
        Ok(None)
    }
}

fn signing_alg(fields: &Map<String, Value>) -> Result<Option<String>, RegistrationError> {
    const NAME: &str = "token_endpoint_auth_signing_alg";
    let alg = text(fields, NAME)?;
    #[cfg(feature = "jwt")]
    if alg
        .as_deref()
        .is_some_and(|alg| crate::jwt::Algorithm::from_name(alg).is_none())
    {
        return Err(invalid(format!(
            "{NAME} is not one of the supported algorithms"
        )));
    }
    Ok(alg)
}

fn id_token_alg(fields: &Map<String, Value>) -> Result<Option<String>, RegistrationError> {
    const NAME: &str = "id_token_signed_response_alg";
    let alg = text(fields, NAME)?;
    match alg.as_deref() {
        // Nothing is signed.
        _ if !cfg!(feature = "jwt") => Ok(None),
        None | Some("RS256" | "EdDSA" | "Ed25519") => Ok(alg),
        Some(_) => Err(invalid(format!("{NAME} must be RS256 or EdDSA"))),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn register(body: &Value) -> Result<ClientMetadata, RegistrationError> {
        register_at(body, false)
    }

    fn register_at(body: &Value, jwt_bearer: bool) -> Result<ClientMetadata, RegistrationError> {
        let offer = Offer {
            scopes: Scopes::parse("notes:read offline_access").unwrap(),
            jwt_bearer,
        };
        parse(body.to_string().as_bytes(), &offer)
    }

    #[test]
    fn cursor_keeps_its_usable_uris() {
        let client = register(&json!({"redirect_uris": [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
            "http://cursor.example/plain",
        ], "token_endpoint_auth_method": "none"}))
        .unwrap();
        assert_eq!(client.redirect_uris.len(), 3);
        assert_eq!(client.application_type, ApplicationType::Native);
    }

    #[test]
    fn grants_that_nobody_here_knows_are_left_out() {
        let client = register(&json!({
            "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "scope": "notes:read openid unheard:of", "client_uri": "", "logo_uri": null,
        }))
        .unwrap();
        assert_eq!(client.grant_types, ["authorization_code", "refresh_token"]);
        assert_eq!(client.scope.as_deref(), Some("notes:read"));
        assert_eq!(client.application_type, ApplicationType::Web);
    }

    #[test]
    fn a_device_needs_no_redirect_uri_and_gets_none() {
        for redirect_uris in [json!(null), json!([]), json!(["https://a.example/cb"])] {
            let client = register(&json!({
                "redirect_uris": redirect_uris, "response_types": [],
                "grant_types": [device::GRANT_TYPE, "refresh_token"],
            }))
            .unwrap();
            assert_eq!(client.grant_types, ["refresh_token", device::GRANT_TYPE]);
            assert!(client.redirect_uris.is_empty() && client.response_types.is_empty());
        }
        let client = register(&json!({
            "redirect_uris": ["https://a.example/cb"],
            "grant_types": ["authorization_code", device::GRANT_TYPE],
        }))
        .unwrap();
        assert_eq!(client.redirect_uris.len(), 1);
        assert_eq!(client.response_types, ["code"]);
    }

    #[test]
    fn a_client_with_assertions_alone_is_one_where_they_are_taken() {
        let body = json!({
            "redirect_uris": [], "response_types": [], "grant_types": [JWT_BEARER],
            "token_endpoint_auth_method": "client_secret_basic",
        });
        let client = register_at(&body, true).unwrap();
        assert_eq!(client.grant_types, [JWT_BEARER]);
        assert!(client.redirect_uris.is_empty() && client.response_types.is_empty());
        assert_eq!(
            register_at(&body, false).unwrap_err().code,
            "invalid_client_metadata"
        );
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (body, code) in [
            (json!([]), "invalid_client_metadata"),
            (json!({}), "invalid_redirect_uri"),
            (json!({"redirect_uris": []}), "invalid_redirect_uri"),
            (
                json!({"grant_types": ["authorization_code", device::GRANT_TYPE]}),
                "invalid_redirect_uri",
            ),
            (
                json!({"redirect_uris": "https://a.example"}),
                "invalid_redirect_uri",
            ),
            (json!({"redirect_uris": [7]}), "invalid_redirect_uri"),
            (
                json!({"redirect_uris": ["javascript:alert(1)"]}),
                "invalid_redirect_uri",
            ),
            (
                json!({"redirect_uris": ["http://localhost/cb"], "application_type": "web"}),
                "invalid_redirect_uri",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "application_type": "desktop"}),
                "invalid_client_metadata",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "token_endpoint_auth_method": "magic"}),
                "invalid_client_metadata",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "grant_types": ["client_credentials"]}),
                "invalid_client_metadata",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "response_types": ["token"]}),
                "invalid_client_metadata",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "client_uri": "javascript:alert(1)"}),
                "invalid_client_metadata",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "dpop_bound_access_tokens": "yes"}),
                "invalid_client_metadata",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "client_name": 7}),
                "invalid_client_metadata",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "client_name": "x".repeat(513)}),
                "invalid_client_metadata",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "scope": "a\"b"}),
                "invalid_client_metadata",
            ),
            (
                json!({"redirect_uris": ["https://a.example/"], "jwks": {}, "jwks_uri": "https://a.example/jwks"}),
                "invalid_client_metadata",
            ),
        ] {
            let shown = body.to_string();
            assert_eq!(register(&body).unwrap_err().code, code, "{shown}");
        }
    }

    #[test]
    fn names_lose_characters_that_deceive() {
        let client = register(&json!({"redirect_uris": ["https://a.example/"], "client_name": " Cl\u{202e}aude\u{0} "})).unwrap();
        assert_eq!(client.client_name.as_deref(), Some("Claude"));
        // A name of nothing that can be seen is none.
        let invisible = "\u{3164}\u{115f}\u{ad}\u{61c}\u{2028}\u{2800}\u{e0041}\u{fe0f}\u{206a}";
        let client =
            register(&json!({"redirect_uris": ["https://a.example/"], "client_name": invisible}))
                .unwrap();
        assert_eq!(client.client_name, None);
    }

    #[test]
    fn the_same_metadata_is_the_same_public_client() {
        let body = json!({"redirect_uris": ["http://127.0.0.1:1/cb"], "client_name": "x"});
        let other = json!({"redirect_uris": ["http://127.0.0.1:1/cb"], "client_name": "y"});
        let id = |body: &Value| content_id(&register(body).unwrap());
        assert_eq!(id(&body), id(&body.clone()));
        assert_ne!(id(&body), id(&other));
    }
}
