//! A store that fails costs patience and nothing else: the client is asked to wait, asks again, and
//! gets what it would have got. No error turns into a refusal, a revocation or a lost answer.
//!
//! One run of everything a client does is repeated with a fault at each single call of the store.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;
mod faults;
#[cfg(feature = "jwt")]
#[path = "common/jws.rs"]
mod jws;

use common::*;
use faults::{Fault, Faulty, Plan};
#[cfg(feature = "jwt")]
use http::request::Parts;
use http::{Request, StatusCode, header};
use serde_json::json;
#[cfg(feature = "jwt")]
use tower_mcp_auth::{AssertedSubject, Authenticator, AuthenticatorError, SignedIn, TrustedIssuer};
use tower_mcp_auth::{ClientId, StaticClient, Subject, store::Store};

fn app(store: &Faulty) -> App {
    App::with(|builder| builder.store(store.clone()))
}

/// Asks again for as long as the answer is to come later.
async fn patient<F: Future<Output = Answer>>(mut send: impl FnMut() -> F) -> Answer {
    for _ in 0..3 {
        let answer = send().await;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            return answer;
        }
        let seconds = answer.header("retry-after").parse::<u64>();
        assert!(seconds.is_ok_and(|seconds| seconds > 0), "{answer:?}");
        if answer
            .header("content-type")
            .starts_with("application/json")
        {
            assert!(answer.body.contains("\"temporarily_unavailable\""));
        }
    }
    panic!("one fault failed three requests");
}

async fn post(app: &App, path: &str, params: &[(&str, &str)]) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form(params).into());
    app.send(request.unwrap()).await
}

async fn register(app: &App) -> String {
    let metadata = json!({
        "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token", device::GRANT],
    });
    let answer = patient(|| app.register(metadata.clone())).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

/// A browser whose user asks again, too.
async fn approve(app: &App, client: &str) -> String {
    let browser = Browser::of(app, "alice");
    let begun = patient(|| browser.authorize(client, &[])).await;
    if begun.header("location").starts_with(CALLBACK) {
        return begun.redirect(CALLBACK)["code"].clone();
    }
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{begun:?}");
    let page = patient(|| browser.get(begun.header("location"))).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    let answer = patient(|| browser.decide(&page, "approve")).await;
    answer.redirect(CALLBACK)["code"].clone()
}

async fn sign_in(app: &App, client: &str) -> Tokens {
    let code = approve(app, client).await;
    Tokens::from(&patient(|| app.redeem(client, &code)).await)
}

async fn refresh(app: &App, client: &str, token: &str) -> Tokens {
    Tokens::from(&patient(|| app.refresh(client, token)).await)
}

async fn television(app: &App, client: &str) -> Tokens {
    let params = [
        ("client_id", client),
        ("scope", "notes:read"),
        ("resource", MCP),
    ];
    let begun = patient(|| device::begin(app, &params)).await;
    assert_eq!(begun.status, StatusCode::OK, "{begun:?}");
    let given = begun.json();
    let (code, user_code) = (given["device_code"].as_str(), given["user_code"].as_str());
    let (code, user_code) = (code.unwrap(), user_code.unwrap());
    let browser = Browser::of(app, "alice");
    let form = patient(|| browser.get(device::PAGE)).await;
    let typed = [("user_code", user_code)];
    let page = patient(|| device::submit(&browser, &form, &typed)).await;
    let done = patient(|| device::decide(&browser, &page, "approve")).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    Tokens::from(&patient(|| device::poll_as(app, client, code)).await)
}

async fn call(app: &App, tokens: &Tokens) -> StatusCode {
    patient(|| app.call("/mcp", &tokens.access)).await.status
}

/// Everything that a client does in its life.
async fn life(app: &App) {
    let client = register(app).await;
    let laptop = sign_in(app, &client).await;
    assert_eq!(call(app, &laptop).await, StatusCode::OK);

    let second = refresh(app, &client, &laptop.refresh).await;
    assert_eq!(call(app, &second).await, StatusCode::OK);
    let repeat = refresh(app, &client, &laptop.refresh).await;
    assert_eq!(repeat, second);
    let third = refresh(app, &client, &second.refresh).await;
    assert_eq!(call(app, &third).await, StatusCode::OK);

    let phone = sign_in(app, &client).await;
    let television = television(app, &client).await;
    assert_eq!(call(app, &television).await, StatusCode::OK);
    let params = [("client_id", &*client), ("token", &*phone.refresh)];
    let revoked = patient(|| post(app, "/oauth/revoke", &params)).await;
    assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
    assert_eq!(call(app, &phone).await, StatusCode::UNAUTHORIZED);
    let refused = patient(|| app.refresh(&client, &phone.refresh)).await;
    refused.assert_error(400, "invalid_grant");

    for tokens in [&third, &television] {
        assert_eq!(call(app, tokens).await, StatusCode::OK);
    }
    let alice = Subject::new("alice").unwrap();
    if app.auth.revoke_user(&alice).await.is_err() {
        app.auth.revoke_user(&alice).await.unwrap();
    }
    for tokens in [&laptop, &second, &third, &television] {
        assert_eq!(call(app, tokens).await, StatusCode::UNAUTHORIZED);
    }
}

