//! Signing out because a client asks (OpenID Connect RP-Initiated Logout 1.0): who is, who is asked
//! first, and where the browser goes afterwards.
#![cfg(feature = "jwt")]

mod common;

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::*;
use http::{HeaderMap, Request, StatusCode, header, request::Parts};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_mcp_auth::{
    AuthenticatorError, Endpoint, Event, MemoryStore, RateLimits, Resource, SignOut, StaticClient,
    Subject,
};

const PAGE: &str = "https://api.example.com/oauth/end-session";
const AFTER: &str = "https://client.example/signed-out";
const HOSTILE: &str = "\"><script>alert(1)</script>'";
const STATE: &str = "a state&more=\"<b>";
/// Where access tokens are signed as id_tokens are.
const SIGNED: &str = "https://api.example.com/signed";
const DAY: u64 = 24 * 3600;

/// Ends the session of [`ByCookie`], and remembers whose.
#[derive(Clone, Default)]
struct Ending(Arc<Mutex<Vec<String>>>);

impl SignOut for Ending {
    async fn sign_out(&self, request: &Parts) -> Result<HeaderMap, AuthenticatorError> {
        let cookies = request.headers[header::COOKIE].to_str()?;
        let pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
        let user = pairs.clone().find(|(name, _)| *name == "user").unwrap().1;
        if user == "stuck" {
            return Err("the session server is down".into());
        }
        self.0.lock().unwrap().push(user.to_owned());
        let mut headers = HeaderMap::new();
        for gone in ["user=; Max-Age=0; Path=/", "session=; Max-Age=0; Path=/"] {
            headers.append(header::SET_COOKIE, gone.parse()?);
        }
        headers.insert(header::LOCATION, "https://elsewhere.example/".parse()?);
        headers.insert("x-internal", "something".parse()?);
        Ok(headers)
    }
}

