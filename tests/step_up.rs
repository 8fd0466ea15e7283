//! Asking for more, and for less, than before.

mod common;

use common::*;
use tower_mcp_auth::{ConfigError, MemoryStore, Operation, Resource};

#[tokio::test]
async fn who_asks_for_one_more_scope_keeps_the_others() {
    let app = App::new();
    let client = app.public_client().await;
    let tokens = app
        .tokens(&client, "alice", &[("scope", "notes:read openid")])
        .await;
    assert_eq!(tokens.scope, "notes:read openid");
    // Nobody was challenged to ask for those: some clients take no more than they asked for.
    for scope in ["openid profile", "notes:write profile", "offline_access"] {
        let tokens = app.tokens(&client, "bob", &[("scope", "notes:read")]).await;
        assert_eq!(tokens.scope, "notes:read");
        let tokens = app.tokens(&client, "bob", &[("scope", scope)]).await;
        assert_eq!(tokens.scope, scope);
        let bob = tower_mcp_auth::Subject::new("bob").unwrap();
        app.auth.revoke_user(&bob).await.unwrap();
    }
    let browser = Browser::of(&app, "alice");
    let page = browser
        .consent_page(&client, &[("scope", "notes:write")])
        .await;
    assert!(
        page.body.contains("notes:read") && page.body.contains("notes:write"),
        "{page:?}"
    );
    let code = browser.decide(&page, "approve").await.redirect(CALLBACK)["code"].clone();
    let more = Tokens::from(&app.redeem(&client, &code).await);
    assert_eq!(more.scope, "notes:read notes:write");
    // Whether anybody is asked or not.
    for prompt in ["", "consent"] {
        let asked = [("scope", "notes:read"), ("prompt", prompt)];
        let less = app.tokens(&client, "alice", &asked).await;
        assert_eq!(less.scope, "notes:read", "{prompt}");
    }
    let other = app
        .tokens(&client, "bob", &[("scope", "notes:write")])
        .await;
    assert_eq!(other.scope, "notes:write");
}

#[tokio::test]
async fn what_was_revoked_is_not_asked_for_again() {
    let app = App::new();
    let client = app.public_client().await;
    app.tokens(&client, "alice", &[("scope", "notes:read")])
        .await;
    let alice = tower_mcp_auth::Subject::new("alice").unwrap();
    app.auth.revoke_user(&alice).await.unwrap();
    let tokens = app
        .tokens(&client, "alice", &[("scope", "notes:write")])
        .await;
    assert_eq!(tokens.scope, "notes:write");
}

/// Two windows of one client: each approves what its page said.
#[tokio::test]
async fn a_page_that_named_less_approves_no_more() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    let shown = browser
        .consent_page(&client, &[("scope", "notes:write")])
        .await;
    app.tokens(&client, "alice", &[("scope", "notes:read")])
        .await;
    // As it would be shown by now.
    let again = browser
        .consent_page(&client, &[("scope", "notes:write")])
        .await;
    for (page, scope) in [(shown, "notes:write"), (again, "notes:read notes:write")] {
        let code = browser.decide(&page, "approve").await.redirect(CALLBACK)["code"].clone();
        let tokens = Tokens::from(&app.redeem(&client, &code).await);
        assert_eq!(tokens.scope, scope);
    }
}

#[tokio::test]
async fn a_broad_scope_contains_the_narrow_ones() {
    let app = App::with(|builder| {
        let resource = Resource::new("https://api.example.com/admin")
            .scopes(["list"])
            .implies("admin", ["write"])
            .implies("write", ["read"])
            .operation(Operation::tool("wipe"), ["admin"])
            .describe("write", "Change things");
        builder.store(MemoryStore::new()).resource_with(resource)
    });
    let client = app.public_client().await;
    let admin = [
        ("resource", "https://api.example.com/admin"),
        ("scope", "admin"),
    ];
    let browser = Browser::of(&app, "alice");
    let page = browser.consent_page(&client, &admin).await;
    for text in ["wipe", "Change things", "read"] {
        assert!(page.body.contains(text), "{text}: {page:?}");
    }
    let code = browser.decide(&page, "approve").await.redirect(CALLBACK)["code"].clone();
    let tokens = Tokens::from(&app.redeem(&client, &code).await);
    assert_eq!(tokens.scope, "admin read write");
    let document = app
        .get("/.well-known/oauth-protected-resource/admin")
        .await
        .json();
    assert_eq!(
        document["scopes_supported"],
        serde_json::json!(["admin", "list", "read", "write"])
    );
}

#[test]
fn a_layer_that_would_not_ask_for_what_operations_take_is_not_made() {
    let app = App::with(|builder| {
        let resource = Resource::new("https://api.example.com/admin")
            .scopes(["list"])
            .operation(Operation::tool("wipe"), ["admin"]);
        builder.store(MemoryStore::new()).resource_with(resource)
    });
    let refused = app.auth.protect("/admin");
    assert!(
        matches!(refused, Err(ConfigError::Operations(_))),
        "{refused:?}"
    );
    assert!(app.auth.protect_operations("/admin").is_ok());
}

#[tokio::test]
async fn a_client_that_wants_a_recent_sign_in_gets_one() {
    let app = App::new();
    let client = app.public_client().await;
    let browser = Browser::of(&app, "alice");
    browser.set("auth_time", "1799999900");
    let login = "https://api.example.com/sign-in";
    browser
        .authorize(&client, &[("max_age", "100")])
        .await
        .redirect("https://api.example.com/oauth/consent");
    let begun = browser
        .authorize(&client, &[("max_age", "99"), ("login_hint", "al ice")])
        .await;
    let query = begun.redirect(login);
    assert_eq!(query["login_hint"], "al ice");
    let resume = app.auth.resume_url(&query["transaction"]);
    browser.get(&resume).await.redirect(login);
    browser.set("auth_time", "1799999901");
    assert_eq!(browser.get(&resume).await.status.as_u16(), 200);
    let none = browser
        .authorize(&client, &[("max_age", "0"), ("prompt", "none")])
        .await;
    assert_eq!(none.redirect(CALLBACK)["error"], "login_required");
}
