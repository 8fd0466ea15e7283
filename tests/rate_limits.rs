//! Too many requests are refused in OAuth's own terms, and only to whoever sends them.
#![cfg(feature = "rate-limit")]

mod common;
#[cfg(feature = "jwt")]
#[path = "common/jws.rs"]
mod jws;
#[cfg(feature = "jwt")]
#[path = "common/site.rs"]
mod site;

use std::num::NonZeroU32;

use axum::body::Body;
use common::*;
use http::Request;
use serde_json::json;
use tower_mcp_auth::{McpAuthBuilder, MemoryStore, RateLimits, StaticClient};

fn at_most(number: u32) -> impl FnOnce(McpAuthBuilder) -> McpAuthBuilder {
    let number = NonZeroU32::new(number).unwrap();
    move |builder| {
        builder
            .store(MemoryStore::new())
            .rate_limits(
                RateLimits::default()
                    .register(number)
                    .token(number)
                    .authorize(number),
            )
            .client_key(|parts| Some(parts.headers.get("x-test-peer")?.to_str().ok()?.to_owned()))
    }
}

async fn register(app: &App, peer: &str) -> Answer {
    let body = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"});
    let request = Request::post("/oauth/register")
        .header("content-type", "application/json")
        .header("x-test-peer", peer)
        .body(Body::from(body.to_string()));
    app.send(request.unwrap()).await
}

async fn web_client(app: &App, name: &str) -> String {
    let body = json!({
        "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "none",
        "client_name": name,
    });
    let client = app.register(body).await.json();
    client["client_id"].as_str().unwrap().to_owned()
}

async fn token(app: &App, peer: &str, client: &str) -> Answer {
    let request = Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-test-peer", peer)
        .body(Body::from(form(&[
            ("client_id", client),
            ("grant_type", "refresh_token"),
        ])));
    app.send(request.unwrap()).await
}

#[track_caller]
fn assert_limited(answer: &Answer) {
    answer.assert_error(429, "temporarily_unavailable");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
}

#[tokio::test]
async fn each_caller_has_an_allowance_of_its_own() {
    let app = App::with(at_most(2));
    for peer in ["one", "two"] {
        for _ in 0..2 {
            assert_eq!(register(&app, peer).await.status.as_u16(), 201);
        }
        assert_limited(&register(&app, peer).await);
    }
    let client = app.public_client().await;
    for peer in ["one", "two"] {
        for _ in 0..2 {
            token(&app, peer, &client)
                .await
                .assert_error(400, "invalid_request");
        }
        assert_limited(&token(&app, peer, &client).await);
        // Another client of the same caller is another matter.
        token(&app, peer, "other")
            .await
            .assert_error(401, "invalid_client");
    }
    for limited in [false, false, true] {
        let answer = app
            .get(&format!(
                "/oauth/authorize?{}",
                authorize_params(&client, &[])
            ))
            .await;
        assert_eq!(answer.status.as_u16() == 429, limited, "{answer:?}");
    }
}

#[tokio::test]
async fn pages_have_an_allowance_of_their_own() {
    for page in ["/oauth/consent", "/oauth/device"] {
        let app = App::with(at_most(2));
        for limited in [false, false, true] {
            let request = Request::get(page).header("x-test-peer", "one");
            let answer = app.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status.as_u16() == 429, limited, "{page}");
        }
        let request = Request::get(page)
            .header("x-test-peer", "one")
            .header("accept", "text/html");
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), 429, "{page}");
        assert!(answer.header("content-type").starts_with("text/html"));
        // Nobody can use up what belongs to all who are not told apart.
        for _ in 0..5 {
            assert_ne!(app.get(page).await.status.as_u16(), 429, "{page}");
        }
    }
}