impl Ending {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn app() -> (App, Ending) {
    let ending = Ending::default();
    let sign_out = ending.clone();
    let app = App::with(|builder| {
        let builder = builder.store(MemoryStore::new()).sign_out(sign_out);
        let signed = Resource::new(SIGNED).scopes(["notes:read"]);
        builder.resource_with(signed.jwt_access_tokens())
    });
    (app, ending)
}

/// A client of that name, whose users may go on to [`AFTER`] and to a program on their machine.
async fn client(app: &App, name: &str) -> String {
    let answer = app
        .register(json!({
            "client_name": name, "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
            "post_logout_redirect_uris": [AFTER, "http://127.0.0.1/bye"],
        }))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

/// What the token endpoint says once this browser's user has approved.
async fn granted(app: &App, browser: &Browser<'_>, client: &str) -> Value {
    let asked = [("scope", "openid notes:read"), ("prompt", "consent")];
    let code = browser.approve(client, &asked).await;
    app.redeem(client, &code).await.json()
}

async fn hint(app: &App, browser: &Browser<'_>, client: &str) -> String {
    let granted = granted(app, browser, client).await;
    granted["id_token"].as_str().unwrap().to_owned()
}

async fn end_session(browser: &Browser<'_>, params: &[(&str, &str)]) -> Answer {
    browser.get(&format!("{PAGE}?{}", form(params))).await
}

/// Sends the form of `page` back, with `more` in place of what it says.
async fn submit(browser: &Browser<'_>, page: &Answer, more: &[(&str, &str)]) -> Answer {
    browser.post(PAGE, submitted(page, more)).await
}

fn submitted(page: &Answer, more: &[(&str, &str)]) -> String {
    let mut fields = page.fields();
    for value in fields.values_mut() {
        *value = value
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#38;", "&");
    }
    fields.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let pairs: Vec<_> = fields
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    form(&pairs)
}

async fn is_signed_in(browser: &Browser<'_>) -> bool {
    let page = end_session(browser, &[]).await;
    page.body.contains("Do you want to sign out?")
}

#[track_caller]
fn assert_asks(page: &Answer) {
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(page.body.contains("Do you want to sign out?"), "{page:?}");
    assert_eq!(page.header("location"), "");
}

/// A page with a reason, and no way on.
#[track_caller]
fn assert_refused(page: &Answer) {
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{page:?}");
    assert!(page.body.contains("Sign-out cannot go on"), "{page:?}");
    assert_eq!(page.header("location"), "", "{page:?}");
    assert!(!page.body.contains("<form"), "{page:?}");
    assert!(!page.body.contains("<a "), "{page:?}");
}

#[tokio::test]
async fn there_is_no_such_endpoint_where_nobody_can_be_signed_out() {
    let app = App::new();
    let document = app.get("/.well-known/openid-configuration").await.json();
    assert_eq!(document.get("end_session_endpoint"), None);
    let browser = Browser::of(&app, "alice");
    let unknown = browser.get("/oauth/no-such-endpoint").await;
    let answers = [
        browser.get(PAGE).await,
        browser.post(PAGE, String::new()).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.body, unknown.body);
        assert_eq!(answer.headers, unknown.headers);
    }
    let alone = app.auth.endpoint(Endpoint::EndSession);
    let answer = alone.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn it_is_named_in_the_metadata_and_no_script_of_another_site_may_call_it() {
    let (app, _) = app();
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        assert_eq!(app.get(path).await.json()["end_session_endpoint"], PAGE);
    }
    for (method, status) in [("OPTIONS", 405), ("DELETE", 405), ("GET", 200)] {
        let request = Request::builder().method(method).uri("/oauth/end-session");
        let request = request.header(header::ORIGIN, "https://evil.example");
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn a_hint_about_who_is_signed_in_signs_out_at_once() {
    let (app, ending) = app();
    let client = client(&app, "App").await;
    let browser = Browser::of(&app, "alice");
    let hint = hint(&app, &browser, &client).await;
    // Whom it is about does not expire.
    app.advance(2 * DAY);
    let ask = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", STATE),
        ("logout_hint", "alice"),
        ("ui_locales", "de"),
        ("unheard_of", "x"),
    ];
    let answer = end_session(&browser, &ask).await;
    assert_eq!(answer.redirect(AFTER)["state"], STATE);
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("cache-control"), "no-store");
    let cleared: Vec<_> = answer.headers.get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(
        cleared,
        ["user=; Max-Age=0; Path=/", "session=; Max-Age=0; Path=/"]
    );
    assert_eq!(
        answer.header("x-internal"),
        "",
        "only cookies are passed on"
    );
    assert_eq!(ending.all(), ["alice"]);
    assert!(!is_signed_in(&browser).await);

    // Once more, with the client named twice over: there is nothing to do, and that is no error.
    let named = [&ask[..2], &[("client_id", client.as_str())]].concat();
    let answer = end_session(&browser, &named).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), AFTER, "no state, no query");
    assert_eq!(ending.all(), ["alice"]);

    browser.sign_in("alice");
    let answer = end_session(&browser, &ask[..1]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.body.contains("<h1>Signed out</h1>"), "{answer:?}");
    assert_eq!(ending.all(), ["alice", "alice"]);
}

#[tokio::test]
async fn a_hint_of_this_session_is_about_no_other() {
    let (app, ending) = app();
    let client = client(&app, "App").await;
    let browser = Browser::of(&app, "alice");
    browser.set("session", "s-1");
    let hint = hint(&app, &browser, &client).await;
    browser.set("session", "s-2");
    let ask = [("id_token_hint", hint.as_str())];
    assert_asks(&end_session(&browser, &ask).await);
    assert_eq!(ending.all(), Vec::<String>::new());
    // Where nobody knows the session, the user is enough.
    browser.forget("session");
    end_session(&browser, &ask).await;
    assert_eq!(ending.all(), ["alice"]);
    browser.sign_in("alice");
    browser.set("session", "s-1");
    end_session(&browser, &ask).await;
    assert_eq!(ending.all(), ["alice", "alice"]);
}

