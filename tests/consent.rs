//! Signing in and deciding: who may, from where, and how often.

mod common;

use axum::body::Body;
use common::*;
use http::{Request, StatusCode};
use serde_json::json;

const LOGIN: &str = "https://api.example.com/sign-in";

#[tokio::test]
async fn denial_goes_back_to_the_client_and_ends_the_authorization() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&client, &[]).await;
    let denied = browser.decide(&page, "deny").await.redirect(CALLBACK);
    assert_eq!(denied["error"], "access_denied");
    assert_eq!(denied["state"], "a state&more");
    assert_eq!(denied["iss"], ORIGIN);
    let again = browser.decide(&page, "approve").await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "{again:?}");
}

#[tokio::test]
async fn a_form_is_accepted_once() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&client, &[]).await;
    assert!(
        browser
            .decide(&page, "approve")
            .await
            .redirect(CALLBACK)
            .contains_key("code")
    );
    for decision in ["approve", "deny"] {
        let again = browser.decide(&page, decision).await;
        assert_eq!(again.status, StatusCode::BAD_REQUEST, "{again:?}");
        assert_eq!(again.header("location"), "");
    }
}

#[tokio::test]
async fn tabs_do_not_disturb_each_other() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::new(&app);
    let first = browser
        .authorize(&client, &[("state", "first"), ("prompt", "consent")])
        .await
        .redirect(LOGIN);
    let second = browser
        .authorize(&client, &[("state", "second"), ("prompt", "consent")])
        .await
        .redirect(LOGIN);
    browser.sign_in("alice");
    for (begun, state) in [(&second, "second"), (&first, "first")] {
        let page = browser
            .get(&app.auth.resume_url(&begun["transaction"]))
            .await;
        let answer = browser.decide(&page, "approve").await.redirect(CALLBACK);
        assert_eq!(answer["state"], state);
    }
}

#[tokio::test]
async fn a_form_of_another_site_disturbs_nothing_that_waits() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&client, &[]).await;

    // Browsers send no cookies along with it, and keep what comes back.
    let body = authorize_params(&client, &[("state", "a#b ü\"")]);
    let request = Request::post("/oauth/authorize")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site")
        .header("origin", "https://client.example");
    let answer = app.send(request.body(body.into()).unwrap()).await;
    assert_eq!(answer.header("set-cookie"), "", "{answer:?}");
    let link = answer.header("location");
    assert!(link.starts_with(&format!("{ORIGIN}/oauth/authorize?")));

    // With the link they do, so that nobody signs in twice.
    let begun = browser.get(link).await;
    let begun = begun.redirect(&format!("{ORIGIN}/oauth/consent"));
    let resume = app.auth.resume_url(&begun["transaction"]);
    for (page, state) in [
        (page, "a state&more"),
        (browser.get(&resume).await, "a#b ü\""),
    ] {
        let answer = browser.decide(&page, "approve").await.redirect(CALLBACK);
        assert_eq!(answer["state"], state);
    }
}

#[tokio::test]
async fn an_authorization_belongs_to_the_browser_it_began_in() {
    let app = App::new();
    let client = app.public_client().await;
    let mallory = Browser::new(&app);
    let begun = mallory.authorize(&client, &[]).await.redirect(LOGIN);
    let resume = app.auth.resume_url(&begun["transaction"]);
    let alice = Browser::of(&app, "alice");
    assert_eq!(alice.get(&resume).await.status, StatusCode::BAD_REQUEST);
    alice.authorize(&client, &[]).await;
    assert_eq!(alice.get(&resume).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_form_is_for_the_user_it_was_shown_to() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&client, &[]).await;
    browser.sign_in("bob");
    let answer = browser.decide(&page, "approve").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    browser.forget("user");
    browser.decide(&page, "approve").await.redirect(LOGIN);
    browser.sign_in("alice");
    assert!(
        browser
            .decide(&page, "approve")
            .await
            .redirect(CALLBACK)
            .contains_key("code")
    );
}

