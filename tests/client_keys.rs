//! Clients that prove themselves with a key, and clients that describe themselves.
#![cfg(all(feature = "jwt", feature = "cimd"))]

mod common;
#[path = "common/device.rs"]
mod device;
#[path = "common/jws.rs"]
mod jws;
#[path = "common/site.rs"]
mod site;

use common::*;
use http::{Request, StatusCode};
use jws::Key;
use serde_json::{Value, json};
use site::Site;
use tower_mcp_auth::{Fetcher, MemoryStore};

const NOW: u64 = 1_800_000_000;

fn app() -> App {
    App::with(|builder| {
        let fetcher = Fetcher::builder()
            .danger_allow_loopback(true)
            .build()
            .unwrap();
        builder.store(MemoryStore::new()).fetcher(fetcher)
    })
}

fn assertion(key: &Key, client: &str, change: &Value) -> String {
    let mut claims = json!({"iss": client, "sub": client, "aud": ORIGIN, "iat": NOW, "exp": NOW + 60,
        "jti": rand_text()});
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    key.sign(json!({"typ": "JWT", "kid": "one"}), &claims)
}

fn rand_text() -> String {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0).to_string()
}

async fn ask(app: &App, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let mut params = vec![
        ("grant_type", "refresh_token"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion),
    ];
    params.extend_from_slice(more);
    app.token(&params).await
}

async fn registered(app: &App, key: &Key) -> String {
    let body = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "private_key_jwt",
        "jwks": key.jwks("one"), "grant_types": ["authorization_code", "refresh_token"]});
    let answer = app.register(body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.json().get("client_secret"), None);
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_client_with_a_key_redeems_its_code() {
    for key in [Key::ed25519(), Key::p256()] {
        let app = app();
        let client = registered(&app, &key).await;
        let code = Browser::of(&app, "alice").approve(&client, &[]).await;
        let assertion = assertion(&key, &client, &json!({}));
        let params = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("code_verifier", VERIFIER),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &assertion),
        ];
        let tokens = Tokens::from(&app.token(&params).await);
        assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    }
}

#[tokio::test]
async fn an_assertion_is_the_clients_own_for_us_alone_fresh_and_new() {
    let app = app();
    let key = Key::ed25519();
    let client = registered(&app, &key).await;
    // Past authentication the request itself is wrong: that is how far a good one gets.
    let good = assertion(&key, &client, &json!({}));
    ask(&app, &good, &[])
        .await
        .assert_error(400, "invalid_request");
    ask(&app, &good, &[])
        .await
        .assert_error(401, "invalid_client");
    ask(
        &app,
        &assertion(&key, &client, &json!({"aud": [ORIGIN]})),
        &[],
    )
    .await
    .assert_error(400, "invalid_request");
    for change in [
        json!({"aud": "https://api.example.com/oauth/token"}),
        json!({"aud": [ORIGIN, "https://other.example"]}),
        json!({"aud": null}),
        json!({"iss": "other"}),
        json!({"exp": NOW - 61}),
        json!({"exp": NOW + 7200}),
        json!({"exp": null}),
        json!({"iat": NOW + 120}),
        json!({"nbf": NOW + 120}),
        json!({"jti": null}),
        json!({"jti": ""}),
    ] {
        let answer = ask(&app, &assertion(&key, &client, &change), &[]).await;
        assert_eq!(answer.status.as_u16(), 401, "{change}: {answer:?}");
    }
    let claims = json!({"iss": client, "sub": client, "aud": ORIGIN, "exp": NOW + 60, "jti": "x"});
    for (name, token) in [
        (
            "another key",
            Key::ed25519().sign(json!({"typ": "JWT", "kid": "one"}), &claims),
        ),
        ("no algorithm", key.sign(json!({"alg": "none"}), &claims)),
        (
            "a shared secret",
            key.sign(json!({"alg": "HS256"}), &claims),
        ),
        (
            "another kind of token",
            key.sign(json!({"typ": "at+jwt"}), &claims),
        ),
        ("nothing", "x.y.z".to_owned()),
    ] {
        let answer = ask(&app, &token, &[]).await;
        answer.assert_error(401, "invalid_client");
        assert_eq!(answer.status.as_u16(), 401, "{name}");
    }
}