/// A page that its visitor opened by mistake must not lock them out.
#[tokio::test]
async fn a_page_of_another_site_uses_up_nothing_of_its_visitor() {
    for page in ["/oauth/authorize", "/oauth/consent", "/oauth/device"] {
        let app = App::with(at_most(2));
        let ask = |headers: &[(&'static str, &'static str)]| {
            let mut request = Request::get(page).header("x-test-peer", "visitor");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            app.send(request.body(Body::empty()).unwrap())
        };
        let (elsewhere, beside) = (
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        );
        let visit = ("sec-fetch-mode", "navigate");
        for by_itself in [
            &[elsewhere, ("sec-fetch-mode", "no-cors")] as &[_],
            &[elsewhere, visit, ("sec-fetch-dest", "iframe")],
            &[elsewhere, visit, ("sec-fetch-dest", "object")],
            &[elsewhere, visit, ("sec-purpose", "prefetch")],
            &[beside, ("sec-fetch-mode", "cors")],
        ] {
            ask(by_itself).await.assert_error(400, "invalid_request");
        }
        // The visitor's own; what the application's pages do; and what no browser says.
        let own = &[
            elsewhere,
            visit,
            ("sec-fetch-dest", "document"),
            ("sec-fetch-user", "?1"),
        ];
        for meant in [
            own as &[_],
            &[beside, visit, ("sec-fetch-dest", "iframe")],
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "cors"),
            ],
            &[("sec-fetch-mode", "cors")],
        ] {
            let app = App::with(at_most(2));
            let mut request = Request::get(page);
            for (name, value) in meant {
                request = request.header(*name, *value);
            }
            let answer = app.send(request.body(Body::empty()).unwrap()).await;
            assert!(!answer.body.contains("another site"), "{meant:?}");
        }
        for limited in [false, false, true] {
            let answer = ask(own).await;
            assert_eq!(answer.status.as_u16() == 429, limited, "{page}");
        }
    }
}

/// The status for a visitor whom a stranger's page sends to sign in.
async fn sent_there(app: &App, client: &str, clicked: bool) -> u16 {
    let query = authorize_params(client, &[("prompt", "none")]);
    let mut request = Request::get(format!("/oauth/authorize?{query}"))
        .header("x-test-peer", "visitor")
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document");
    if clicked {
        request = request.header("sec-fetch-user", "?1");
    }
    let answer = app.send(request.body(Body::empty()).unwrap()).await;
    answer.status.as_u16()
}

/// A click on a stranger's page lets it open a window, and send that here as often as it likes.
#[tokio::test]
async fn what_a_page_does_in_a_window_of_its_own_takes_nothing_from_a_click() {
    let app = App::with(at_most(4));
    let client = web_client(&app, "one").await;
    let visits = async |clicked: bool| {
        let mut visits = 0;
        while sent_there(&app, &client, clicked).await != 429 {
            visits += 1;
        }
        visits
    };
    // Nor has anybody twice as much who says that nobody clicked.
    assert_eq!(visits(false).await, 2);
    assert_eq!(visits(true).await, 4);
}

/// Half of an allowance of one is one.
#[tokio::test]
async fn the_smallest_allowance_is_one_without_a_click_too() {
    let app = App::with(at_most(1));
    let client = web_client(&app, "one").await;
    for clicked in [false, true] {
        assert_ne!(sent_there(&app, &client, clicked).await, 429);
        assert_eq!(sent_there(&app, &client, clicked).await, 429);
    }
}

/// What a browser says about clicks is of no use where no page sends its visitor.
#[tokio::test]
async fn a_program_has_one_allowance_whatever_it_says_about_clicks() {
    let app = App::with(at_most(2));
    for limited in [false, false, true] {
        let answer = register(&app, "one").await;
        assert_eq!(answer.status.as_u16() == 429, limited);
    }
    let request = Request::post("/oauth/register")
        .header("content-type", "application/json")
        .header("x-test-peer", "one")
        .header("sec-fetch-site", "cross-site");
    let answer = app.send(request.body(Body::from("{}")).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 429);
}

/// Each may keep a place among the fetches until somebody notices that nobody answers.
#[cfg(feature = "cimd")]
#[tokio::test]
async fn only_so_many_documents_are_fetched_for_one_caller() {
    let app = fetching();
    let ask = async |peer: &str, number: u32| {
        // Nobody listens there.
        let client = format!("http://127.0.0.1:1/client-{number}");
        let query = authorize_params(&client, &[]);
        let request = Request::get(format!("/oauth/authorize?{query}")).header("x-test-peer", peer);
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        answer.status.as_u16()
    };
    for number in 0..8 {
        assert_ne!(ask("one", number).await, 429, "{number}");
    }
    assert_eq!(ask("one", 8).await, 429);
    assert_ne!(ask("one", 7).await, 429, "what is known is not fetched");
    assert_ne!(ask("two", 8).await, 429);
}