#[tokio::test]
async fn a_form_from_elsewhere_is_refused_and_costs_nothing() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&client, &[]).await;
    let mut fields = page.fields();
    fields.insert("decision".into(), "approve".into());
    let send = |headers: &[(&str, &str)], fields: Vec<(String, String)>| {
        let pairs: Vec<_> = fields
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let mut request = Request::post("/oauth/consent")
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        browser.send(request.body(Body::from(form(&pairs))).unwrap())
    };
    let whole: Vec<_> = fields.clone().into_iter().collect();
    for headers in [
        [("sec-fetch-site", "cross-site")].as_slice(),
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example")],
    ] {
        let answer = send(headers, whole.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{headers:?}");
    }
    for missing in ["token", "transaction", "decision"] {
        let mut some = fields.clone();
        some.remove(missing);
        let answer = send(&[], some.into_iter().collect()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "without {missing}");
    }
    let mut wrong = fields.clone();
    wrong.insert("token".into(), "A".repeat(43));
    assert_eq!(
        send(&[], wrong.into_iter().collect()).await.status,
        StatusCode::BAD_REQUEST
    );
    let mut twice = whole.clone();
    twice.push(("decision".into(), "deny".into()));
    assert_eq!(send(&[], twice).await.status, StatusCode::BAD_REQUEST);

    let answer = send(&[("origin", ORIGIN)], whole).await;
    assert!(answer.redirect(CALLBACK).contains_key("code"));
}

#[tokio::test]
async fn an_authorization_is_forgotten_after_ten_minutes() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&client, &[]).await;
    app.advance(600);
    let answer = browser.decide(&page, "approve").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
}

#[tokio::test]
async fn a_remembered_consent_skips_the_page_for_web_clients_and_what_was_consented_to() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    browser.approve(&client, &[("scope", "notes:read")]).await;
    let silent = browser.authorize(&client, &[("scope", "notes:read")]).await;
    assert!(silent.redirect(CALLBACK).contains_key("code"));
    // More than before, another resource, another user, or a client that insists: the page again.
    browser
        .consent_page(&client, &[("scope", "notes:read notes:write")])
        .await;
    let files = [
        ("scope", "files:read"),
        ("resource", "https://api.example.com/files"),
    ];
    browser.consent_page(&client, &files).await;
    browser
        .consent_page(&client, &[("prompt", "consent")])
        .await;
    Browser::of(&app, "bob").consent_page(&client, &[]).await;
    // Consents add up.
    browser.approve(&client, &[("scope", "notes:write")]).await;
    let both = browser
        .authorize(&client, &[("scope", "notes:read notes:write")])
        .await;
    assert!(both.redirect(CALLBACK).contains_key("code"));
}

/// Browsers repeat by themselves what they ask for with GET where a connection breaks.
#[tokio::test]
async fn whoever_comes_back_from_signing_in_twice_is_answered_twice() {
    let app = App::new();
    let client = app.public_client().await;
    Browser::of(&app, "alice").approve(&client, &[]).await;
    let browser = Browser::new(&app);
    let away = browser.authorize(&client, &[("state", "s")]).await;
    let transaction = away.redirect("https://api.example.com/sign-in")["transaction"].clone();
    browser.sign_in("alice");
    let back = app.auth.resume_url(&transaction);
    for _ in 0..2 {
        let answer = browser.get(&back).await.redirect(CALLBACK);
        assert_eq!(answer["state"], "s");
        Tokens::from(&app.redeem(&client, &answer["code"]).await);
    }
    // It is who came that is answered, not whoever knows the address.
    let other = Browser::of(&app, "alice").get(&back).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST, "{other:?}");
}

