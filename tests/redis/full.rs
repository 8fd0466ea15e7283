//! A server that has no room any more.

use http::{Request, StatusCode};
use serde_json::json;

use super::{
    common::{App, Browser, CALLBACK, Tokens, form},
    servers::{Deployment, Server},
};

/// Nothing more is stored, whoever asks, and rights end as ever: those of a thief, too.
#[tokio::test]
async fn a_full_server_stores_nothing_and_rights_still_end() {
    let Some(server) = Server::start(&["--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let deployment = Deployment::at(server.url());
    let store = deployment.open().await;
    let app = App::with(|builder| builder.store(store));
    let client = app.public_client().await;
    let kept = app.tokens(&client, "alice", &[]).await;
    let stolen = app.tokens(&client, "alice", &[]).await;
    let code = Browser::of(&app, "alice").approve(&client, &[]).await;
    let replayed = Tokens::from(&app.redeem(&client, &code).await);
    let limit = |bytes: &str| {
        let mut command = redis::cmd("CONFIG");
        let command = command.arg("SET").arg("maxmemory").arg(bytes);
        command.exec(&mut deployment.connect()).unwrap();
    };
    limit("1");

    let metadata = json!({"redirect_uris": [CALLBACK], "client_name": "One more"});
    let refused = app.register(metadata).await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{refused:?}"
    );
    let begun = Browser::of(&app, "bob").authorize(&client, &[]).await;
    assert_eq!(begun.status, StatusCode::SERVICE_UNAVAILABLE, "{begun:?}");
    let refresh = app.refresh(&client, &kept.refresh).await;
    refresh.assert_error(503, "temporarily_unavailable");

    let body = form(&[("client_id", &client), ("token", &stolen.refresh)]);
    let request =
        Request::post("/oauth/revoke").header("content-type", "application/x-www-form-urlencoded");
    let revoked = app.send(request.body(body.into()).unwrap()).await;
    assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
    let replay = app.redeem(&client, &code).await;
    replay.assert_error(400, "invalid_grant");
    for tokens in [&stolen, &replayed] {
        let answer = app.call("/mcp", &tokens.access).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }

    limit("0");
    Tokens::from(&app.refresh(&client, &kept.refresh).await);
}