#[tokio::test]
async fn without_a_hint_about_them_people_are_asked_first() {
    let (app, ending) = app();
    let (client, other) = (client(&app, "App").await, client(&app, "Other").await);
    let alice = Browser::of(&app, "alice");
    let of_alice = hint(&app, &alice, &client).await;
    let stranger = App::with(|builder| builder.store(MemoryStore::new()));
    assert_eq!(self::client(&stranger, "App").await, client, "same name");
    let of_stranger = {
        let browser = Browser::of(&stranger, "bob");
        hint(&stranger, &browser, &client).await
    };
    let bob = Browser::of(&app, "bob");
    let own = granted(&app, &bob, &client).await;
    let of_bob = own["id_token"].as_str().unwrap();
    let more = [("resource", SIGNED), ("prompt", "consent")];
    let code = bob.approve(&client, &more).await;
    let access = app.redeem(&client, &code).await.json();
    let access = access["access_token"].as_str().unwrap();
    assert_eq!(access.split('.').count(), 3, "it is signed");
    let (signed, _) = of_bob.rsplit_once('.').unwrap();
    let tampered = format!("{signed}.{}", "A".repeat(342));
    let (_, claims) = signed.split_once('.').unwrap();
    let encode = |header: Value| URL_SAFE_NO_PAD.encode(header.to_string());
    let unsigned = format!("{}.{claims}.", encode(json!({"alg": "none", "typ": "JWT"})));
    let by_secret = format!(
        "{}.{claims}.AAAA",
        encode(json!({"alg": "HS256", "typ": "JWT"}))
    );
    for hint in [
        "",
        &of_alice,
        &of_stranger,
        &tampered,
        signed,
        &unsigned,
        &by_secret,
        own["access_token"].as_str().unwrap(),
        access,
        "nonsense",
        "a.b.c",
        HOSTILE,
    ] {
        let ask = [
            ("client_id", client.as_str()),
            ("id_token_hint", hint),
            ("post_logout_redirect_uri", AFTER),
        ];
        let page = end_session(&bob, &ask).await;
        assert_asks(&page);
        assert!(page.body.contains("<strong>BOB</strong>"), "{page:?}");
        assert!(page.body.contains(">App<"), "{page:?}");
        assert!(page.body.contains(">client.example<"), "{page:?}");
        // It is a hint and no more: alone it names neither user nor client.
        let alone = end_session(&bob, &[("id_token_hint", hint)]).await;
        assert_asks(&alone);
        if hint != of_alice {
            assert_refused(&end_session(&bob, &ask[1..]).await);
        }
    }
    // Of ours, and about this user, but of another client than the one that asks.
    let ask = [
        ("client_id", other.as_str()),
        ("id_token_hint", of_bob),
        ("post_logout_redirect_uri", AFTER),
    ];
    assert_refused(&end_session(&bob, &ask).await);
    assert_refused(&end_session(&bob, &ask[..2]).await);
    assert_asks(&end_session(&bob, &ask[..1]).await);
    assert_asks(&end_session(&bob, &[]).await);
    assert_eq!(ending.all(), Vec::<String>::new());
    assert!(is_signed_in(&bob).await);
}