/// The users of one hosted client come from few addresses, and its document expires for all at once.
#[cfg(all(feature = "cimd", feature = "jwt"))]
#[tokio::test]
async fn who_waits_for_a_document_that_is_being_fetched_does_not_pay_for_it() {
    let (app, site) = (std::sync::Arc::new(fetching()), site::Site::default());
    let client = format!("{}/client", site.serve().await);
    site.put(
        "client",
        200,
        &json!({"client_id": client, "client_name": "App", "redirect_uris": [CALLBACK]}),
    );
    for fetches in 1..=2 {
        let refreshes: tokio::task::JoinSet<_> = (0..40)
            .map(|_| {
                let (app, client) = (app.clone(), client.clone());
                async move { app.refresh(&client, "unknown").await }
            })
            .collect();
        for answer in refreshes.join_all().await {
            answer.assert_error(400, "invalid_grant");
        }
        assert_eq!(site.asked(), fetches);
        app.advance(600);
    }
}

/// A page shall not keep its visitor from a new program's sign-in by sending them to many others.
#[cfg(feature = "cimd")]
#[tokio::test]
async fn what_is_fetched_without_a_click_takes_nothing_from_a_click() {
    let app = fetching();
    let mut number = 0;
    let mut fetches = async |clicked: bool| {
        for fetched in 0.. {
            // Nobody listens there.
            number += 1;
            let client = format!("http://127.0.0.1:1/client-{number}");
            if sent_there(&app, &client, clicked).await == 429 {
                return fetched;
            }
        }
        unreachable!("there is a limit")
    };
    assert_eq!(fetches(false).await, 4);
    assert_eq!(fetches(true).await, 8);
}

/// A client that signs with what is at an address.
#[cfg(feature = "jwt")]
async fn signing_client(app: &App, jwks_uri: String) -> String {
    let body = json!({
        "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": jwks_uri,
    });
    let client = app.register(body).await.json();
    client["client_id"].as_str().unwrap().to_owned()
}

/// What such a client asks the token endpoint.
#[cfg(feature = "jwt")]
async fn signed(app: &App, peer: &str, client: &str, key: &jws::Key, kid: &str) -> Answer {
    let claims =
        json!({"iss": client, "sub": client, "aud": ORIGIN, "jti": kid, "exp": 1_800_000_120});
    let assertion = key.sign(json!({"typ": "JWT", "kid": kid}), &claims);
    let request = Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-test-peer", peer)
        .body(Body::from(form(&[
            ("grant_type", "refresh_token"),
            ("client_assertion", &assertion),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
        ])));
    app.send(request.unwrap()).await
}

#[cfg(any(feature = "cimd", feature = "jwt"))]
fn fetching() -> App {
    App::with(|builder| {
        let fetcher = tower_mcp_auth::Fetcher::builder().danger_allow_loopback(true);
        at_most(1000)(builder).fetcher(fetcher.build().unwrap())
    })
}

/// As above, for the keys of clients that sign.
#[cfg(feature = "jwt")]
#[tokio::test]
async fn only_so_many_keys_are_fetched_for_one_caller() {
    let (app, key) = (fetching(), jws::Key::p256());
    let ask = async |peer: &str, number: u32| {
        let client = signing_client(&app, format!("http://127.0.0.1:1/keys-{number}")).await;
        signed(&app, peer, &client, &key, "none").await
    };
    for number in 0..8 {
        ask("one", number)
            .await
            .assert_error(400, "temporarily_unavailable");
    }
    assert_limited(&ask("one", 8).await);
    // What is known not to be there is not fetched, and others have what is theirs.
    for (peer, number) in [("one", 7), ("two", 8)] {
        ask(peer, number)
            .await
            .assert_error(400, "temporarily_unavailable");
    }
}

/// Nor are keys that are known, where somebody names others that are not among them.
#[cfg(feature = "jwt")]
#[tokio::test]
async fn only_so_many_keys_are_fetched_again_for_one_caller() {
    let (app, site, key) = (fetching(), site::Site::default(), jws::Key::p256());
    let origin = site.serve().await;
    let mut clients = Vec::new();
    for number in 0..9 {
        site.put(&format!("keys-{number}"), 200, &&key.jwks("known"));
        let client = signing_client(&app, format!("{origin}/keys-{number}")).await;
        signed(&app, &format!("owner {number}"), &client, &key, "known")
            .await
            .assert_error(400, "invalid_request");
        clients.push(client);
    }
    app.advance(30);
    let asked = site.asked();
    for client in &clients[..8] {
        signed(&app, "one", client, &key, "made up")
            .await
            .assert_error(401, "invalid_client");
    }
    assert_limited(&signed(&app, "one", &clients[8], &key, "made up").await);
    assert_eq!(site.asked() - asked, 8);
    signed(&app, "two", &clients[8], &key, "made up")
        .await
        .assert_error(401, "invalid_client");
    assert_eq!(site.asked() - asked, 9);
}