/// Lives a life for each call of the store, with that one fault in it.
async fn lives_with(fault: Fault) {
    lives_with_in(fault, |_| true).await;
}

/// As above, for each call of those names.
async fn lives_with_in(fault: Fault, goes_wrong: impl Fn(&str) -> bool) {
    let whole = Faulty::new(None);
    life(&app(&whole)).await;
    let names = whole.calls();
    assert!(names.len() > 30, "{names:?}");
    for (at, name) in names
        .iter()
        .enumerate()
        .filter(|(_, name)| goes_wrong(name))
    {
        println!("{fault:?} at call {at}, {name}");
        let store = Faulty::new(Some(Plan { at, fault }));
        life(&app(&store)).await;
        assert_eq!(store.calls()[at], *name);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_before_the_change_is_only_a_delay() {
    lives_with(Fault::Before).await;
}

#[tokio::test]
async fn an_error_after_the_change_is_only_a_delay() {
    lives_with(Fault::After).await;
}

/// What may be done once only is waited for: a second attempt would be refused.
#[tokio::test(start_paused = true)]
async fn what_is_done_after_its_connection_broke_is_not_lost() {
    let once = [
        "issue_code",
        "redeem_code",
        "redeem_device",
        "decide_device",
    ];
    for fault in [Fault::Later, Fault::AfterAndNext] {
        lives_with_in(fault, |name| once.contains(&name)).await;
    }
}

#[tokio::test]
async fn a_slow_store_is_only_slow() {
    lives_with(Fault::Delay).await;
}

#[tokio::test(start_paused = true)]
async fn half_a_batch_is_finished_by_the_next_attempt() {
    lives_with(Fault::Half).await;
}

/// Where nobody can say whether the code was used, it is as good as used: the next attempt is a
/// replay. It costs that sign-in and no other, and the user need not consent again.
#[tokio::test(start_paused = true)]
async fn a_redemption_that_nobody_can_vouch_for_costs_one_sign_in() {
    let store = Faulty::new(None);
    let app = app(&store);
    let client = register(&app).await;
    let other = sign_in(&app, &client).await;
    let code = approve(&app, &client).await;
    // The client and the code are read first.
    let redemption = store.calls().len() + 2;
    store.fail_at(redemption, Fault::AfterAndSilence);
    let answer = app.redeem(&client, &code).await;
    answer.assert_error(503, "temporarily_unavailable");
    assert_eq!(store.calls()[redemption], "redeem_code");
    app.redeem(&client, &code)
        .await
        .assert_error(400, "invalid_grant");
    assert_eq!(call(&app, &other).await, StatusCode::OK);
    let again = sign_in(&app, &client).await;
    assert_eq!(call(&app, &again).await, StatusCode::OK);
}

/// Ten processes share a refresh token, and the store fails the first of them after its change.
#[tokio::test]
async fn parallel_refreshes_agree_whichever_of_them_fails() {
    for fault in [Fault::Before, Fault::After, Fault::Delay] {
        for at in 0..10 {
            let store = Faulty::new(None);
            let app = app(&store);
            let client = register(&app).await;
            let first = sign_in(&app, &client).await;
            store.fail_at(store.calls().len() + at, fault);
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..10 {
                let (app, client, token) = (app.clone(), client.clone(), first.refresh.clone());
                tasks.spawn(async move { refresh(&app, &client, &token).await });
            }
            let answers = tasks.join_all().await;
            assert!(answers.iter().all(|tokens| *tokens == answers[0]));
            assert_eq!(call(&app, &answers[0]).await, StatusCode::OK);
        }
    }
}

/// What is swept in part is swept in the end, and nothing else is.
#[tokio::test]
async fn a_sweep_that_failed_goes_on() {
    let store = Faulty::new(None);
    let app = app(&store);
    let client = register(&app).await;
    for _ in 0..3 {
        approve(&app, &client).await;
    }
    let kept = sign_in(&app, &client).await;
    let later = tower_mcp_auth::Timestamp::from_secs(1_800_000_600);
    for fault in [Fault::Before, Fault::Half, Fault::After] {
        store.fail_next(fault);
        assert!(store.sweep(later, 256).await.is_err());
    }
    while store.sweep(later, 256).await.unwrap() > 0 {}
    assert_eq!(call(&app, &kept).await, StatusCode::OK);
    refresh(&app, &client, &kept.refresh).await;
}

/// Admits whoever an identity provider vouches for.
#[cfg(feature = "jwt")]
struct Enterprise;

#[cfg(feature = "jwt")]
impl Authenticator for Enterprise {
    async fn signed_in(&self, _: &Parts) -> Result<Option<SignedIn>, AuthenticatorError> {
        Ok(None)
    }

    async fn enterprise_subject(
        &self,
        asserted: &AssertedSubject,
    ) -> Result<Option<Subject>, AuthenticatorError> {
        Ok(Some(Subject::new(asserted.subject())?))
    }
}

/// What is told again may have been stored by a request that still waits for the disk: only the answer
/// to a change says that it will stay.
#[tokio::test]
async fn a_device_is_told_again_what_the_store_vouches_for() {
    let store = Faulty::new(None);
    let app = app(&store);
    let device = device::device(&app).await;
    device::approve(&app, "alice", &device).await;
    let told = Tokens::from(&device::poll(&app, &device).await);
    let before = store.calls().len();
    assert_eq!(Tokens::from(&device::poll(&app, &device).await), told);
    let calls = store.calls();
    let change = calls[before..]
        .iter()
        .position(|call| *call == "redeem_device");
    store.fail_at(calls.len() + change.unwrap(), Fault::Before);
    let unsure = device::poll(&app, &device).await;
    assert_eq!(unsure.status, StatusCode::SERVICE_UNAVAILABLE, "{unsure:?}");
    assert_eq!(Tokens::from(&device::poll(&app, &device).await), told);
}

/// An assertion is good once, and what the client was not told of was given all the same.
#[cfg(feature = "jwt")]
#[tokio::test(start_paused = true)]
async fn an_assertion_is_not_lost_with_the_answer() {
    const IDP: &str = "https://idp.example";
    let key = jws::Key::ed25519();
    for fault in [Fault::Before, Fault::After, Fault::Later, Fault::Delay] {
        let store = Faulty::new(None);
        let app = App::with(|builder| {
            builder
                .store(store.clone())
                .authenticator(Enterprise)
                .client(StaticClient::confidential(
                    "agent",
                    "secret",
                    Vec::<String>::new(),
                ))
                .trust_issuer(TrustedIssuer::new(IDP).jwks(key.jwks("one")))
        });
        let assertion = |jti: &str| {
            key.sign(
                json!({"typ": "oauth-id-jag+jwt", "kid": "one"}),
                &json!({
                    "iss": IDP, "sub": "alice", "aud": ORIGIN, "client_id": "agent", "jti": jti,
                    "iat": 1_800_000_000, "exp": 1_800_000_060, "resource": MCP,
                    "scope": "notes:read",
                }),
            )
        };
        // With the first token come the keys that all others are made with.
        let (first, assertion) = (assertion("zero"), assertion("one"));
        let params = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &assertion),
            ("client_id", "agent"),
            ("client_secret", "secret"),
        ];
        let mut warm = params;
        warm[1] = ("assertion", &first);
        Tokens::from(&app.token(&warm).await);
        let before = store.calls().len();
        store.fail_next(fault);
        let tokens = Tokens::from(&patient(|| app.token(&params)).await);
        assert_eq!(call(&app, &tokens).await, StatusCode::OK, "{fault:?}");
        let again = app.token(&params).await;
        again.assert_error(400, "invalid_grant");
        let failed = store.calls()[before];
        assert_eq!(failed, "issue_tokens", "that is what failed");
    }
}