#[tokio::test]
async fn a_local_program_is_confirmed_every_time() {
    let app = App::new();
    for uri in [
        "http://127.0.0.1:7/cb",
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ] {
        let metadata = json!({"redirect_uris": [uri], "token_endpoint_auth_method": "none"});
        let client = app.register(metadata).await.json()["client_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let browser = Browser::of(&app, "alice");
        let more = [("redirect_uri", uri)];
        browser.approve(&client, &more).await;
        let page = browser.consent_page(&client, &more).await;
        assert!(page.body.contains("on your own computer"), "{page:?}");
        let silent = browser
            .authorize(&client, &[more[0], ("prompt", "none")])
            .await;
        assert_eq!(silent.redirect(uri)["error"], "consent_required");
    }
}

#[tokio::test]
async fn a_withdrawn_consent_ends_its_tokens_and_asks_again() {
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    let bobs = app.tokens(&client, "bob", &[]).await;
    let alice = tower_mcp_auth::Subject::new("alice").unwrap();
    let consents = app.auth.consents(&alice).await.unwrap();
    assert_eq!(consents.len(), 1);
    app.auth
        .withdraw_consent(&alice, &consents[0].client_id)
        .await
        .unwrap();
    let refused = app.call("/mcp", &tokens.access).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    app.refresh(&client, &tokens.refresh)
        .await
        .assert_error(400, "invalid_grant");
    assert_eq!(app.call("/mcp", &bobs.access).await.body, "bob");
    Browser::of(&app, "alice").consent_page(&client, &[]).await;
    assert!(app.auth.consents(&alice).await.unwrap().is_empty());
}

#[tokio::test]
async fn pages_allow_no_script_no_frame_and_no_leak() {
    let app = App::new();
    let hostile = "<script>alert(1)</script>\"'";
    let metadata = json!({
        "redirect_uris": [CALLBACK], "client_name": hostile, "token_endpoint_auth_method": "none",
    });
    let client = app.register(metadata).await.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let browser = Browser::of(&app, "alice");
    let consent = browser.consent_page(&client, &[("state", hostile)]).await;
    let error = browser
        .get(&format!(
            "/oauth/authorize?client_id={}",
            form(&[("x", hostile)])
        ))
        .await;
    for page in [consent, error] {
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("form-action"), "{policy}");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(!page.body.contains("<script"), "{page:?}");
    }
}

#[tokio::test]
async fn a_resume_address_never_leaves_this_origin() {
    let app = App::new();
    for hostile in [
        "https://evil.example/",
        "//evil.example",
        "x&redirect_uri=https://evil.example",
        "\r\nLocation: x",
    ] {
        let url = app.auth.resume_url(hostile);
        assert!(
            url.starts_with("https://api.example.com/oauth/consent?transaction="),
            "{url}"
        );
        let answer = Browser::of(&app, "alice").get(&url).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn the_page_says_who_wants_what_and_where_the_answer_goes() {
    let app = App::new();
    for (uri, destination) in [
        (CALLBACK, "client.example"),
        ("http://127.0.0.1:7/cb", "127.0.0.1:7"),
        ("com.example.agent:/cb", "com.example.agent:"),
    ] {
        let metadata = json!({
            "client_name": "Agent", "redirect_uris": [uri], "token_endpoint_auth_method": "none",
        });
        let client = app.register(metadata).await.json()["client_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let more = [("redirect_uri", uri), ("scope", "notes:read notes:write")];
        let page = Browser::of(&app, "alice")
            .consent_page(&client, &more)
            .await;
        let (shown, _) = page.body.split_once("<form").unwrap();
        for text in [
            "Agent",
            destination,
            "ALICE",
            "Notes",
            "notes:read",
            "notes:write",
        ] {
            assert!(shown.contains(text), "{text}: {page:?}");
        }
    }
}

/// Browsers leave a default port out, and capitals.
#[test]
fn only_a_page_of_this_origin_is_of_the_same_origin() {
    let says = |origin: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("origin", origin.parse().unwrap());
        headers
    };
    let configured = |issuer: &str| {
        tower_mcp_auth::McpAuth::builder(issuer)
            .login_page("/sign-in")
            .authenticator(ByCookie)
            .resource(format!("{ORIGIN}/mcp"), ["a"])
            .store(tower_mcp_auth::MemoryStore::new())
            .build()
    };
    // Clients would rewrite these, and then find another issuer.
    for other in ["HTTPS://API.Example.com:443", "https://api.example.com:"] {
        assert!(configured(other).is_err(), "{other}");
    }
    let auth = configured(ORIGIN).unwrap();
    assert!(auth.is_same_origin(&says(ORIGIN)));
    for other in [
        "https://evil.example",
        "http://api.example.com",
        "https://api.example.com:8443",
        "null",
        "x",
    ] {
        assert!(!auth.is_same_origin(&says(other)), "{other}");
    }
    let mut headers = says(ORIGIN);
    headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert!(!auth.is_same_origin(&headers));
    assert!(auth.is_same_origin(&http::HeaderMap::new()), "no browser");
}
