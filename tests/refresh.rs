//! Refreshing: the same answer to everyone who asks in time, and the end of the grant for whoever
//! comes too late.

mod common;

use common::*;
use http::StatusCode;

#[tokio::test]
async fn ten_refreshes_at_once_all_get_the_same_successor() {
    let app = App::new();
    let client = app.public_client().await;
    let first = app.tokens(&client, "alice", &[]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (app, client, token) = (app.clone(), client.clone(), first.refresh.clone());
        tasks.spawn(async move { Tokens::from(&app.refresh(&client, &token).await) });
    }
    let answers = tasks.join_all().await;
    assert!(
        answers.iter().all(|tokens| *tokens == answers[0]),
        "{answers:?}"
    );
    assert_eq!(app.call("/mcp", &answers[0].access).await.body, "alice");
    Tokens::from(&app.refresh(&client, &answers[0].refresh).await);
}

#[tokio::test]
async fn a_repeat_is_answered_alike_until_the_window_closes() {
    let app = App::new();
    let client = app.public_client().await;
    let first = app.tokens(&client, "alice", &[]).await;
    let second = Tokens::from(&app.refresh(&client, &first.refresh).await);
    app.advance(20);
    let repeat = Tokens::from(&app.refresh(&client, &first.refresh).await);
    assert_eq!(
        (&repeat.access, &repeat.refresh),
        (&second.access, &second.refresh)
    );
    assert_eq!(repeat.expires_in, second.expires_in - 20);
    // The window is counted from the first use, whatever came between.
    app.advance(11);
    app.refresh(&client, &first.refresh)
        .await
        .assert_error(400, "invalid_grant");
    assert_eq!(
        app.call("/mcp", &second.access).await.status,
        StatusCode::UNAUTHORIZED
    );
    app.refresh(&client, &second.refresh)
        .await
        .assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn a_token_whose_successor_was_used_is_a_replay_even_within_the_window() {
    let app = App::new();
    let client = app.public_client().await;
    let first = app.tokens(&client, "alice", &[]).await;
    let second = Tokens::from(&app.refresh(&client, &first.refresh).await);
    let third = Tokens::from(&app.refresh(&client, &second.refresh).await);
    app.refresh(&client, &first.refresh)
        .await
        .assert_error(400, "invalid_grant");
    for access in [&first.access, &second.access, &third.access] {
        assert_eq!(
            app.call("/mcp", access).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    app.refresh(&client, &third.refresh)
        .await
        .assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn a_replay_ends_its_own_grant_and_no_other() {
    let app = App::new();
    let client = app.public_client().await;
    let laptop = app.tokens(&client, "alice", &[]).await;
    let phone = app.tokens(&client, "alice", &[]).await;
    let next = Tokens::from(&app.refresh(&client, &laptop.refresh).await);
    app.advance(31);
    app.refresh(&client, &laptop.refresh)
        .await
        .assert_error(400, "invalid_grant");
    app.refresh(&client, &next.refresh)
        .await
        .assert_error(400, "invalid_grant");
    assert_eq!(app.call("/mcp", &phone.access).await.body, "alice");
    Tokens::from(&app.refresh(&client, &phone.refresh).await);
}

#[tokio::test]
async fn narrowing_concerns_one_access_token_only() {
    let app = App::new();
    let client = app.public_client().await;
    let all = ("scope", "notes:read notes:write");
    let first = app.tokens(&client, "alice", &[all]).await;
    let refresh = |token: String, scope: &'static str| {
        let (app, client) = (app.clone(), client.clone());
        async move {
            app.token(&[
                ("grant_type", "refresh_token"),
                ("client_id", &client),
                ("refresh_token", &token),
                ("scope", scope),
            ])
            .await
        }
    };
    let narrow = Tokens::from(&refresh(first.refresh.clone(), "notes:read").await);
    assert_eq!(narrow.scope, "notes:read");
    let repeat = Tokens::from(&refresh(first.refresh.clone(), "notes:write").await);
    assert_eq!(repeat.scope, "notes:write");
    assert_eq!(repeat.refresh, narrow.refresh);
    assert_ne!(repeat.access, narrow.access);
    let wide = Tokens::from(&app.refresh(&client, &narrow.refresh).await);
    assert_eq!(wide.scope, "notes:read notes:write");
    refresh(wide.refresh.clone(), "notes:read openid")
        .await
        .assert_error(400, "invalid_scope");
    Tokens::from(&app.refresh(&client, &wide.refresh).await);
}

#[tokio::test]
async fn a_wrong_attempt_costs_the_right_client_nothing() {
    let app = App::new();
    let client = app.public_client().await;
    let other = {
        let metadata = serde_json::json!({"redirect_uris": ["https://other.example/cb"], "token_endpoint_auth_method": "none"});
        app.register(metadata).await.json()["client_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = app.tokens(&client, "alice", &[]).await;
    app.refresh(&other, &first.refresh)
        .await
        .assert_error(400, "invalid_grant");
    app.token(&[
        ("grant_type", "refresh_token"),
        ("client_id", &client),
        ("refresh_token", &first.refresh),
        ("resource", "https://api.example.com/files"),
    ])
    .await
    .assert_error(400, "invalid_target");
    app.advance(3600);
    Tokens::from(&app.refresh(&client, &first.refresh).await);
}

/// Libraries ask for what they are configured with, each time.
#[tokio::test]
async fn a_scope_that_nobody_knew_at_first_is_left_out_again() {
    let app = App::new();
    let client = app.public_client().await;
    let configured = "notes:read offline_access groups";
    let mut tokens = app.tokens(&client, "alice", &[("scope", configured)]).await;
    let refresh = async |token: &str, scope: &str| {
        app.token(&[
            ("grant_type", "refresh_token"),
            ("client_id", &client),
            ("refresh_token", token),
            ("scope", scope),
        ])
        .await
    };
    for _ in 0..2 {
        assert_eq!(tokens.scope, "notes:read offline_access");
        tokens = Tokens::from(&refresh(&tokens.refresh, configured).await);
    }
    for more in [
        "notes:read notes:write",
        "openid",
        "groups",
        "notes:read \u{e9}",
    ] {
        refresh(&tokens.refresh, more)
            .await
            .assert_error(400, "invalid_scope");
    }
}

/// As when the server moved: better to sign in anew than to go on with what is good nowhere.
#[tokio::test]
async fn what_was_for_a_resource_that_is_gone_ends() {
    let store = std::sync::Arc::new(tower_mcp_auth::MemoryStore::new());
    let before = App::with(|builder| builder.store(store.clone()).resource(OLD, ["old"]));
    let client = before.public_client().await;
    let asked = [("resource", OLD), ("scope", "old")];
    let tokens = before.tokens(&client, "alice", &asked).await;
    let after = App::with(|builder| builder.store(store));
    for resource in [None, Some(OLD), Some(MCP)] {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", &client),
            ("refresh_token", &tokens.refresh),
        ];
        form.extend(resource.map(|resource| ("resource", resource)));
        after.token(&form).await.assert_error(400, "invalid_grant");
    }
    Tokens::from(&before.refresh(&client, &tokens.refresh).await);
}

const OLD: &str = "https://api.example.com/old";

#[tokio::test]
async fn a_refresh_token_expires_a_week_after_it_was_issued() {
    let app = App::new();
    let client = app.public_client().await;
    let first = app.tokens(&client, "alice", &[]).await;
    app.advance(604_799);
    let second = Tokens::from(&app.refresh(&client, &first.refresh).await);
    app.advance(604_800);
    app.refresh(&client, &second.refresh)
        .await
        .assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn one_token_is_repeated_with_so_many_scopes_and_no_more() {
    let app = App::new();
    let client = app.public_client().await;
    let scopes = ["email", "notes:read", "notes:write", "openid"];
    let all = scopes.join(" ");
    let first = app.tokens(&client, "alice", &[("scope", &all)]).await;
    let refresh = async |scope: &str| {
        app.token(&[
            ("grant_type", "refresh_token"),
            ("client_id", &client),
            ("refresh_token", &first.refresh),
            ("scope", scope),
        ])
        .await
    };
    let subset = |bits: usize| {
        let chosen = (0..scopes.len()).filter(|place| bits & (1 << place) != 0);
        chosen
            .map(|place| scopes[place])
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut successor = String::new();
    for bits in 1..=8 {
        successor = Tokens::from(&refresh(&subset(bits)).await).refresh;
    }
    refresh(&subset(9))
        .await
        .assert_error(400, "invalid_request");
    Tokens::from(&refresh(&subset(1)).await);
    Tokens::from(&app.refresh(&client, &successor).await);
}
