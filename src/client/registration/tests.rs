//! What real clients and odd ones register.

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
fn what_a_client_says_of_itself_is_bounded() {
    let uris = |count: usize| -> Vec<_> {
        let uris = (0..count).map(|n| format!("https://a.example/{n}"));
        uris.collect()
    };
    let long = |length: usize| format!("https://a.example/{}", "x".repeat(length - 18));
    let body = |name: &str, value: Value| {
        let mut body = json!({"redirect_uris": ["https://a.example/"]});
        body[name] = value;
        body
    };
    for (name, fits, too_much) in [
        ("redirect_uris", json!(uris(32)), json!(uris(33))),
        ("redirect_uris", json!([long(2048)]), json!([long(2049)])),
        ("contacts", json!(vec!["a"; 32]), json!(vec!["a"; 33])),
        ("contacts", json!([long(2048)]), json!([long(2049)])),
        (
            "client_name",
            json!("ü".repeat(512)),
            json!("ü".repeat(513)),
        ),
        ("client_uri", json!(long(2048)), json!(long(2049))),
    ] {
        assert!(register(&body(name, fits)).is_ok(), "{name}");
        assert!(register(&body(name, too_much)).is_err(), "{name}");
    }
    // Of each a little too much to keep a hundred thousand times.
    let uris = |count: usize| vec![long(2000); count];
    let all = |count| body("redirect_uris", json!(uris(count)));
    assert!(register(&all(8)).is_ok());
    assert!(register(&all(9)).is_err());
    let padded = |length: usize| format!("{:length$}", all(1).to_string());
    let offer = Offer {
        scopes: Scopes::none(),
        jwt_bearer: false,
    };
    assert!(parse(padded(16 * 1024).as_bytes(), &offer).is_ok());
    assert!(parse(padded(16 * 1024 + 1).as_bytes(), &offer).is_err());
}

#[test]
fn names_lose_characters_that_deceive() {
    let client = register(
        &json!({"redirect_uris": ["https://a.example/"], "client_name": " Cl\u{202e}aude\u{0} "}),
    )
    .unwrap();
    assert_eq!(client.client_name.as_deref(), Some("Claude"));
    let register_as = |name: &str| {
        let body = json!({"redirect_uris": ["https://a.example/"], "client_name": name});
        register(&body).unwrap().client_name
    };
    let quoting = "Bob's” to use nothing. “«\"「x」";
    assert_eq!(
        register_as(quoting).as_deref(),
        Some("Bob's to use nothing. x"),
        "the page's own marks end it"
    );
    let piled = format!("e\u{301}\u{323}{}a\u{308}", "\u{30d}".repeat(400));
    let kept = "e\u{301}\u{323}a\u{308}";
    assert_eq!(register_as(&piled).as_deref(), Some(kept));
    assert_eq!(register_as("“”"), None);
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

#[cfg(feature = "jwt")]
#[test]
fn users_return_to_usable_addresses_only() {
    let returns = |application_type: Option<&str>| {
        let body = json!({
            "redirect_uris": ["https://a.example/cb"],
            "application_type": application_type,
            "post_logout_redirect_uris": [
                "https://a.example/bye", "javascript:alert(1)", "http://127.0.0.1/bye",
                "https://a.example/bye",
            ],
        });
        register(&body).unwrap().post_logout_redirect_uris
    };
    let both = ["https://a.example/bye", "http://127.0.0.1/bye"];
    assert_eq!(returns(None), both);
    assert_eq!(returns(Some("native")), both);
    assert_eq!(returns(Some("web")), ["https://a.example/bye"]);
}

#[cfg(feature = "jwt")]
#[test]
fn of_keys_only_text_is_kept() {
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "1", "key_ops": ["verify"],
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let mut padded = key.clone();
    padded["pad"] = json!([1e308, 1e308]);
    padded["more"] = json!(1e308);
    let client = register(&json!({
        "redirect_uris": ["https://a.example/cb"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [padded], "pad": 1e308},
    }));
    assert_eq!(client.unwrap().jwks, Some(json!({"keys": [key]})));
}

#[cfg(feature = "jwt")]
#[test]
fn algorithms_and_bound_tokens_are_asked_for() {
    let with = |name: &str, value: Value| {
        let mut body = json!({"redirect_uris": ["https://a.example/cb"]});
        body[name] = value;
        register(&body)
    };
    for known in ["RS256", "EdDSA"] {
        let client = with("id_token_signed_response_alg", json!(known)).unwrap();
        assert_eq!(client.id_token_signed_response_alg.as_deref(), Some(known));
    }
    // What is signed has the name of before RFC 9864, which the client is told.
    let client = with("id_token_signed_response_alg", json!("Ed25519")).unwrap();
    assert_eq!(
        client.id_token_signed_response_alg.as_deref(),
        Some("EdDSA")
    );
    for unknown in ["HS256", "none"] {
        assert!(with("id_token_signed_response_alg", json!(unknown)).is_err());
    }
    for bound in [true, false] {
        let client = with("dpop_bound_access_tokens", json!(bound)).unwrap();
        assert_eq!(client.dpop_bound_access_tokens, bound);
    }
    assert!(with("dpop_bound_access_tokens", json!("yes")).is_err());
}

#[test]
fn ids_that_are_given_here_can_be_told() {
    let client = register(&json!({"redirect_uris": ["https://a.example/cb"]})).unwrap();
    for given in [random_id(), random_id(), content_id(&client)] {
        assert!(is_given_id(&given), "{given}");
    }
    assert_ne!(random_id(), random_id());
    for other in ["mcp_", "mcp_short", "app", ""] {
        assert!(!is_given_id(other), "{other}");
    }
}