#[tokio::test]
async fn who_is_asked_decides() {
    let (app, ending) = app();
    let client = client(&app, "App").await;
    let browser = Browser::of(&app, "alice");
    let ask = [
        ("client_id", client.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", STATE),
    ];
    let page = end_session(&browser, &ask).await;
    assert_asks(&page);
    let stays = submit(&browser, &page, &[("decision", "deny")]).await;
    assert_eq!(stays.status, StatusCode::OK, "{stays:?}");
    assert!(stays.body.contains("<h1>Still signed in</h1>"), "{stays:?}");
    assert_eq!(stays.header("location"), "");
    assert!(is_signed_in(&browser).await);

    let answer = submit(&browser, &page, &[("decision", "approve")]).await;
    assert_eq!(answer.redirect(AFTER)["state"], STATE);
    assert_eq!(ending.all(), ["alice"]);
    assert!(!is_signed_in(&browser).await);
    // The form is still open in another tab.
    let again = submit(&browser, &page, &[("decision", "approve")]).await;
    assert_eq!(again.redirect(AFTER)["state"], STATE);
    assert_eq!(ending.all(), ["alice"]);

    browser.sign_in("alice");
    let page = end_session(&browser, &[]).await;
    assert!(!page.body.contains("Afterwards"), "{page:?}");
    let answer = submit(&browser, &page, &[("decision", "approve")]).await;
    assert!(answer.body.contains("<h1>Signed out</h1>"), "{answer:?}");
}

#[tokio::test]
async fn no_other_site_presses_the_button() {
    let (app, ending) = app();
    let client = client(&app, "App").await;
    let browser = Browser::of(&app, "alice");
    let ask = [
        ("client_id", client.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", "one"),
    ];
    let page = end_session(&browser, &ask).await;
    let good = submitted(&page, &[("decision", "approve")]);
    let post = |name: &'static str, value: &'static str, body: &str| {
        Request::post("/oauth/end-session")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(name, value)
            .body(Body::from(body.to_owned()))
            .unwrap()
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
    ] {
        assert_refused(&browser.send(post(name, value, &good)).await);
    }
    // Nor does a link.
    assert_asks(&browser.get(&format!("{PAGE}?{good}")).await);
    // Without a word of where it comes from: the token decides.
    let mallory = Browser::of(&app, "mallory");
    let own = end_session(&mallory, &ask).await;
    let other_tab = end_session(&browser, &[]).await;
    let consent = browser.consent_page(&client, &[]).await;
    let token = |page: &Answer| page.fields()["token"].clone();
    for (name, value) in [
        ("token", ""),
        ("token", "guess"),
        ("token", &token(&own)),
        ("token", &token(&other_tab)),
        ("token", &token(&consent)),
        ("state", "two"),
        ("post_logout_redirect_uri", "http://127.0.0.1/bye"),
        ("post_logout_redirect_uri", ""),
        ("client_id", ""),
        ("decision", "perhaps"),
    ] {
        let forged = submitted(&page, &[("decision", "approve"), (name, value)]);
        let answer = browser.send(post("x-nothing", "said", &forged)).await;
        assert_refused(&answer);
    }
    // The same user in another browser, and another user in this one.
    let second = Browser::of(&app, "alice");
    assert_refused(&second.send(post("origin", ORIGIN, &good)).await);
    browser.sign_in("bob");
    assert_refused(&browser.send(post("origin", ORIGIN, &good)).await);
    assert_eq!(ending.all(), Vec::<String>::new());

    browser.sign_in("alice");
    let answer = browser.send(post("origin", ORIGIN, &good)).await;
    answer.redirect(AFTER);
    assert_eq!(ending.all(), ["alice"]);
}

#[tokio::test]
async fn a_request_may_come_as_a_form() {
    let (app, ending) = app();
    let client = client(&app, "App").await;
    let browser = Browser::of(&app, "alice");
    let hint = hint(&app, &browser, &client).await;
    let from_client = |params: &[(&str, &str)]| {
        Request::post("/oauth/end-session")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "cross-site")
            .header(header::ORIGIN, "https://client.example")
            .body(Body::from(form(params)))
            .unwrap()
    };
    let ask = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", STATE),
    ];
    let decided = [("client_id", client.as_str()), ("token", "guess")];
    let link = browser.send(from_client(&decided)).await;
    link.redirect(PAGE);
    assert_asks(&browser.get(link.header("location")).await);
    // As browsers send it: without the cookies of this site.
    let link = app.send(from_client(&ask)).await;
    link.redirect(PAGE);
    assert_eq!(ending.all(), Vec::<String>::new());
    let answer = browser.get(link.header("location")).await;
    assert_eq!(answer.redirect(AFTER)["state"], STATE);
    assert_eq!(ending.all(), ["alice"]);
}

