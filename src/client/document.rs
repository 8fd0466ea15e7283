//! Client ID metadata documents: a client whose id is the address of its own description
//! (draft-ietf-oauth-client-id-metadata-document).

use serde_json::{Map, Value};

use super::{
    metadata::{ClientAuthMethod, ClientMetadata},
    registration::{self, Offer},
};
use crate::{json::parse_strictly, uri};

/// What an address described.
#[derive(Clone, Debug)]
pub(crate) struct ClientDocument {
    pub(crate) metadata: ClientMetadata,
    /// Whether the client also comes without authenticating: some name both ways.
    pub(crate) allows_none: bool,
}

/// Whether `id` is an address that a document may be at: `https`, or `http` on this machine for
/// development (which only a fetcher that was told to allows), with a path and nothing that two
/// programs might read in two ways.
pub(crate) fn is_document_url(id: &str) -> bool {
    let Some(parts) = uri::Parts::parse(id) else {
        return false;
    };
    let is_web = parts.is_https() || (parts.is_http() && parts.is_loopback_host());
    let is_plain = parts.userinfo.is_none() && !parts.fragment && !parts.host.is_empty();
    let has_dots = parts
        .path
        .split('/')
        .any(|segment| matches!(segment, "." | ".."));
    is_web && is_plain && parts.path.len() > 1 && !has_dots
}

/// Reads the document at `url`.
///
/// # Errors
///
/// Why it describes no client, in words for its author.
pub(crate) fn parse(url: &str, body: &[u8], offer: &Offer) -> Result<ClientDocument, &'static str> {
    let Some(mut fields) = parse_strictly(body) else {
        return Err("it is no JSON object in which every member stands once");
    };
    if fields.get("client_id").and_then(Value::as_str) != Some(url) {
        return Err("its client_id is not its own address");
    }
    if fields.keys().any(|name| name.starts_with("client_secret")) {
        return Err("it has a secret, which everyone can read");
    }
    if fields.get("client_name").and_then(Value::as_str).is_none() {
        return Err("it has no client_name");
    }
    let allows_none = choose_method(&mut fields)?;
    // From here on it is what a client would register.
    let body = serde_json::to_vec(&fields).unwrap_or_default();
    let metadata = registration::parse(&body, offer)
        .map_err(|_| "its metadata is not that of a usable client")?;
    Ok(ClientDocument {
        allows_none: allows_none || metadata.token_endpoint_auth_method == ClientAuthMethod::None,
        metadata,
    })
}