/// Those that a client's usual life does not take.
#[tokio::test]
async fn the_other_endpoints_ask_for_patience_too() {
    let store = Faulty::new(None);
    let app = App::with(|builder| {
        builder
            .store(store.clone())
            .registration_management(true)
            .client(StaticClient::confidential("robot", "secret", [CALLBACK]))
    });
    let delayed = async |path: &str, token: &str, body: Option<String>| {
        let send = || {
            let method = if body.is_some() { "POST" } else { "GET" };
            let mut request = Request::builder().method(method).uri(path);
            if !token.is_empty() {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            app.send(
                request
                    .body(body.clone().unwrap_or_default().into())
                    .unwrap(),
            )
        };
        store.fail_next(Fault::Before);
        let answer = send().await;
        answer.assert_error(503, "temporarily_unavailable");
        assert!(!answer.header("retry-after").is_empty(), "{path}");
        let answer = send().await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
    };
    delayed("/oauth/jwks", "", None).await;
    let client = register(&app).await;
    let tokens = app.tokens(&client, "alice", &[("scope", "openid")]).await;
    delayed("/oauth/userinfo", &tokens.access, None).await;
    delayed("/oauth/par", "", Some(authorize_params(&client, &[]))).await;
    let robot = [
        ("client_id", "robot"),
        ("client_secret", "secret"),
        ("token", &tokens.refresh),
    ];
    delayed("/oauth/introspect", "", Some(form(&robot))).await;
    let managed = app.register(json!({"redirect_uris": [CALLBACK]})).await;
    let text = |name: &str| managed.json()[name].as_str().unwrap().to_owned();
    let (uri, token) = (
        text("registration_client_uri"),
        text("registration_access_token"),
    );
    let path = uri.strip_prefix(ORIGIN).unwrap();
    delayed(path, &token, None).await;
}

#[tokio::test]
async fn a_consent_that_is_withdrawn_meanwhile_gives_nothing_and_stays_withdrawn() {
    let store = Faulty::new(None);
    let app = app(&store);
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    browser.approve(&client, &[]).await;
    let before = store.calls().len();
    browser.authorize(&client, &[]).await;
    let silent = store.calls().split_off(before);
    let issuing = silent
        .iter()
        .position(|name| *name == "issue_code")
        .unwrap();

    let at = before + silent.len() + issuing;
    store.fail_at(at, Fault::Delay);
    let alice = Subject::new("alice").unwrap();
    let withdrawn = async {
        while store.calls().len() <= at {
            tokio::task::yield_now().await;
        }
        let client = ClientId::new(&client).unwrap();
        app.auth.withdraw_consent(&alice, &client).await.unwrap();
    };
    let (answer, ()) = tokio::join!(browser.authorize(&client, &[]), withdrawn);
    assert_eq!(answer.redirect(CALLBACK)["error"], "consent_required");
    assert_eq!(app.auth.consents(&alice).await.unwrap(), []);
    assert_eq!(app.auth.grants(&alice).await.unwrap(), []);
}

#[tokio::test]
async fn a_client_that_is_deleted_meanwhile_leaves_no_consent_behind() {
    let store = Faulty::new(None);
    let app = app(&store);
    let alice = Subject::new("alice").unwrap();
    let browser = Browser::of(&app, "alice");
    for change in ["issue_code", "decide_device"] {
        let is_device = change == "decide_device";
        // The first time shows which call to delay, and the client is deleted afterwards.
        let mut delayed = None;
        for status in [if is_device { 200 } else { 303 }, 400] {
            let client = register(&app).await;
            let page = if is_device {
                let device = device::device_of(&app, &client).await;
                device::confirm_page(&browser, &device).await
            } else {
                browser.consent_page(&client, &[]).await
            };
            let before = store.calls().len();
            if let Some(number) = delayed {
                store.fail_at(before + number, Fault::Delay);
            }
            let approved = async {
                match is_device {
                    true => device::decide(&browser, &page, "approve").await,
                    false => browser.decide(&page, "approve").await,
                }
            };
            let position = || store.calls()[before..].iter().position(|n| *n == change);
            let deleted = async {
                while position().is_none() {
                    tokio::task::yield_now().await;
                }
                let client = ClientId::new(&client).unwrap();
                app.auth.delete_client(&client).await.unwrap();
            };
            let (answer, ()) = tokio::join!(approved, deleted);
            assert_eq!(answer.status, status, "{change}: {answer:?}");
            assert_eq!(app.auth.consents(&alice).await.unwrap(), [], "{change}");
            assert_eq!(app.auth.grants(&alice).await.unwrap(), [], "{change}");
            delayed = position();
        }
    }
}

/// Who has waited for a store once is not kept waiting for what became of it.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_and_falls_silent_keeps_nobody() {
    let store = Faulty::new(None);
    let app = app(&store);
    let client = app.public_client().await;
    sign_in(&app, &client).await;
    // The first shows which call it is that fails for the second.
    let codes = [approve(&app, &client).await, approve(&app, &client).await];
    let start = store.calls().len();
    let redeemed = app.redeem(&client, &codes[0]).await;
    assert_eq!(redeemed.status, StatusCode::OK, "{redeemed:?}");
    let calls = store.calls().split_off(start);
    let at = calls.iter().position(|name| *name == "redeem_code");
    store.fail_at(start + calls.len() + at.unwrap(), Fault::AfterAndSilence);
    let begun = tokio::time::Instant::now();
    let answer = app.redeem(&client, &codes[1]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(begun.elapsed().as_secs() <= 2, "{:?}", begun.elapsed());
}
