//! What Redis forgets by itself, and when.

use std::time::Duration;

use tower_mcp_auth::{
    Digest, Timestamp,
    store::{BeginAuthorization, CreateClient, Store, UseOnce, record::Record},
};

use super::{
    flow::{Flow, NOW, after},
    servers::Deployment,
};

const DAY: u64 = 86_400;
/// When the last token of a flow has expired.
const END: u64 = 604_800;

/// A flow, with all that a store may have beside it.
async fn fill(store: &impl Store) -> Flow {
    let flow = Flow::new("x");
    let records = flow.records();
    let Record::Client(client) = records[0].clone() else {
        unreachable!("the first one is the client")
    };
    let created = store.create_client(client, 9, NOW).await.unwrap();
    assert_eq!(created, CreateClient::Created);
    flow.redeem(store).await;
    flow.rotate(store, 0).await;
    let first = store.use_once(Digest::of("jti"), after(60), 9, NOW).await;
    assert_eq!(first.unwrap(), UseOnce::First);
    flow
}

#[tokio::test]
async fn redis_forgets_what_no_sweep_ever_saw() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let store = deployment.open().await;
    let flow = fill(&store).await;
    let count = deployment.keys().len();
    assert!(count > 15, "{count} keys");

    deployment.let_redis_age(Duration::from_secs(END + DAY - 60));
    let refresh = store.refresh_token(flow.refresh(1)).await.unwrap();
    assert!(refresh.is_some(), "until the last day is over");
    // An index stays an hour longer.
    deployment.let_redis_age(Duration::from_secs(3661));
    let mut left = deployment.keys();
    left.sort();
    let mut expected = Vec::new();
    for name in [
        "consent".to_owned(),
        format!("consents-of:{}", flow.subject()),
        format!("consents-to:{}", flow.client()),
        "schema".to_owned(),
    ] {
        expected.push(format!("{{{}}}:{name}", deployment.prefix));
    }
    left.retain(|key| !key.contains("}:consent:"));
    assert_eq!(left, expected, "consents stay until they are withdrawn");
    let consents = store.consents(flow.subject()).await.unwrap();
    assert_eq!(consents.len(), 1);
}

#[tokio::test]
async fn nothing_is_forgotten_before_a_day_after_its_time() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let store = deployment.open().await;
    let flow = fill(&store).await;
    let before = deployment.keys();
    deployment.let_redis_age(Duration::from_secs(DAY + 50));
    assert_eq!(deployment.keys().len(), before.len());
    let code = store.code(flow.issue_request().digest).await.unwrap();
    assert!(code.is_some(), "a code lives ten minutes, and a day more");
    deployment.let_redis_age(Duration::from_secs(3600));
    assert!(flow.is_live(&store).await.is_ok_and(|is_live| !is_live));
    let refresh = store.refresh_token(flow.refresh(1)).await.unwrap();
    assert!(refresh.is_some(), "what lives longer is kept");
}

#[tokio::test]
async fn what_redis_forgot_makes_room_at_the_next_sweep() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let store = deployment.open().await;
    let begin = async |name: &str, now: Timestamp| {
        let mut pending = pending();
        pending.expires_at = now.plus(Duration::from_secs(600));
        let begun = store.begin_authorization(Digest::of(name), pending, 2, now);
        begun.await.unwrap()
    };
    assert_eq!(begin("a", NOW).await, BeginAuthorization::Begun);
    deployment.let_redis_age(Duration::from_secs(3600));
    // It keeps the index.
    assert_eq!(begin("b", after(3600)).await, BeginAuthorization::Begun);
    deployment.let_redis_age(Duration::from_secs(DAY - 3000));
    let waits = store.pending_authorization(Digest::of("a"), NOW).await;
    assert!(waits.unwrap().is_none(), "it is forgotten");
    let late = after(3600 + 599);
    assert_eq!(begin("c", late).await, BeginAuthorization::Full);
    assert_eq!(
        store.sweep(late, 10).await.unwrap(),
        1,
        "only its name was left"
    );
    assert_eq!(begin("c", late).await, BeginAuthorization::Begun);
}

fn pending() -> tower_mcp_auth::store::record::PendingAuthorization {
    let record = serde_json::json!({
        "request": {
            "client_id": "app", "redirect_uri": "https://app.example/cb", "scopes": "a",
            "resource": "https://a.example/mcp", "state": null,
            "code_challenge": "c".repeat(43), "nonce": null,
            "prompt_consent": false, "prompt_login": false,
        },
        "created_at": 1, "expires_at": 2,
    });
    serde_json::from_value(record).unwrap()
}

#[tokio::test]
async fn what_was_imported_waits_for_a_sweep() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let store = deployment.open().await;
    let flow = Flow::new("x");
    // Whoever imports does not say what time it is.
    store.import(flow.records()).await.unwrap();
    let before = deployment.keys().len();
    deployment.let_redis_age(Duration::from_secs(100 * END));
    assert_eq!(deployment.keys().len(), before);
    let swept = store.sweep(after(END), 100).await.unwrap();
    assert_eq!(swept, flow.records().len());
}

#[tokio::test]
async fn the_end_of_time_is_as_good_as_any_other() {
    let Some(deployment) = Deployment::create() else {
        return;
    };
    let store = deployment.open().await;
    let never = Timestamp::from_secs(u64::MAX);
    for (name, expires_at) in [("never", never), ("once", after(60))] {
        let used = store.use_once(Digest::of(name), expires_at, 9, NOW).await;
        assert_eq!(used.unwrap(), UseOnce::First);
    }
    let Record::Client(mut client) = Flow::new("x").records().swap_remove(0) else {
        unreachable!("the first one is the client")
    };
    client.expires_at = never;
    let created = store.create_client(client.clone(), 9, NOW).await.unwrap();
    assert_eq!(created, CreateClient::Created);
    let far = Timestamp::from_secs(1 << 52);
    assert_eq!(store.sweep(far, 9).await.unwrap(), 1);
    let found = store.client(client.id.clone(), far).await.unwrap();
    assert_eq!(found, Some(client));
    let again = store.use_once(Digest::of("never"), never, 9, far).await;
    assert_eq!(again.unwrap(), UseOnce::Again);
    assert_eq!(store.sweep(never, 9).await.unwrap(), 2);
}