/// Nobody but the store or a hint says which client it is: it is fetched all the same.
#[cfg(all(feature = "jwt", feature = "cimd"))]
#[tokio::test]
async fn clients_that_a_request_does_not_name_are_fetched_no_more_often() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let app = |limit: fn(McpAuthBuilder) -> McpAuthBuilder| {
        App::with(|builder| {
            let fetcher = tower_mcp_auth::Fetcher::builder().danger_allow_loopback(true);
            limit(builder)
                .store(store.clone())
                .fetcher(fetcher.build().unwrap())
                .sign_out(Nobody)
        })
    };
    let site = site::Site::default();
    let origin = site.serve().await;
    let before = app(McpAuthBuilder::danger_no_rate_limits);
    let (mut hints, mut refreshes) = (Vec::new(), Vec::new());
    for number in 0..9 {
        let id = format!("{origin}/client-{number}");
        let document = json!({
            "client_id": id, "client_name": "App", "redirect_uris": [CALLBACK],
        });
        site.put(&format!("client-{number}"), 200, &&document);
        let browser = Browser::of(&before, "alice");
        let code = browser
            .approve(&id, &[("scope", "openid notes:read offline_access")])
            .await;
        let tokens = before.redeem(&id, &code).await.json();
        hints.push(tokens["id_token"].as_str().unwrap().to_owned());
        let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
        refreshes.push((id.clone(), refresh));
    }
    let other = app(|builder| at_most(1000)(builder));
    for (number, hint) in hints.iter().enumerate() {
        let mut params = vec![("id_token_hint", &**hint)];
        // Whoever is to go nowhere afterwards is signed out, whatever the client is.
        let page = format!("/oauth/end-session?{}", form(&params));
        assert_eq!(other.get(&page).await.status.as_u16(), 200);
        params.push(("post_logout_redirect_uri", CALLBACK));
        let page = format!("/oauth/end-session?{}", form(&params));
        let answer = other.get(&page).await;
        assert_eq!(answer.status.as_u16() == 429, number == 8, "{answer:?}");
    }
    // Who holds a token may always give it back.
    let (other, asked) = (app(|builder| at_most(1000)(builder)), site.asked());
    for (client, token) in &refreshes {
        let body = form(&[("client_id", client), ("token", token)]);
        let request = Request::post("/oauth/revoke")
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = other.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
        before
            .refresh(client, token)
            .await
            .assert_error(400, "invalid_grant");
    }
    assert_eq!(site.asked() - asked, 8);
}

/// Signs nobody out.
#[cfg(all(feature = "jwt", feature = "cimd"))]
struct Nobody;

#[cfg(all(feature = "jwt", feature = "cimd"))]
impl tower_mcp_auth::SignOut for Nobody {
    async fn sign_out(
        &self,
        _: &http::request::Parts,
    ) -> Result<http::HeaderMap, tower_mcp_auth::AuthenticatorError> {
        Ok(http::HeaderMap::new())
    }
}

/// Scripts of any site may send these, and shall not lock out who looks at the page.
#[tokio::test]
async fn what_scripts_may_send_takes_nothing_from_signing_in() {
    let app = App::with(at_most(2));
    let client = web_client(&app, "one").await;
    for path in ["/oauth/par", "/oauth/device-authorization"] {
        for _ in 0..25 {
            let request = Request::post(path)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("x-test-peer", "visitor")
                .body(Body::from(form(&[("client_id", &client)])));
            app.send(request.unwrap()).await;
        }
    }
    let query = authorize_params(&client, &[]);
    let request =
        Request::get(format!("/oauth/authorize?{query}")).header("x-test-peer", "visitor");
    let answer = app.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 303, "{answer:?}");
}

/// Each leaves a grant behind, and no page slows them down.
#[tokio::test]
async fn a_user_gets_only_so_many_codes_through_whatever_client_and_address() {
    let app = App::with(at_most(3));
    let (one, two) = (app.public_client().await, web_client(&app, "two").await);
    let alice = Browser::of(&app, "alice");
    alice.approve(&one, &[]).await;
    alice.approve(&two, &[]).await;
    let silent = alice.authorize(&two, &[]).await;
    assert!(silent.redirect(CALLBACK).contains_key("code"), "{silent:?}");
    let answer = alice.authorize(&one, &[]).await;
    assert_eq!(answer.status.as_u16(), 429, "{answer:?}");
    assert_ne!(answer.header("retry-after"), "");
    Browser::of(&app, "bob").approve(&one, &[]).await;
}

