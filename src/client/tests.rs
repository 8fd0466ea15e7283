use serde_json::json;

use super::*;
use crate::secret::Digest;

const WEB: &str = "https://client.example/cb";

fn resolved(client: StaticClient) -> Client {
    client.resolve().unwrap()
}

/// As one that registered, under an id of its own or of its document.
fn client(id: &str, redirect_uris: &[&str]) -> Client {
    let uris = redirect_uris.iter().copied();
    Client {
        id: ClientId::new(id).unwrap(),
        ..resolved(StaticClient::public("other", uris))
    }
}

#[test]
fn configured_clients_are_public_or_confidential() {
    let public = StaticClient::public("app", [WEB]).name("The App");
    assert!(format!("{public:?}").contains("confidential: false"));
    let public = resolved(public);
    assert!(public.is_public());
    assert_eq!(public.display_name(), "The App");
    assert!(!public.may_use("client_credentials"));
    assert!(public.may_use("authorization_code"));

    let secret = StaticClient::confidential("app", "secret", [WEB]);
    assert!(format!("{secret:?}").contains("confidential: true"));
    let secret = resolved(secret);
    assert!(!secret.is_public());
    assert_eq!(secret.secret, Some(Digest::of("secret")));
    assert_eq!(
        secret.metadata.token_endpoint_auth_method,
        ClientAuthMethod::ClientSecretBasic
    );
    assert!(secret.may_use("client_credentials"));
    assert_eq!(secret.display_name(), "app");
}

#[cfg(feature = "jwt")]
#[test]
fn configured_clients_with_keys_prove_who_they_are() {
    let keys = json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }]});
    let these = StaticClient::with_keys("app", keys.clone(), [WEB]);
    assert!(format!("{these:?}").contains("confidential: true"));
    let there = StaticClient::with_keys_at("app", "https://client.example/jwks", [WEB]);
    let (these, there) = (resolved(these), resolved(there));
    assert_eq!(these.metadata.jwks, Some(keys));
    assert_eq!(
        there.metadata.jwks_uri.as_deref(),
        Some("https://client.example/jwks")
    );
    for client in [these, there] {
        let method = client.metadata.token_endpoint_auth_method;
        assert_eq!(method, ClientAuthMethod::PrivateKeyJwt);
        assert!(!client.is_public() && client.may_use("client_credentials"));
    }
    for bad in [
        StaticClient::with_keys("app", json!({"keys": [{"kty": "oct", "k": "AAAA"}]}), [WEB]),
        StaticClient::with_keys_at("app", "no address", [WEB]),
        StaticClient::public("app", ["javascript:alert(1)"]),
        StaticClient::public("app", [WEB]).post_logout_redirect_uris(["data:x"]),
        StaticClient::public("", [WEB]),
    ] {
        assert!(bad.clone().resolve().is_err(), "{bad:?}");
    }
}

#[test]
fn it_is_answered_where_it_registered() {
    let one = client("app", &[WEB]);
    assert_eq!(one.redirect_uri(None), Some(WEB));
    assert_eq!(one.redirect_uri(Some(WEB)), Some(WEB));
    assert_eq!(one.redirect_uri(Some("https://client.example/")), None);
    assert!(one.may_be_answered_at(WEB));
    assert!(!one.may_be_answered_at("https://client.example/"));
    let two = client("app", &[WEB, "https://client.example/2"]);
    assert_eq!(two.redirect_uri(None), None, "which of them?");
    assert_eq!(two.redirect_uri(Some(WEB)), Some(WEB));
}

#[cfg(feature = "jwt")]
#[test]
fn its_users_return_where_it_registered() {
    let there = "https://client.example/bye";
    let client = StaticClient::public("app", [WEB]).post_logout_redirect_uris([there]);
    let client = resolved(client);
    assert!(client.may_return_to(there));
    assert!(!client.may_return_to(WEB));
}

#[test]
fn refresh_tokens_are_for_who_registers_or_asks_for_them() {
    let online = Scopes::parse("notes:read").unwrap();
    let offline = Scopes::parse("notes:read offline_access").unwrap();
    let mut client = client("app", &[WEB]);
    assert!(client.gets_refresh_token(&online));
    client.metadata.grant_types = vec!["authorization_code".to_owned()];
    assert!(!client.gets_refresh_token(&online));
    assert!(client.gets_refresh_token(&offline));
}

#[test]
fn a_document_counts_as_it_was_when_the_request_came() {
    let mut documented = client("https://client.example/metadata", &[WEB]);
    documented.metadata.token_endpoint_auth_method = ClientAuthMethod::PrivateKeyJwt;
    assert!(documented.is_documented() && !documented.is_public());
    assert_eq!(documented.document_host(), Some("client.example"));
    let mut beside = client("https://client.example:8443/metadata", &[WEB]);
    beside.metadata.token_endpoint_auth_method = ClientAuthMethod::PrivateKeyJwt;
    assert_eq!(beside.document_host(), Some("client.example:8443"));
    let registered = client("app", &[WEB]);
    assert!(!registered.is_documented());
    assert_eq!(registered.document_host(), None);
    assert_eq!(registered.snapshot(), None);

    let then = remembered(&documented);
    assert_eq!(then.id, documented.id);
    assert_eq!(then.metadata, documented.metadata);
    assert!(!then.is_public());
    // Whoever may come without its key is whoever comes.
    documented.allows_none = true;
    assert!(documented.is_public());
    assert!(remembered(&documented).is_public());
}

#[test]
fn what_a_client_never_said_is_not_said_of_it() {
    let mut metadata = client("app", &[WEB]).metadata;
    let said = |metadata: &ClientMetadata| serde_json::to_value(metadata).unwrap();
    assert_eq!(said(&metadata).get("dpop_bound_access_tokens"), None);
    metadata.dpop_bound_access_tokens = true;
    assert_eq!(said(&metadata)["dpop_bound_access_tokens"], true);
}

fn remembered(client: &Client) -> Client {
    Client::from_snapshot(&client.id, &client.snapshot().unwrap())
}