#[tokio::test]
async fn a_key_and_nothing_else_will_do() {
    let app = app();
    let key = Key::ed25519();
    let client = registered(&app, &key).await;
    let plain = [
        ("grant_type", "refresh_token"),
        ("client_id", client.as_str()),
    ];
    app.token(&plain).await.assert_error(401, "invalid_client");
    let secret = [plain[0], plain[1], ("client_secret", "x")];
    app.token(&secret).await.assert_error(401, "invalid_client");
    let both = assertion(&key, &client, &json!({}));
    ask(&app, &both, &[("client_secret", "x")])
        .await
        .assert_error(400, "invalid_request");
    ask(&app, &both, &[("client_id", "other")])
        .await
        .assert_error(400, "invalid_request");
    let public = app.public_client().await;
    ask(&app, &assertion(&key, &public, &json!({})), &[])
        .await
        .assert_error(401, "invalid_client");
    for body in [
        json!({"token_endpoint_auth_method": "private_key_jwt"}),
        json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": []}}),
        json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}),
        json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://keys.example"}),
    ] {
        let mut body = body;
        body["redirect_uris"] = json!([CALLBACK]);
        app.register(body)
            .await
            .assert_error(400, "invalid_client_metadata");
    }
}

#[tokio::test]
async fn keys_at_an_address_may_be_rotated_and_are_not_asked_for_all_the_time() {
    let (app, site) = (app(), Site::default());
    let origin = site.serve().await;
    let (old, new) = (Key::ed25519(), Key::ed25519());
    site.put("keys", 200, &&old.jwks("old"));
    let document = json!({"client_id": format!("{origin}/client"), "client_name": "App", "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": format!("{origin}/keys")});
    site.put("client", 200, &&document);
    let client = format!("{origin}/client");
    let sign = |key: &Key, kid: &str| {
        let claims = json!({"iss": client, "sub": client, "aud": ORIGIN, "exp": NOW + 60, "jti": rand_text()});
        key.sign(json!({"kid": kid}), &claims)
    };
    ask(&app, &sign(&old, "old"), &[])
        .await
        .assert_error(400, "invalid_request");
    site.put("keys", 200, &&new.jwks("new"));
    let asked = site.asked();
    for _ in 0..5 {
        ask(&app, &sign(&new, "new"), &[])
            .await
            .assert_error(401, "invalid_client");
    }
    assert_eq!(
        site.asked(),
        asked,
        "a stranger's key names make us ask nobody"
    );
    app.advance(30);
    ask(&app, &sign(&new, "new"), &[])
        .await
        .assert_error(400, "invalid_request");
    ask(&app, &sign(&old, "old"), &[])
        .await
        .assert_error(401, "invalid_client");
}

#[tokio::test]
async fn a_client_that_describes_itself_signs_in_without_registering() {
    let (app, site) = (app(), Site::default());
    let origin = site.serve().await;
    let id = format!("{origin}/client");
    let document = json!({"client_id": id, "client_name": "Described", "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"]});
    site.put("client", 200, &&document);
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&id, &[]).await;
    assert!(
        page.body.contains("Described") && page.body.contains("described by"),
        "{page:?}"
    );
    assert!(page.body.contains("127.0.0.1"), "and by whom: {page:?}");
    // What it says now no longer matters to this authorization.
    site.put("client", 404, &"{}");
    let code = browser.decide(&page, "approve").await.redirect(CALLBACK)["code"].clone();
    let tokens = Tokens::from(&app.redeem(&id, &code).await);
    Tokens::from(&app.refresh(&id, &tokens.refresh).await);
    assert_eq!(site.asked(), 1, "it is remembered");
    let metadata = app
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
}

