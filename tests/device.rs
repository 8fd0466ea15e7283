//! Devices without a browser (RFC 8628): two codes, a person elsewhere, and polling.

mod common;
#[path = "common/device.rs"]
mod devices;

use std::{sync::Arc, time::Duration};

use common::*;
use devices::*;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower_mcp_auth::{
    Clock, ConfigError, Event, MemoryStore, Resource, StaticClient, Store, Subject,
};

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
    assert_eq!((&*tokens.scope, tokens.expires_in), ("notes:read", 3590));
    assert_eq!(app.call("/mcp", &tokens.access).await.body, "alice");
    assert_eq!(
        app.call("/files", &tokens.access).await.status,
        StatusCode::UNAUTHORIZED
    );
    let next = Tokens::from(&app.refresh(&device.client, &tokens.refresh).await);
    assert_eq!(app.call("/mcp", &next.access).await.body, "alice");
    poll(&app, &device).await.assert_error(400, "invalid_grant");

    let alice = Subject::new("alice").unwrap();
    let consents = app.auth.consents(&alice).await.unwrap();
    assert_eq!(consents[0].scopes.to_string(), "notes:read");
    let grants = store.grants(alice, app.clock.now()).await;
    assert_eq!(grants.unwrap().len(), 1);
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

/// What is approved is to reach the device, which comes every five seconds.
#[tokio::test]
async fn nobody_approves_what_would_come_too_late() {
    let app = App::new();
    let (one, two) = (device(&app).await, device(&app).await);
    let browser = Browser::of(&app, "alice");
    let (first, second) = (
        confirm_page(&browser, &one).await,
        confirm_page(&browser, &two).await,
    );
    app.advance(594);
    let approved = decide(&browser, &first, "approve").await;
    assert_eq!(approved.status, StatusCode::OK, "{approved:?}");
    app.advance(1);
    let late = decide(&browser, &second, "approve").await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{late:?}");
    app.advance(4);
    Tokens::from(&poll(&app, &one).await);
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
async fn of_two_approvals_at_once_one_counts_and_two_polls_are_answered_alike() {
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
    let now = app.clock.now();
    for (user, won) in [("alice", won[0]), ("bob", won[1])] {
        let user = Subject::new(user).unwrap();
        let grants = store.grants(user, now).await.unwrap();
        assert_eq!(grants.len(), usize::from(won));
    }
    let (one, two) = tokio::join!(poll(&app, &device), poll(&app, &device));
    let (one, two) = (Tokens::from(&one), Tokens::from(&two));
    assert_eq!((one.access, one.refresh), (two.access, two.refresh));
}

/// RFC 8628 §3.5: who hears nothing asks again.
#[tokio::test]
async fn a_device_that_did_not_hear_the_answer_hears_it_once_more() {
    let app = App::new();
    let device = device(&app).await;
    approve(&app, "alice", &device).await;
    let first = Tokens::from(&poll(&app, &device).await);
    app.advance(30);
    let again = Tokens::from(&poll(&app, &device).await);
    assert_eq!(
        (&again.access, &again.refresh),
        (&first.access, &first.refresh)
    );
    assert_eq!(again.expires_in, first.expires_in - 30);
    assert_eq!(app.call("/mcp", &again.access).await.body, "alice");
    poll_as(&app, &device_client(&app, "Another").await, &device.code)
        .await
        .assert_error(400, "invalid_grant");
    app.advance(1);
    poll(&app, &device).await.assert_error(400, "invalid_grant");
    Tokens::from(&app.refresh(&device.client, &first.refresh).await);
}

#[cfg(feature = "jwt")]
#[tokio::test]
async fn signed_tokens_are_told_again_as_well() {
    const SIGNED: &str = "https://api.example.com/signed";
    let app = App::with(|builder| {
        let signed = Resource::new(SIGNED).scopes(["s"]).jwt_access_tokens();
        builder.store(MemoryStore::new()).resource_with(signed)
    });
    let client = device_client(&app, "Television").await;
    let params = [("client_id", &*client), ("resource", SIGNED)];
    let body = begin(&app, &params).await.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let (code, user_code) = (text("device_code"), text("user_code"));
    let device = Device {
        code,
        user_code,
        client,
    };
    approve(&app, "alice", &device).await;
    let first = Tokens::from(&poll(&app, &device).await);
    app.advance(7);
    let again = Tokens::from(&poll(&app, &device).await);
    assert_eq!(first.access.split('.').count(), 3);
    assert_eq!((again.access, again.refresh), (first.access, first.refresh));
}

#[tokio::test]
async fn what_a_device_was_given_is_not_told_again_once_it_was_used_or_revoked() {
    let app = App::new();
    let refused = async |device: &Device| {
        poll(&app, device).await.assert_error(400, "invalid_grant");
    };
    let approved = async || {
        let device = device(&app).await;
        approve(&app, "alice", &device).await;
        let tokens = Tokens::from(&poll(&app, &device).await);
        (device, tokens)
    };
    let (device, tokens) = approved().await;
    Tokens::from(&app.refresh(&device.client, &tokens.refresh).await);
    refused(&device).await;
    for which in ["access", "refresh"] {
        let (device, tokens) = approved().await;
        let token = match which {
            "access" => &tokens.access,
            _ => &tokens.refresh,
        };
        let body = form(&[("client_id", &device.client), ("token", token)]);
        let request = Request::post("/oauth/revoke")
            .header("content-type", "application/x-www-form-urlencoded");
        let revoked = app.send(request.body(body.into()).unwrap()).await;
        assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
        refused(&device).await;
    }
    // By the lifetimes of another configuration it was given at another time.
    let store = Arc::new(MemoryStore::new());
    let lasting = |days: u64| {
        App::with(|builder| {
            let builder = builder.store(Arc::clone(&store));
            builder.refresh_token_ttl(Duration::from_secs(days * 24 * 3600))
        })
    };
    let (before, after) = (lasting(7), lasting(1));
    let device = devices::device(&before).await;
    approve(&before, "alice", &device).await;
    Tokens::from(&poll(&before, &device).await);
    for wait in [0, 60] {
        after.advance(wait);
        let answer = poll(&after, &device).await;
        answer.assert_error(400, "invalid_grant");
    }
    let closed = App::with(|builder| {
        let builder = builder.store(MemoryStore::new());
        builder.refresh_grace(Duration::ZERO)
    });
    let device = devices::device(&closed).await;
    approve(&closed, "alice", &device).await;
    Tokens::from(&poll(&closed, &device).await);
    poll(&closed, &device)
        .await
        .assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn a_grant_that_is_revoked_before_the_device_comes_gives_nothing() {
    let app = App::new();
    let device = device(&app).await;
    approve(&app, "alice", &device).await;
    let alice = Subject::new("alice").unwrap();
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
            Resource::new("https://api.example.com/mail")
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
    for _ in 0..2 {
        Tokens::from(&poll(&app, &device).await);
    }
    let seen = seen.lock().unwrap();
    for name in [
        "DeviceBegun",
        "device_pending",
        "DeviceApproved",
        "repeated: false",
        "repeated: true",
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

#[tokio::test]
async fn what_was_approved_in_a_session_can_end_with_it() {
    let app = App::new();
    let mut tokens = Vec::new();
    for session in ["s-1", "s-2"] {
        let device = device(&app).await;
        let browser = Browser::of(&app, "alice");
        browser.set("session", session);
        let page = confirm_page(&browser, &device).await;
        decide(&browser, &page, "approve").await;
        tokens.push(Tokens::from(&poll(&app, &device).await));
    }
    let alice = Subject::new("alice").unwrap();
    app.auth.revoke_session(&alice, "s-1").await.unwrap();
    let status = async |token: &str| app.call("/mcp", token).await.status.as_u16();
    assert_eq!(status(&tokens[0].access).await, 401);
    assert_eq!(status(&tokens[1].access).await, 200);
}