/// As with an assistant in the cloud, which is one client for all its users.
#[tokio::test]
async fn users_of_one_hosted_client_do_not_starve_each_other() {
    let app = App::with(at_most(3));
    let client = app.public_client().await;
    let authorize = |peer: &'static str| {
        let query = authorize_params(&client, &[]);
        let request = Request::get(format!("/oauth/authorize?{query}")).header("x-test-peer", peer);
        app.send(request.body(Body::empty()).unwrap())
    };
    for _ in 0..20 {
        authorize("greedy").await;
        token(&app, "greedy", &client).await;
    }
    assert_limited(&authorize("greedy").await);
    assert_limited(&token(&app, "greedy", &client).await);
    for _ in 0..3 {
        let answer = authorize("modest").await;
        assert_ne!(
            answer.redirect("https://api.example.com/sign-in")["transaction"],
            ""
        );
        let answer = token(&app, "modest", &client).await;
        answer.assert_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn one_caller_gains_little_by_many_clients() {
    let app = App::with(at_most(2));
    for number in 0..20 {
        token(&app, "one", &format!("client-{number}"))
            .await
            .assert_error(401, "invalid_client");
    }
    assert_limited(&token(&app, "one", "client-20").await);
    token(&app, "two", "client-20")
        .await
        .assert_error(401, "invalid_client");
}

#[tokio::test]
async fn a_client_that_goes_on_and_on_takes_nothing_from_its_neighbours() {
    let app = App::with(at_most(2));
    let client = app.public_client().await;
    for _ in 0..100 {
        token(&app, "one", &client).await;
    }
    assert_limited(&token(&app, "one", &client).await);
    token(&app, "one", "neighbour")
        .await
        .assert_error(401, "invalid_client");
}

#[tokio::test]
async fn guessing_a_secret_comes_to_an_end() {
    let app = App::with(at_most(3));
    let body = json!({"redirect_uris": [CALLBACK]});
    let client = app.register(body).await.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let guess = |secret: &'static str| {
        let (app, client) = (app.clone(), client.clone());
        async move {
            app.token(&[
                ("client_id", &client),
                ("client_secret", secret),
                ("grant_type", "x"),
            ])
            .await
        }
    };
    for _ in 0..3 {
        guess("wrong").await.assert_error(401, "invalid_client");
    }
    assert_limited(&guess("wrong").await);
}

#[tokio::test]
async fn limits_can_be_switched_off_knowingly() {
    let app = App::with(|builder| builder.store(MemoryStore::new()).danger_no_rate_limits());
    for _ in 0..1300 {
        token(&app, "one", "nobody")
            .await
            .assert_error(401, "invalid_client");
    }
}

/// Strangers decide by what they present to a resource server how often it asks.
#[tokio::test]
async fn who_asks_about_tokens_is_limited_in_being_wrong_only() {
    let server = StaticClient::confidential("rs", "the secret of rs", [CALLBACK]);
    let app = App::with(|builder| at_most(3)(builder).client(server));
    let ask = async |peer: &str, client: &str, secret: &str| {
        let request = Request::post("/oauth/introspect")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-test-peer", peer)
            .body(Body::from(form(&[
                ("client_id", client),
                ("client_secret", secret),
                ("token", "whatever somebody presented"),
            ])));
        app.send(request.unwrap()).await
    };
    for _ in 0..50 {
        let answer = ask("one", "rs", "the secret of rs").await;
        assert_eq!(answer.json(), json!({"active": false}));
    }
    // One more than allowed shows that it was.
    for _ in 0..4 {
        let answer = ask("one", "rs", "a guess").await;
        answer.assert_error(401, "invalid_client");
    }
    // From now on a right guess looks like any other.
    assert_limited(&ask("one", "rs", "the secret of rs").await);
    assert_limited(&ask("one", "rs", "a guess").await);
    let elsewhere = ask("two", "rs", "the secret of rs").await;
    assert_eq!(elsewhere.status.as_u16(), 200, "{elsewhere:?}");

    // Whoever registered is counted as ever.
    let registered = json!({"redirect_uris": [CALLBACK]});
    let registered = app.register(registered).await.json();
    let text = |name: &str| registered[name].as_str().unwrap().to_owned();
    let (client, secret) = (text("client_id"), text("client_secret"));
    for limited in [false, false, false, true] {
        let answer = ask("one", &client, &secret).await;
        assert_eq!(answer.status.as_u16() == 429, limited, "{answer:?}");
    }
}