#[tokio::test]
async fn nobody_is_sent_where_the_client_did_not_register() {
    let (app, ending) = app();
    let own = client(&app, "App").await;
    let none = app.public_client().await;
    let alice = Browser::of(&app, "alice");
    let hint = hint(&app, &alice, &own).await;
    let nobody = Browser::new(&app);
    for uri in [
        "https://evil.example/",
        "https://client.example/",
        "https://client.example/signed-out/",
        "https://client.example/signed-out?x=1",
        "https://client.example/signed-out#x",
        "https://CLIENT.example/signed-out",
        "https://client.example:8443/signed-out",
        "https://client.example/signed-out/../cb",
        "https://client.example/%73igned-out",
        "https://client.example\\@evil.example/",
        "http://client.example/signed-out",
        "http://127.0.0.1/",
        "http://127.0.0.1:1@evil.example/bye",
        "http://localhost/bye",
        "//evil.example/",
        "/signed-out",
        "javascript:alert(1)",
        CALLBACK,
        HOSTILE,
    ] {
        let ask = [
            ("id_token_hint", hint.as_str()),
            ("client_id", &own),
            ("post_logout_redirect_uri", uri),
        ];
        for ask in [&ask[..], &ask[1..]] {
            for browser in [&alice, &nobody] {
                let page = end_session(browser, ask).await;
                assert_refused(&page);
                assert!(!page.body.contains("evil"), "{page:?}");
            }
        }
    }
    // Nor where nobody knows whose address it is.
    let uri = ("post_logout_redirect_uri", AFTER);
    for id in [
        "",
        "nobody",
        "https://evil.example/client.json",
        &none,
        HOSTILE,
    ] {
        for browser in [&alice, &nobody] {
            assert_refused(&end_session(browser, &[("client_id", id), uri]).await);
        }
    }
    assert_eq!(ending.all(), Vec::<String>::new());

    // A program on the user's machine gets whichever port is free.
    let uri = "http://127.0.0.1:52301/bye";
    let ask = [
        ("client_id", own.as_str()),
        ("post_logout_redirect_uri", uri),
    ];
    let answer = end_session(&nobody, &ask).await;
    assert_eq!(answer.header("location"), uri, "{answer:?}");
    let page = end_session(&alice, &ask).await;
    assert!(page.body.contains(">127.0.0.1:52301<"), "{page:?}");
}