/// Who holds a token may give it back, also where nobody can say by which key it would be known.
#[tokio::test]
async fn a_client_whose_description_is_gone_gives_back_what_it_has() {
    let (app, site) = (app(), Site::default());
    let origin = site.serve().await;
    let (key, id) = (Key::ed25519(), format!("{origin}/client"));
    let document = json!({"client_id": id, "client_name": "App", "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "private_key_jwt", "jwks": key.jwks("one")});
    site.put("client", 200, &document);
    let code = Browser::of(&app, "alice").approve(&id, &[]).await;
    const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let early = assertion(&key, &id, &json!({}));
    let params = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", &early),
    ];
    let tokens = Tokens::from(&app.token(&params).await);
    site.put("client", 404, "gone");
    app.advance(600);
    let late = json!({ "exp": NOW + 660 });
    let body = form(&[
        ("token", &tokens.access),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", &assertion(&key, &id, &late)),
    ]);
    let request =
        Request::post("/oauth/revoke").header("content-type", "application/x-www-form-urlencoded");
    let answer = app.send(request.body(body.into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let answer = app.call("/mcp", &tokens.access).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

/// Anyone can call a program anything: whoever decides about a device sees who vouches for the name.
#[tokio::test]
async fn the_page_about_a_device_says_who_describes_its_program() {
    let (app, site) = (app(), Site::default());
    let origin = site.serve().await;
    let id = format!("{origin}/television");
    let document = json!({"client_id": id, "client_name": "Television", "redirect_uris": [],
        "grant_types": [device::GRANT], "response_types": []});
    site.put("television", 200, &&document);
    let browser = Browser::of(&app, "alice");
    let described = device::device_of(&app, &id).await;
    let page = device::confirm_page(&browser, &described).await;
    let host = origin.strip_prefix("http://").unwrap();
    let told = format!("described by <span class=\"to\">{host}</span>");
    assert!(page.body.contains(&told), "{page:?}");

    let registered = device::device(&app).await;
    let page = device::confirm_page(&browser, &registered).await;
    assert!(!page.body.contains("described by"), "{page:?}");
}

#[tokio::test]
async fn a_document_that_cannot_be_used_is_no_client_and_costs_little() {
    let (app, site) = (app(), Site::default());
    let origin = site.serve().await;
    let good = |page: &str| json!({"client_id": format!("{origin}/{page}"), "client_name": "App", "redirect_uris": [CALLBACK]});
    site.put("lies", 200, &&good("other"));
    site.put("missing", 404, &&good("missing"));
    site.put("moved", 302, &&format!("{origin}/there"));
    site.put("there", 200, &&good("there"));
    site.put("text", 200, &"not json");
    let mut huge = good("huge");
    huge["client_uri"] = json!(format!("https://a.example/{}", "x".repeat(6000)));
    site.put("huge", 200, &&huge);
    for page in ["lies", "missing", "moved", "text", "huge"] {
        // A site under repair sends everybody elsewhere: its users are not told that they are lost.
        let (status, error) = match page {
            "moved" => (400, "temporarily_unavailable"),
            _ => (401, "invalid_client"),
        };
        let id = format!("{origin}/{page}");
        let query = authorize_params(&id, &[]);
        let answer = app.get(&format!("/oauth/authorize?{query}")).await;
        answer.assert_error(400, error);
        let asked = site.asked();
        app.refresh(&id, "x").await.assert_error(status, error);
        assert_eq!(site.asked(), asked, "{page} is not asked for again at once");
    }
    for id in [
        "http://192.168.0.1/client",
        "https://10.0.0.1/client",
        "https://[::ffff:127.0.0.1]/client",
        "https://2130706433/client",
        "http://metadata.example/client",
        "https://localhost.example.invalid/x",
    ] {
        let query = authorize_params(id, &[]);
        let answer = app.get(&format!("/oauth/authorize?{query}")).await;
        assert_eq!(answer.status.as_u16(), 400, "{id}: {answer:?}");
    }
}

#[tokio::test]
async fn hosts_may_be_trusted_or_not() {
    let site = Site::default();
    let origin = site.serve().await;
    let app = App::with(|builder| {
        let fetcher = Fetcher::builder()
            .danger_allow_loopback(true)
            .build()
            .unwrap();
        builder
            .store(MemoryStore::new())
            .fetcher(fetcher)
            .trust_client_hosts(|host| host == "claude.ai")
    });
    let query = authorize_params(&format!("{origin}/client"), &[]);
    app.get(&format!("/oauth/authorize?{query}"))
        .await
        .assert_error(400, "invalid_client");
    assert_eq!(site.asked(), 0);

    let app = App::with(|builder| {
        let fetcher = Fetcher::builder().danger_allow_loopback(true);
        builder
            .store(MemoryStore::new())
            .fetcher(fetcher.build().unwrap())
            .trust_client_hosts(|host| host != "localhost")
    });
    for host in ["localhost", "LOCALHOST", "LocalHost."] {
        let id = format!("{origin}/client").replace("127.0.0.1", host);
        app.get(&format!("/oauth/authorize?{}", authorize_params(&id, &[])))
            .await
            .assert_error(400, "invalid_client");
    }
    assert_eq!(site.asked(), 0, "another spelling is no other host");
}

#[tokio::test]
async fn the_token_endpoint_as_audience_is_for_who_asks_for_it() {
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .danger_accept_endpoint_audience()
    });
    let key = Key::ed25519();
    let client = registered(&app, &key).await;
    for aud in [ORIGIN, "https://api.example.com/oauth/token"] {
        let assertion = assertion(&key, &client, &json!({ "aud": aud }));
        ask(&app, &assertion, &[])
            .await
            .assert_error(400, "invalid_request");
    }
    let elsewhere = json!({"aud": "https://other.example/oauth/token"});
    ask(&app, &assertion(&key, &client, &elsewhere), &[])
        .await
        .assert_error(401, "invalid_client");
}

#[tokio::test]
async fn a_client_may_be_held_to_one_algorithm() {
    let app = app();
    let key = Key::ed25519();
    for (alg, status, error) in [
        ("EdDSA", 400, "invalid_request"),
        ("ES256", 401, "invalid_client"),
    ] {
        let body = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "private_key_jwt",
            "jwks": key.jwks("one"), "token_endpoint_auth_signing_alg": alg});
        let client = app.register(body).await.json()["client_id"]
            .as_str()
            .unwrap()
            .to_owned();
        ask(&app, &assertion(&key, &client, &json!({})), &[])
            .await
            .assert_error(status, error);
    }
}

