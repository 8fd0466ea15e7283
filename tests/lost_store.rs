//! A store that lost what it had, keys too, while machines were running: a Redis server that keeps
//! nothing on disk was started again, say.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
mod faults;

use common::*;
use http::StatusCode;

use self::faults::{Fault, Faulty};

/// Works with what one machine issues at the other.
async fn are_of_one_mind(one: &App, other: &App) {
    let client = one.public_client().await;
    let tokens = one.tokens(&client, "alice", &[]).await;
    for app in [one, other] {
        let answer = app.call("/mcp", &tokens.access).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    // Two windows of a client refresh at once, and get the same.
    let first = Tokens::from(&one.refresh(&client, &tokens.refresh).await);
    let again = Tokens::from(&other.refresh(&client, &tokens.refresh).await);
    assert_eq!(first.refresh, again.refresh);

    other.refresh(&client, &again.refresh).await;
    let revoked = other
        .send(
            http::Request::post("/oauth/revoke")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form(&[("client_id", &client), ("token", &first.access)]).into())
                .unwrap(),
        )
        .await;
    assert_eq!(revoked.status, StatusCode::OK);
    let answer = other.call("/mcp", &first.access).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn machines_that_were_running_and_one_that_was_not_come_to_understand_each_other() {
    let store = Faulty::new(None);
    let old = App::with(|builder| builder.store(store.clone()));
    let client = old.public_client().await;
    let tokens = old.tokens(&client, "alice", &[]).await;
    assert_eq!(
        old.call("/mcp", &tokens.access).await.status,
        StatusCode::OK
    );

    store.lose_everything();
    let new = App::with(|builder| builder.store(store.clone()));
    new.tokens(&new.public_client().await, "bob", &[]).await;
    for app in [&old, &new] {
        app.advance(60);
    }
    are_of_one_mind(&new, &old).await;
    are_of_one_mind(&old, &new).await;
}

#[tokio::test]
async fn a_store_that_fails_when_it_is_asked_again_costs_nobody_anything() {
    let store = Faulty::new(None);
    let app = App::with(|builder| builder.store(store.clone()));
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    app.advance(60);
    for number in 0.. {
        let asked = store.calls().len();
        store.fail_at(asked + number, Fault::Before);
        let answer = app.refresh(&client, &tokens.refresh).await;
        if store.calls()[asked + number] == "keys" {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            break;
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    // It is left alone for a while, and then asked again.
    for asks in [false, true] {
        let asked = store.calls().len();
        let answer = app.refresh(&client, &tokens.refresh).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(store.calls()[asked..].contains(&"keys"), asks);
        app.advance(5);
    }
}

#[tokio::test]
async fn garbage_asks_a_store_that_is_away_for_keys_alone() {
    let store = Faulty::new(None);
    let app = App::with(|builder| builder.store(store.clone()));
    let client = app.public_client().await;
    let tokens = app.tokens(&client, "alice", &[]).await;
    app.call("/mcp", &tokens.access).await;
    let (start, end) = tokens.access.split_at(20);
    let garbage = format!("{start}{}", end.chars().rev().collect::<String>());
    app.advance(60);
    // Those of the seals, and those of the sessions.
    for asks in [&["keys", "keys"][..], &[], &[]] {
        let asked = store.calls().len();
        store.fail_next(Fault::AfterAndNext);
        let answer = app.call("/mcp", &garbage).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
        assert_eq!(store.calls()[asked..], *asks);
    }
}

/// Whoever asks for them, and however many: one of them finds out what has become of the store, and
/// not for long.
#[cfg(feature = "jwt")]
#[tokio::test(start_paused = true)]
async fn published_keys_outlast_an_outage_for_which_nobody_waits() {
    let store = Faulty::new(None);
    let app = App::with(|builder| builder.store(store.clone()));
    let request = || {
        http::Request::get("/oauth/jwks")
            .body(axum::body::Body::empty())
            .unwrap()
    };
    let asked = || store.calls().iter().filter(|call| **call == "keys").count();
    let published = app.send(request()).await;
    assert_eq!(published.status, StatusCode::OK);
    app.advance(301);

    store.fail_next(Fault::Silence);
    let before = asked();
    let began = tokio::time::Instant::now();
    let others = async {
        let answers = [app.send(request()).await, app.send(request()).await];
        assert_eq!(
            began.elapsed(),
            std::time::Duration::ZERO,
            "they wait for nobody"
        );
        answers
    };
    let (first, [second, third]) = tokio::join!(app.send(request()), others);
    for answer in [first, second, third] {
        assert_eq!(
            (answer.status, &answer.body),
            (StatusCode::OK, &published.body)
        );
    }
    assert_eq!(began.elapsed().as_secs(), 2);
    store.set_gone(true);
    for _ in 0..10 {
        assert_eq!(app.send(request()).await.status, StatusCode::OK);
    }
    assert_eq!(asked(), before + 1);
    app.advance(5);
    assert_eq!(app.send(request()).await.body, published.body);
    assert_eq!(asked(), before + 2);

    // A machine that has none yet cannot say.
    let fresh = App::with(|builder| builder.store(store.clone()));
    let answer = fresh.send(request()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    store.set_gone(false);
    assert_eq!(fresh.send(request()).await.body, published.body);
}