#[tokio::test]
async fn what_strangers_write_stays_text() {
    let (app, _) = app();
    let client = client(&app, HOSTILE).await;
    let browser = Browser::of(&app, "alice");
    let good = [
        ("client_id", client.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", HOSTILE),
        ("id_token_hint", HOSTILE),
        ("logout_hint", HOSTILE),
        ("ui_locales", HOSTILE),
    ];
    let page = end_session(&browser, &good).await;
    assert_asks(&page);
    let mut pages = vec![
        end_session(&browser, &[("client_id", HOSTILE)]).await,
        end_session(&browser, &[("post_logout_redirect_uri", HOSTILE)]).await,
        end_session(&browser, &[(HOSTILE, HOSTILE)]).await,
        submit(&browser, &page, &[("decision", HOSTILE)]).await,
        submit(
            &browser,
            &page,
            &[("decision", "approve"), ("token", HOSTILE)],
        )
        .await,
        submit(&browser, &page, &[("decision", "deny")]).await,
        end_session(&Browser::new(&app), &[("state", HOSTILE)]).await,
    ];
    let answer = submit(&browser, &page, &[("decision", "approve")]).await;
    assert_eq!(answer.redirect(AFTER)["state"], HOSTILE);
    pages.push(page);
    for page in pages {
        assert!(!page.body.contains("<script"), "{page:?}");
        assert!(!page.body.contains("\"><"), "{page:?}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused() {
    let (app, ending) = app();
    let browser = Browser::of(&app, "alice");
    for query in ["state=%ff", "state=%0d%0aset-cookie:x", "state=a&state=b"] {
        assert_refused(&browser.get(&format!("{PAGE}?{query}")).await);
        assert_refused(&browser.post(PAGE, query.to_owned()).await);
        let decided = format!("{query}&decision=approve");
        assert_refused(&browser.post(PAGE, decided).await);
    }
    let many = "a=b&".repeat(65);
    assert_refused(&browser.get(&format!("{PAGE}?{many}")).await);
    let json = Request::post("/oauth/end-session")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{}"));
    assert_refused(&browser.send(json.unwrap()).await);
    // A program is told in its own language.
    let answer = app.get("/oauth/end-session?state=a&state=b").await;
    answer.assert_error(400, "invalid_request");
    assert_eq!(ending.all(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_is_told_they_are_signed_out_who_is_not() {
    let (app, ending) = app();
    let client = client(&app, "App").await;
    let browser = Browser::of(&app, "stuck");
    let hint = hint(&app, &browser, &client).await;
    let ask = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", AFTER),
    ];
    let page = end_session(&browser, &ask[1..]).await;
    assert_refused(&page);
    let page = end_session(&browser, &[]).await;
    let answers = [
        end_session(&browser, &ask).await,
        submit(&browser, &page, &[("decision", "approve")]).await,
        end_session(&Browser::of(&app, "outage"), &ask).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert!(answer.body.contains("Sign-out cannot go on"), "{answer:?}");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("location"), "");
        assert_eq!(answer.header("set-cookie"), "");
    }
    assert_eq!(ending.all(), Vec::<String>::new());
}

#[tokio::test]
async fn one_caller_cannot_ask_for_ever() {
    let limits = RateLimits::default().authorize(NonZeroU32::MIN);
    let app = App::with(|builder| {
        let builder = builder.store(MemoryStore::new()).rate_limits(limits);
        builder.sign_out(Ending::default())
    });
    let browser = Browser::of(&app, "alice");
    // Ten times as much where nothing tells callers apart.
    for _ in 0..10 {
        assert_asks(&end_session(&browser, &[("client_id", "x")]).await);
    }
    let answer = end_session(&browser, &[("client_id", "x")]).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:?}");
    assert_ne!(answer.header("retry-after"), "");
    assert!(answer.body.contains("Sign-out cannot go on"), "{answer:?}");
}

#[tokio::test]
async fn clients_register_where_their_users_go_on() {
    let app = App::with(|builder| {
        let builder = builder
            .store(MemoryStore::new())
            .sign_out(Ending::default());
        builder.registration_management(true)
    });
    let register = async |uris: Value, application_type: Value| {
        app.register(json!({
            "redirect_uris": [CALLBACK], "post_logout_redirect_uris": uris,
            "application_type": application_type,
        }))
        .await
    };
    let sent = json!([
        AFTER,
        "javascript:alert(1)",
        "http://evil.example/plain",
        "https://client.example/x#fragment",
        "https://user@client.example/",
        "/relative",
        AFTER,
        "http://localhost/bye",
        "com.example.app:/bye",
        "x".repeat(2048),
    ]);
    let registered = register(sent.clone(), Value::Null).await.json();
    let kept = json!([AFTER, "http://localhost/bye", "com.example.app:/bye"]);
    assert_eq!(registered["post_logout_redirect_uris"], kept);
    let web = register(sent, json!("web")).await.json();
    assert_eq!(web["post_logout_redirect_uris"], json!([AFTER]));
    for nothing in [Value::Null, json!([]), json!(["javascript:alert(1)"])] {
        let answer = register(nothing, Value::Null).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert_eq!(answer.json().get("post_logout_redirect_uris"), None);
    }
    for wrong in [
        json!(AFTER),
        json!([7]),
        json!({}),
        json!(vec![AFTER; 33]),
        json!(["x".repeat(2049)]),
    ] {
        let answer = register(wrong, Value::Null).await;
        answer.assert_error(400, "invalid_client_metadata");
    }

    // RFC 7592: what an update leaves out is gone.
    let id = registered["client_id"].as_str().unwrap();
    let uri = registered["registration_client_uri"].as_str().unwrap();
    let token = registered["registration_access_token"].as_str().unwrap();
    let update = async |uris: Value| {
        let body = json!({
            "client_id": id, "redirect_uris": [CALLBACK], "post_logout_redirect_uris": uris,
        });
        let request = Request::put(uri.strip_prefix(ORIGIN).unwrap())
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        let answer = app.send(request.body(body.to_string().into()).unwrap());
        answer.await.json()
    };
    let goes_to = async |uri: &str| {
        let ask = [("client_id", id), ("post_logout_redirect_uri", uri)];
        end_session(&Browser::new(&app), &ask).await
    };
    let new = "https://client.example/new";
    goes_to(AFTER).await.redirect(AFTER);
    let updated = update(json!([new, "javascript:alert(1)"])).await;
    assert_eq!(updated["post_logout_redirect_uris"], json!([new]));
    goes_to(new).await.redirect(new);
    assert_refused(&goes_to(AFTER).await);
    update(Value::Null).await;
    assert_refused(&goes_to(new).await);
}

#[tokio::test]
async fn configured_clients_say_where_their_users_go_on() {
    let known = |uri: &str| {
        let client = StaticClient::confidential("app", "secret", [CALLBACK]);
        builder()
            .store(MemoryStore::new())
            .client(client.post_logout_redirect_uris([uri]))
            .sign_out(Ending::default())
    };
    assert!(known("javascript:alert(1)").build().is_err());
    let app = App::with(|_| known(AFTER));
    let nobody = Browser::new(&app);
    let ask = |uri| [("client_id", "app"), ("post_logout_redirect_uri", uri)];
    end_session(&nobody, &ask(AFTER)).await.redirect(AFTER);
    assert_refused(&end_session(&nobody, &ask(CALLBACK)).await);
}

#[tokio::test]
async fn what_was_granted_outlasts_signing_out_unless_the_application_ends_it() {
    let (app, _) = app();
    let client = client(&app, "App").await;
    let tokens = async |session: &str, user: &str| {
        let browser = Browser::of(&app, user);
        browser.set("session", session);
        let granted = granted(&app, &browser, &client).await;
        let text = |name: &str| granted[name].as_str().unwrap().to_owned();
        (text("access_token"), text("id_token"), browser)
    };
    let (token, hint, browser) = tokens("s-1", "alice").await;
    let (elsewhere, _, _) = tokens("s-2", "alice").await;
    let (others, _, _) = tokens("s-1", "bob").await;
    let answer = end_session(&browser, &[("id_token_hint", &hint)]).await;
    assert!(answer.body.contains("<h1>Signed out</h1>"), "{answer:?}");
    let status = async |token: &str| app.call("/mcp", token).await.status.as_u16();
    assert_eq!(status(&token).await, 200, "an agent works on");

    let alice = Subject::new("alice").unwrap();
    let reached = app.auth.revoke_session(&alice, "s-1").await.unwrap();
    assert_eq!(reached.grants.len(), 1);
    assert_eq!(status(&token).await, 401);
    assert_eq!(status(&elsewhere).await, 200);
    assert_eq!(status(&others).await, 200);
    let consents = app.auth.consents(&alice).await.unwrap();
    assert_eq!(consents.len(), 1, "what was agreed to is remembered");
    let again = app.auth.revoke_session(&alice, "s-3").await.unwrap();
    assert_eq!(again.grants.len(), 0);
}

#[tokio::test]
async fn each_decision_is_an_event_without_a_secret() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let events = Arc::clone(&seen);
    let app = App::with(|builder| {
        builder
            .store(MemoryStore::new())
            .sign_out(Ending::default())
            .observer(move |event: &Event<'_>| {
                events.lock().unwrap().push(format!("{event:?}"));
            })
    });
    let client = client(&app, "App").await;
    let browser = Browser::of(&app, "alice");
    let of_alice = hint(&app, &browser, &client).await;
    let stuck = Browser::of(&app, "stuck");
    let of_stuck = hint(&app, &stuck, &client).await;
    seen.lock().unwrap().clear();
    let refused = [("client_id", "x"), ("post_logout_redirect_uri", AFTER)];
    end_session(&browser, &refused).await;
    end_session(&stuck, &[("id_token_hint", &of_stuck)]).await;
    end_session(&browser, &[("id_token_hint", &of_alice)]).await;
    browser.sign_in("alice");
    let page = end_session(&browser, &[]).await;
    submit(&browser, &page, &[("decision", "approve")]).await;
    let seen = seen.lock().unwrap().clone();
    for (event, expected) in seen.iter().zip([
        ["EndpointRefused", "EndSession", "client_unknown"],
        ["SignOutFailed", "session server is down", ""],
        ["SignedOut", &client, "asked: false"],
        ["SignedOut", "client_id: None", "asked: true"],
    ]) {
        assert!(expected.iter().all(|part| event.contains(part)), "{event}");
        assert!(!event.contains(&of_alice) && !event.contains(&of_stuck));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}