/// Not its fault, and not ours: it may try again, and is not told that it is no client.
#[tokio::test]
async fn while_what_a_client_publishes_cannot_be_had_it_is_to_wait() {
    let (app, site) = (app(), Site::default());
    let origin = site.serve().await;
    let key = Key::ed25519();
    let client = format!("{origin}/client");
    let document = json!({"client_id": client, "client_name": "App", "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": format!("{origin}/keys")});
    let claims = || json!({"iss": client, "sub": client, "aud": ORIGIN, "exp": NOW + 60, "jti": rand_text()});
    let sign = || key.sign(json!({"kid": "one"}), &claims());
    let unavailable = async || {
        let answer = ask(&app, &sign(), &[]).await;
        answer.assert_error(400, "temporarily_unavailable");
        assert!(!answer.header("retry-after").is_empty());
    };
    // By itself, or by what stands in front of it.
    for status in [503, 403, 202] {
        site.put("client", status, "down");
        unavailable().await;
        app.advance(10);
    }
    site.put("client", 200, &document);
    site.put("keys", 503, "down");
    unavailable().await;
    site.put("keys", 200, &key.jwks("one"));
    app.advance(10);
    ask(&app, &sign(), &[])
        .await
        .assert_error(400, "invalid_request");
    // Nor is a newer key unknown for good while nobody can say whether it is one.
    app.advance(30);
    site.put("keys", 503, "down");
    let newer = Key::ed25519();
    let late = || json!({"iss": client, "sub": client, "aud": ORIGIN, "exp": NOW + 120, "jti": rand_text()});
    let sign = || newer.sign(json!({"kid": "two"}), &late());
    for _ in 0..2 {
        let answer = ask(&app, &sign(), &[]).await;
        answer.assert_error(400, "temporarily_unavailable");
    }
    site.put("keys", 200, &newer.jwks("two"));
    app.advance(10);
    ask(&app, &sign(), &[])
        .await
        .assert_error(400, "invalid_request");
}

