//! Devices without a browser (RFC 8628): two codes, a person elsewhere, and polling.

mod common;

use std::sync::Arc;

use axum::body::Body;
use common::*;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower_mcp_auth::{ConfigError, Event, MemoryStore, StaticClient, Store};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const PAGE: &str = "https://api.example.com/oauth/device";
const LOGIN: &str = "https://api.example.com/sign-in";

/// What the device was given.
struct Device {
    code: String,
    user_code: String,
    client: String,
}

async fn begin(app: &App, params: &[(&str, &str)]) -> Answer {
    let request = Request::post("/oauth/device-authorization")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form(params).into());
    app.send(request.unwrap()).await
}

/// A client that knows no other grant.
async fn device_client(app: &App, name: &str) -> String {
    let answer = app
        .register(json!({
            "client_name": name, "token_endpoint_auth_method": "none",
            "grant_types": [GRANT, "refresh_token"], "response_types": [],
        }))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

async fn device(app: &App) -> Device {
    let client = device_client(app, "Television").await;
    device_of(app, &client).await
}

async fn device_of(app: &App, client: &str) -> Device {
    let answer = begin(
        app,
        &[
            ("client_id", client),
            ("scope", "notes:read"),
            ("resource", MCP),
        ],
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let body = answer.json();
    Device {
        code: body["device_code"].as_str().unwrap().to_owned(),
        user_code: body["user_code"].as_str().unwrap().to_owned(),
        client: client.to_owned(),
    }
}

async fn poll_as(app: &App, client: &str, code: &str) -> Answer {
    app.token(&[
        ("grant_type", GRANT),
        ("client_id", client),
        ("device_code", code),
    ])
    .await
}

async fn poll(app: &App, device: &Device) -> Answer {
    poll_as(app, &device.client, &device.code).await
}

/// Sends the form of `page` back, with `more` typed into it or pressed on it.
async fn submit(browser: &Browser<'_>, page: &Answer, more: &[(&str, &str)]) -> Answer {
    let fields = page.fields();
    let hidden = fields.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let pairs: Vec<_> = hidden.chain(more.iter().copied()).collect();
    browser.post(PAGE, form(&pairs)).await
}

/// Types a code into a fresh form.
async fn type_code(browser: &Browser<'_>, code: &str) -> Answer {
    let page = browser.get(PAGE).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    submit(browser, &page, &[("user_code", code)]).await
}

async fn confirm_page(browser: &Browser<'_>, device: &Device) -> Answer {
    let page = type_code(browser, &device.user_code).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(page.body.contains("Approve"), "{page:?}");
    page
}

async fn decide(browser: &Browser<'_>, page: &Answer, decision: &str) -> Answer {
    submit(browser, page, &[("decision", decision)]).await
}

async fn approve(app: &App, user: &str, device: &Device) {
    let browser = Browser::of(app, user);
    let page = confirm_page(&browser, device).await;
    let done = decide(&browser, &page, "approve").await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert!(done.body.contains("go back to your device"), "{done:?}");
}

#[tokio::test]
async fn a_device_gets_its_tokens_once_its_user_has_approved() {
    let store = Arc::new(MemoryStore::new());
    let app = App::with(|builder| builder.store(Arc::clone(&store)));
    let client = device_client(&app, "Television").await;
    let answer = begin(&app, &[("client_id", &client), ("scope", "notes:read")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let body = answer.json();
    assert!(body["device_code"].as_str().unwrap().starts_with("mcp_dc_"));
    let user_code = body["user_code"].as_str().unwrap();
    let (left, right) = user_code.split_once('-').unwrap();
    for half in [left, right] {
        assert_eq!(half.len(), 4, "{user_code}");
        assert!(half.chars().all(|c| "BCDFGHJKLMNPQRSTVWXZ".contains(c)));
    }
    assert_eq!(body["verification_uri"], PAGE);
    let complete = body["verification_uri_complete"].as_str().unwrap();
    assert_eq!(complete, format!("{PAGE}?user_code={user_code}"));
    assert_eq!(
        (&body["expires_in"], &body["interval"]),
        (&json!(600), &json!(5))
    );
    let device = Device {
        code: body["device_code"].as_str().unwrap().to_owned(),
        user_code: user_code.to_owned(),
        client,
    };
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");

    // The user follows the link without being signed in, and comes back by way of the sign-in page.
    let browser = Browser::new(&app);
    let login = browser.get(complete).await.redirect(LOGIN);
    browser.sign_in("alice");
    let page = browser
        .get(&app.auth.resume_url(&login["transaction"]))
        .await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(
        page.body.contains(&format!("value=\"{user_code}\"")),
        "{page:?}"
    );
    assert!(page.body.contains("ALICE"), "{page:?}");
    let page = submit(&browser, &page, &[("user_code", user_code)]).await;
    for shown in ["Television", user_code, "ALICE", "Notes", "notes:read"] {
        assert!(page.body.contains(shown), "{shown}: {page:?}");
    }
    app.advance(5);
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
    let done = decide(&browser, &page, "approve").await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");

    let tokens = Tokens::from(&poll(&app, &device).await);
    assert_eq!((&*tokens.scope, tokens.expires_in), ("notes:read", 3600));
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    assert_eq!(
        app.call("/files", &tokens.access).await.status,
        StatusCode::UNAUTHORIZED
    );
    let next = Tokens::from(&app.refresh(&device.client, &tokens.refresh).await);
    assert_eq!(app.call("/mcp", &next.access).await.body, "alice");
    poll(&app, &device).await.assert_error(400, "invalid_grant");

    let alice = tower_mcp_auth::Subject::new("alice").unwrap();
    let consents = app.auth.consents(&alice).await.unwrap();
    assert_eq!(consents[0].scopes.to_string(), "notes:read");
    let grants = store
        .grants(alice, tower_mcp_auth::Clock::now(&app.clock))
        .await;
    assert_eq!(grants.unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_is_approved_by_looking() {
    let app = App::new();
    let device = device(&app).await;
    let browser = Browser::of(&app, "alice");
    let complete = format!("{PAGE}?user_code={}&decision=approve", device.user_code);
    let page = browser.get(&complete).await;
    // The first page says nothing about the device, so following links is no way to guess codes.
    assert!(page.body.contains(&device.user_code), "{page:?}");
    assert!(!page.body.contains("Television"), "{page:?}");
    confirm_page(&browser, &device).await;
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
    // The first form's token does not decide.
    let pressed = [("user_code", &*device.user_code), ("decision", "approve")];
    let answer = submit(&browser, &page, &pressed).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    app.advance(5);
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
}

#[tokio::test]
async fn a_code_is_read_in_any_case_and_with_any_punctuation() {
    let app = App::new();
    let device = device(&app).await;
    let browser = Browser::of(&app, "alice");
    let plain = device.user_code.replace('-', "").to_lowercase();
    for typed in [plain.clone(), format!(" {}.{} ", &plain[..3], &plain[3..])] {
        let page = type_code(&browser, &typed).await;
        assert_eq!(page.status, StatusCode::OK, "{typed}: {page:?}");
        assert!(page.body.contains(&device.user_code), "{page:?}");
    }
}

#[tokio::test]
async fn a_denial_reaches_the_device() {
    let app = App::new();
    let device = device(&app).await;
    let browser = Browser::of(&app, "alice");
    let page = confirm_page(&browser, &device).await;
    let done = decide(&browser, &page, "deny").await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    for _ in 0..2 {
        poll(&app, &device).await.assert_error(400, "access_denied");
    }
    let late = decide(&browser, &page, "approve").await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{late:?}");
    poll(&app, &device).await.assert_error(400, "access_denied");
}

#[tokio::test]
async fn whoever_polls_too_fast_has_to_wait_longer_each_time() {
    let app = App::new();
    let device = device(&app).await;
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
    app.advance(4);
    poll(&app, &device).await.assert_error(400, "slow_down");
    // Ten seconds from now on.
    app.advance(9);
    poll(&app, &device).await.assert_error(400, "slow_down");
    app.advance(15);
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
    approve(&app, "alice", &device).await;
    Tokens::from(&poll(&app, &device).await);
}

#[tokio::test]
async fn time_runs_out_for_both_codes() {
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .device_code_ttl(std::time::Duration::from_secs(60))
    });
    let (undecided, approved) = (device(&app).await, device(&app).await);
    let browser = Browser::of(&app, "alice");
    approve(&app, "alice", &approved).await;
    let page = confirm_page(&browser, &undecided).await;
    app.advance(60);
    for device in [&undecided, &approved] {
        poll(&app, device).await.assert_error(400, "expired_token");
    }
    let late = decide(&browser, &page, "approve").await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{late:?}");
    let again = type_code(&browser, &undecided.user_code).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "{again:?}");
}

#[tokio::test]
async fn a_device_code_is_good_for_its_own_client_alone() {
    let app = App::new();
    let device = device(&app).await;
    let other = device_client(&app, "Radio").await;
    approve(&app, "alice", &device).await;
    poll_as(&app, &other, &device.code)
        .await
        .assert_error(400, "invalid_grant");
    for code in ["", "mcp_dc_x", &device.code.replace("_dc_", "_rt_")] {
        let error = if code.is_empty() {
            "invalid_request"
        } else {
            "invalid_grant"
        };
        poll_as(&app, &device.client, code)
            .await
            .assert_error(400, error);
    }
    let elsewhere = [
        ("grant_type", GRANT),
        ("client_id", &device.client),
        ("device_code", &device.code),
        ("resource", "https://api.example.com/files"),
    ];
    app.token(&elsewhere)
        .await
        .assert_error(400, "invalid_target");
    // None of that cost the right client anything.
    Tokens::from(&poll(&app, &device).await);
}

#[tokio::test]
async fn of_two_approvals_at_once_one_counts_and_of_two_polls_one_is_answered() {
    let store = Arc::new(MemoryStore::new());
    let app = App::with(|builder| builder.store(Arc::clone(&store)));
    let device = device(&app).await;
    let (alice, bob) = (Browser::of(&app, "alice"), Browser::of(&app, "bob"));
    let pages = (
        confirm_page(&alice, &device).await,
        confirm_page(&bob, &device).await,
    );
    let (one, two) = tokio::join!(
        decide(&alice, &pages.0, "approve"),
        decide(&bob, &pages.1, "approve")
    );
    let won = [&one, &two].map(|answer| answer.status == StatusCode::OK);
    assert!(won[0] != won[1], "{one:?} {two:?}");
    let now = tower_mcp_auth::Clock::now(&app.clock);
    for (user, won) in [("alice", won[0]), ("bob", won[1])] {
        let user = tower_mcp_auth::Subject::new(user).unwrap();
        let grants = store.grants(user, now).await.unwrap();
        assert_eq!(grants.len(), usize::from(won));
    }
    let (one, two) = tokio::join!(poll(&app, &device), poll(&app, &device));
    let statuses = [&one, &two].map(|answer| answer.status.as_u16());
    assert!(
        statuses.contains(&200) && statuses.contains(&400),
        "{one:?} {two:?}"
    );
}

#[tokio::test]
async fn a_grant_that_is_revoked_before_the_device_comes_gives_nothing() {
    let app = App::new();
    let device = device(&app).await;
    approve(&app, "alice", &device).await;
    let alice = tower_mcp_auth::Subject::new("alice").unwrap();
    app.auth.revoke_user(&alice).await.unwrap();
    poll(&app, &device).await.assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn scopes_and_resource_are_decided_as_for_every_authorization() {
    let app = App::new();
    let client = device_client(&app, "Television").await;
    let id = ("client_id", client.as_str());
    for (params, error) in [
        (("resource", "https://evil.example/"), "invalid_target"),
        (("scope", "unheard:of"), "invalid_scope"),
        (("scope", "a\"b"), "invalid_scope"),
    ] {
        begin(&app, &[id, params]).await.assert_error(400, error);
    }
    let two = [
        id,
        ("resource", MCP),
        ("resource", "https://api.example.com/files"),
    ];
    begin(&app, &two).await.assert_error(400, "invalid_target");
    begin(&app, &[id, ("scope", "a"), ("scope", "b")])
        .await
        .assert_error(400, "invalid_request");
    begin(&app, &[("client_id", "nobody")])
        .await
        .assert_error(401, "invalid_client");

    // Broad scopes bring the narrow ones along, and the page says so.
    let app = App::with(|builder| {
        builder.store(MemoryStore::new()).resource_with(
            tower_mcp_auth::Resource::new("https://api.example.com/mail")
                .scopes(["mail:all"])
                .implies("mail:all", ["mail:read"]),
        )
    });
    let client = device_client(&app, "Television").await;
    let answer = begin(
        &app,
        &[
            ("client_id", &client),
            ("scope", "mail:all"),
            ("resource", "https://api.example.com/mail"),
        ],
    )
    .await;
    let page = type_code(
        &Browser::of(&app, "alice"),
        answer.json()["user_code"].as_str().unwrap(),
    )
    .await;
    assert!(page.body.contains("mail:read"), "{page:?}");
}

#[tokio::test]
async fn only_clients_of_this_grant_may_begin() {
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .client(StaticClient::confidential(
                "tv",
                "secret",
                Vec::<String>::new(),
            ))
    });
    let web = app.public_client().await;
    begin(&app, &[("client_id", &web)])
        .await
        .assert_error(400, "unauthorized_client");
    poll_as(&app, &web, "x")
        .await
        .assert_error(400, "unauthorized_client");
    begin(&app, &[("client_id", "tv")])
        .await
        .assert_error(401, "invalid_client");
    let configured = [("client_id", "tv"), ("client_secret", "secret")];
    assert_eq!(begin(&app, &configured).await.status, StatusCode::OK);
    // And a client of this grant alone cannot have a browser redirected.
    let device = device_client(&app, "Television").await;
    let answer = Browser::of(&app, "alice").authorize(&device, &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
}

#[tokio::test]
async fn forms_are_accepted_from_where_they_were_shown() {
    let app = App::new();
    let device = device(&app).await;
    let browser = Browser::of(&app, "alice");
    let page = confirm_page(&browser, &device).await;
    let mut fields = page.fields();
    fields.insert("decision".to_owned(), "approve".to_owned());
    let pairs: Vec<_> = fields
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let approval = |name: &'static str, value: &'static str| {
        Request::post("/oauth/device")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(name, value)
            .body(Body::from(form(&pairs)))
            .unwrap()
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
    ] {
        let answer = browser.send(approval(name, value)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {answer:?}");
    }
    // The same user in another browser, which has looked at the page too.
    let other = Browser::of(&app, "alice");
    confirm_page(&other, &device).await;
    let answer = other.send(approval("origin", ORIGIN)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    // Another user in the same browser; nobody at all.
    browser.sign_in("bob");
    let answer = browser.send(approval("origin", ORIGIN)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    assert!(
        answer.body.contains(&device.user_code),
        "one more look: {answer:?}"
    );
    browser.forget("user");
    let login = browser
        .send(approval("origin", ORIGIN))
        .await
        .redirect(LOGIN);
    let back = app.auth.resume_url(&login["transaction"]);
    assert_eq!(back, format!("{PAGE}?user_code={}", device.user_code));
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
    // The token of one code decides about no other.
    browser.sign_in("alice");
    let victim = device_of(&app, &device.client).await;
    let mut others = page.fields();
    others.insert("user_code".to_owned(), victim.user_code.clone());
    others.insert("decision".to_owned(), "approve".to_owned());
    let pairs: Vec<_> = others
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let answer = browser.post(PAGE, form(&pairs)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    poll(&app, &victim)
        .await
        .assert_error(400, "authorization_pending");

    let answer = browser.send(approval("origin", ORIGIN)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    Tokens::from(&poll(&app, &device).await);
}

#[tokio::test]
async fn a_form_without_its_parts_is_refused() {
    let app = App::new();
    let device = device(&app).await;
    let browser = Browser::of(&app, "alice");
    let page = confirm_page(&browser, &device).await;
    for wrong in [
        submit(&browser, &page, &[]).await,
        submit(&browser, &page, &[("decision", "perhaps")]).await,
        submit(
            &browser,
            &page,
            &[("decision", "approve"), ("decision", "deny")],
        )
        .await,
        browser.post(PAGE, form(&[("decision", "approve")])).await,
        browser.post(PAGE, "user_code=%ff".to_owned()).await,
        browser
            .get(&format!("{PAGE}?user_code=a&user_code=b"))
            .await,
    ] {
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    }
    let typo = type_code(&browser, "AEIO-UAEI").await;
    assert_eq!(typo.status, StatusCode::BAD_REQUEST, "{typo:?}");
    assert!(typo.body.contains("value=\"AEIO-UAEI\""), "{typo:?}");
    assert!(typo.body.contains("role=\"alert\""), "{typo:?}");
    // Right after that the form works.
    let page = submit(&browser, &typo, &[("user_code", &device.user_code)]).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    poll(&app, &device)
        .await
        .assert_error(400, "authorization_pending");
}

#[tokio::test]
async fn guessing_codes_comes_to_an_end_for_the_one_who_guesses() {
    // Even where nothing else is limited.
    let app = App::with(|builder| builder.store(MemoryStore::new()).danger_no_rate_limits());
    let device = device(&app).await;
    let browser = Browser::of(&app, "mallory");
    let wrong = if device.user_code == "BBBB-BBBB" {
        "CCCC-CCCC"
    } else {
        "BBBB-BBBB"
    };
    for _ in 0..10 {
        // What cannot be a code at all is no guess.
        type_code(&browser, "typo").await;
        let answer = type_code(&browser, wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    }
    // Another browser does not help, nor does the right code.
    for code in [wrong, &device.user_code] {
        let answer = type_code(&Browser::of(&app, "mallory"), code).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:?}");
        assert_eq!(answer.header("retry-after"), "600");
    }
    confirm_page(&Browser::of(&app, "alice"), &device).await;
    app.advance(600);
    let answer = type_code(&browser, wrong).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
}

#[tokio::test]
async fn only_so_many_devices_wait_at_once() {
    let app = App::with(|builder| builder.store(MemoryStore::new()).max_pending_devices(2));
    let client = device_client(&app, "Television").await;
    for _ in 0..2 {
        device_of(&app, &client).await;
    }
    let full = begin(&app, &[("client_id", &client)]).await;
    full.assert_error(429, "temporarily_unavailable");
    assert!(!full.header("retry-after").is_empty());
}

#[tokio::test]
async fn pages_allow_no_script_no_frame_and_no_leak() {
    let app = App::new();
    let hostile = "<script>alert(1)</script>\"'";
    let client = device_client(&app, hostile).await;
    let device = device_of(&app, &client).await;
    let browser = Browser::of(&app, "alice");
    let prefilled = browser
        .get(&format!("{PAGE}?{}", form(&[("user_code", hostile)])))
        .await;
    // Strangers do not write into the field.
    assert!(!prefilled.body.contains("alert"), "{prefilled:?}");
    let typo = type_code(&browser, hostile).await;
    let confirm = confirm_page(&browser, &device).await;
    let done = decide(&browser, &confirm, "deny").await;
    for page in [prefilled, typo, confirm, done] {
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("access-control-allow-origin"), "");
        assert!(!page.body.contains("<script"), "{page:?}");
    }
}

#[tokio::test]
async fn signing_in_leads_back_to_this_page_and_nowhere_else() {
    let app = App::new();
    let browser = Browser::new(&app);
    let login = browser
        .get(&format!("{PAGE}?user_code=//evil.example"))
        .await;
    let transaction = &login.redirect(LOGIN)["transaction"];
    assert_eq!(app.auth.resume_url(transaction), PAGE);
    for hostile in [
        "device-//evil.example",
        "device-BCDF-GHJK&x=y#z",
        "device-\r\nx",
    ] {
        let url = app.auth.resume_url(hostile);
        assert!(
            url.starts_with("https://api.example.com/oauth/consent?transaction="),
            "{url}"
        );
    }
    browser.sign_in("outage");
    let answer = browser.get(PAGE).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
}

#[tokio::test]
async fn each_step_is_an_event() {
    let seen: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .observer(move |event: &Event<'_>| {
                let shown = format!("{event:?}");
                log.lock().unwrap().push(shown);
            })
    });
    let device = device(&app).await;
    poll(&app, &device).await;
    approve(&app, "alice", &device).await;
    poll(&app, &device).await;
    let seen = seen.lock().unwrap();
    for name in [
        "DeviceBegun",
        "device_pending",
        "DeviceApproved",
        "TokensIssued",
    ] {
        let found = seen.iter().filter(|event| event.contains(name)).count();
        assert_eq!(found, 1, "{name}: {seen:?}");
    }
    for secret in [&device.code, &device.user_code] {
        assert!(
            !seen.iter().any(|event| event.contains(secret.as_str())),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn a_short_code_is_given_for_a_short_time() {
    for seconds in [0, 1801] {
        let built = builder()
            .store(MemoryStore::new())
            .device_code_ttl(std::time::Duration::from_secs(seconds))
            .build();
        let error: ConfigError = built.unwrap_err();
        assert!(error.to_string().contains("device_code_ttl"), "{error}");
    }
    let document: Value = App::new()
        .get("/.well-known/oauth-authorization-server")
        .await
        .json();
    assert_eq!(
        document["device_authorization_endpoint"],
        "https://api.example.com/oauth/device-authorization"
    );
    assert!(
        document["grant_types_supported"]
            .as_array()
            .unwrap()
            .contains(&json!(GRANT))
    );
}