/// Settles how the client authenticates, and says whether it need not. Some documents name several
/// methods for the server to choose from; a key is better than none, where we can check it.
fn choose_method(fields: &mut Map<String, Value>) -> Result<bool, &'static str> {
    const KEY: &str = "private_key_jwt";
    let listed = |method| {
        fields
            .get("token_endpoint_auth_methods_supported")
            .and_then(Value::as_array)
            .is_some_and(|methods| methods.iter().any(|known| known == method))
    };
    let has_keys = fields.contains_key("jwks") || fields.contains_key("jwks_uri");
    let can_check = cfg!(feature = "jwt");
    let (method, allows_none) = match fields.get("token_endpoint_auth_method").map(Value::as_str) {
        None if listed(KEY) && has_keys && can_check => (KEY, listed("none")),
        None | Some(Some("none")) => ("none", true),
        Some(Some(KEY)) if can_check => (KEY, listed("none")),
        Some(Some(KEY)) if listed("none") => ("none", true),
        Some(_) => return Err("its token_endpoint_auth_method cannot be used by such a client"),
    };
    fields.insert("token_endpoint_auth_method".to_owned(), method.into());
    Ok(allows_none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{grant::JWT_BEARER, scope::Scopes};
    use serde_json::json;

    const URL: &str = "https://app.example/client.json";

    fn offer(jwt_bearer: bool) -> Offer {
        Offer {
            scopes: Scopes::none(),
            jwt_bearer,
        }
    }

    fn read(document: &Value) -> Result<ClientDocument, &'static str> {
        parse(URL, document.to_string().as_bytes(), &offer(false))
    }

    #[test]
    fn claude_code_is_a_client() {
        let url = "https://claude.ai/oauth/claude-code-client-metadata";
        let body = include_bytes!("../../tests/documents/claude_code.json");
        assert!(is_document_url(url));
        let client = parse(url, body, &offer(false)).unwrap();
        assert_eq!(client.metadata.client_name.as_deref(), Some("Claude Code"));
        assert_eq!(
            client.metadata.redirect_uris,
            ["http://localhost/callback", "http://127.0.0.1/callback"]
        );
        assert_eq!(
            client.metadata.grant_types,
            ["authorization_code", "refresh_token"]
        );
        assert!(client.allows_none);
        let client = parse(url, body, &offer(true)).unwrap();
        assert!(client.metadata.grant_types.iter().any(|g| g == JWT_BEARER));
    }

    /// A key, and the methods to choose from.
    #[test]
    fn chatgpt_is_a_client() {
        let url = "https://chatgpt.com/oauth/kDmjx77UnKOM/client.json";
        let body = include_bytes!("../../tests/documents/chatgpt.json");
        assert!(is_document_url(url));
        let client = parse(url, body, &offer(false)).unwrap();
        assert_eq!(
            client.metadata.redirect_uris,
            ["https://chatgpt.com/connector/oauth/kDmjx77UnKOM"]
        );
        let method = client.metadata.token_endpoint_auth_method;
        let expected = if cfg!(feature = "jwt") {
            ClientAuthMethod::PrivateKeyJwt
        } else {
            ClientAuthMethod::None
        };
        assert_eq!(method, expected);
        assert!(client.allows_none);
    }

    #[cfg(feature = "jwt")]
    #[test]
    fn a_key_is_better_than_none_where_there_is_one() {
        use ClientAuthMethod::{None as Nothing, PrivateKeyJwt as Key};
        for (method, supported, has_keys, expected) in [
            (None, json!(null), false, (Nothing, true)),
            (None, json!(null), true, (Nothing, true)),
            (None, json!(["private_key_jwt"]), true, (Key, false)),
            (None, json!(["private_key_jwt", "none"]), true, (Key, true)),
            (None, json!(["private_key_jwt"]), false, (Nothing, true)),
            (None, json!(["none"]), true, (Nothing, true)),
            (
                Some("none"),
                json!(["private_key_jwt"]),
                true,
                (Nothing, true),
            ),
            (Some("private_key_jwt"), json!(null), true, (Key, false)),
            (Some("private_key_jwt"), json!(["none"]), true, (Key, true)),
        ] {
            let mut document = json!({
                "client_id": URL, "client_name": "App", "redirect_uris": ["https://app.example/cb"],
                "token_endpoint_auth_methods_supported": supported,
            });
            if let Some(method) = method {
                document["token_endpoint_auth_method"] = json!(method);
            }
            if has_keys {
                document["jwks_uri"] = json!("https://app.example/jwks");
            }
            let client = read(&document).unwrap();
            let got = (
                client.metadata.token_endpoint_auth_method,
                client.allows_none,
            );
            assert_eq!(got, expected, "{document}");
        }
    }

    #[test]
    fn only_plain_addresses_are_ids() {
        for good in [
            URL,
            "https://app.example:8443/a/b?c=d",
            "http://127.0.0.1:9/c.json",
        ] {
            assert!(is_document_url(good), "{good}");
        }
        for bad in [
            "https://app.example",
            "https://app.example/",
            "http://app.example/c.json",
            "https://app.example/a/../c.json",
            "https://app.example/./c.json",
            "https://user@app.example/c.json",
            "https://app.example/c.json#x",
            "mcp_abc",
            "",
        ] {
            assert!(!is_document_url(bad), "{bad}");
        }
    }

    #[test]
    fn a_document_that_lies_or_says_too_much_is_no_client() {
        let good = json!({
            "client_id": URL, "client_name": "App", "redirect_uris": ["https://app.example/cb"],
        });
        assert!(read(&good).is_ok());
        for (name, value) in [
            ("client_id", json!("https://app.example/other.json")),
            ("client_id", json!("https://APP.example/client.json")),
            ("client_id", Value::Null),
            ("client_name", Value::Null),
            ("client_secret", json!("x")),
            ("client_secret_expires_at", json!(0)),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("token_endpoint_auth_method", json!(7)),
            ("redirect_uris", json!([])),
            ("redirect_uris", json!(["javascript:alert(1)"])),
        ] {
            let mut document = good.clone();
            document[name] = value;
            assert!(read(&document).is_err(), "{name}");
        }
        assert!(parse(URL, b"[]", &offer(false)).is_err());
        let twice = good
            .to_string()
            .replacen('{', r#"{"client_name":"Other","#, 1);
        assert!(parse(URL, twice.as_bytes(), &offer(false)).is_err());
    }
}