/// Its user decides about what it was described as when it asked, also where that cannot be had now.
#[tokio::test]
async fn a_device_is_who_its_description_said_when_it_asked() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let node = || {
        App::with(|builder| {
            let fetcher = Fetcher::builder().danger_allow_loopback(true);
            let builder = builder.store(store.clone());
            builder.fetcher(fetcher.build().unwrap())
        })
    };
    let site = Site::default();
    let id = format!("{}/client", site.serve().await);
    let named = |name| {
        json!({"client_id": id, "client_name": name, "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", device::GRANT]})
    };
    site.put("client", 200, &named("Television"));
    let (one, two) = (node(), node());
    for (status, answer) in [(503, json!("down")), (200, named("Your bank"))] {
        let device = device::device_of(&one, &id).await;
        let asked = site.asked();
        site.put("client", status, &answer);
        let browser = Browser::of(&two, "alice");
        let page = device::confirm_page(&browser, &device).await;
        assert!(page.body.contains("Television"), "{page:?}");
        assert!(page.body.contains("127.0.0.1"), "by whom: {page:?}");
        let answer = device::decide(&browser, &page, "approve").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(site.asked(), asked);
        Tokens::from(&device::poll(&one, &device).await);
    }
}

#[tokio::test]
async fn a_described_client_is_answered_where_its_document_says() {
    let (app, site) = (app(), Site::default());
    let origin = site.serve().await;
    let id = format!("{origin}/client");
    let document = json!({"client_id": id, "client_name": "App",
        "redirect_uris": [CALLBACK, "http://127.0.0.1/cb"]});
    site.put("client", 200, &document);
    for elsewhere in ["https://evil.example/cb", "https://client.example/cb/", ""] {
        let query = authorize_params(&id, &[("redirect_uri", elsewhere)]);
        app.get(&format!("/oauth/authorize?{query}"))
            .await
            .assert_error(400, "invalid_request");
    }
    let local = [("redirect_uri", "http://127.0.0.1:52301/cb")];
    let code = Browser::of(&app, "alice").approve(&id, &local).await;
    assert!(code.starts_with("mcp_ac_"));
}

/// Its redirect URI proves nothing, and it need not authenticate: any local program can be it.
#[tokio::test]
async fn a_local_program_that_may_come_without_its_key_is_confirmed_every_time() {
    let (app, site) = (app(), Site::default());
    let origin = site.serve().await;
    let id = format!("{origin}/client");
    let document = json!({"client_id": id, "client_name": "Local", "redirect_uris": ["http://127.0.0.1/cb"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        "jwks": Key::ed25519().jwks("one")});
    site.put("client", 200, &&document);
    let redirect = [("redirect_uri", "http://127.0.0.1:4000/cb")];
    let browser = Browser::of(&app, "alice");
    browser.approve(&id, &redirect).await;
    let page = browser.consent_page(&id, &redirect).await;
    assert!(page.body.contains("Approve"), "{page:?}");
}
