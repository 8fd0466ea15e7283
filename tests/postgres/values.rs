//! Values at the edge of what columns and indexes hold.

use tower_mcp_auth::{
    ClientId, Digest, ResourceUri, Subject, Timestamp,
    store::{IssueCodeOutcome, RevokeTarget, Store, record::Record},
};

use super::{
    databases::Database,
    flow::{Flow, NOW},
};

#[tokio::test]
async fn names_may_be_as_long_as_they_are_allowed_to_be() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    // Nothing that could be compressed.
    let noise: String = (0..40)
        .map(|number| format!("{:?}", Digest::of(&format!("{number}")).as_bytes()))
        .collect();
    let noise = noise.replace([' ', '[', ']', ','], "");
    let (client, subject) = (&noise[..2048], &noise[..255]);
    let mut issue = Flow::new("x").issue_request();
    issue.grant.client_id = ClientId::new(client).unwrap();
    issue.grant.subject = Subject::new(subject).unwrap();
    let long = format!("https://api.example.com/{}", &noise[..2048]);
    let consent = issue.consent.as_mut().unwrap();
    consent.client_id = issue.grant.client_id.clone();
    consent.subject = issue.grant.subject.clone();
    consent.resource = ResourceUri::parse(&long).unwrap();
    let outcome = store.issue_code(issue.clone(), NOW).await.unwrap();
    assert_eq!(outcome, IssueCodeOutcome::Issued);
    let consents = store.consents(issue.grant.subject.clone()).await.unwrap();
    assert_eq!(consents, [issue.consent.unwrap()]);
    let target = RevokeTarget::Client(issue.grant.client_id);
    let reached = store.revoke(target, NOW).await.unwrap();
    assert_eq!(reached.grants, [issue.grant.id]);
}

#[tokio::test]
async fn never_is_a_time_like_any_other() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let never = Timestamp::from_secs(u64::MAX);
    let Some(Record::Client(mut client)) = Flow::new("x").records().into_iter().next() else {
        panic!("a client");
    };
    client.expires_at = never;
    store
        .create_client(client.clone(), u64::MAX, NOW)
        .await
        .unwrap();
    let again = store.create_client(client.clone(), u64::MAX, NOW).await;
    assert!(format!("{again:?}").contains("Exists"), "{again:?}");
    assert!(store.update_client(client.clone(), NOW).await.unwrap());
    let found = store.client(client.id, NOW).await.unwrap();
    assert!(found.is_some());
    let flow = Flow::new("x");
    let mut issue = flow.issue_request();
    issue.grant.expires_at = never;
    issue.code.expires_at = never;
    issue.renew_client = Some(never);
    store.issue_code(issue, NOW).await.unwrap();
    flow.redeem_code(&store).await;
    flow.rotate(&store, 0).await;
    assert_eq!(store.sweep(NOW, 100).await.unwrap(), 0);
}

/// A key set that a stranger registers may hold it, and must not make a failure of ours.
#[tokio::test]
async fn a_nul_in_a_document_does_no_harm() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = database.open().await;
    let Some(Record::Client(mut client)) = Flow::new("x").records().into_iter().next() else {
        panic!("a client");
    };
    let keys = |kid: &str| serde_json::json!({"keys": [{"kid": kid}]});
    client.metadata.jwks = Some(keys("a\0b"));
    store.create_client(client.clone(), 10, NOW).await.unwrap();
    let found = store.client(client.id, NOW).await.unwrap().unwrap();
    assert_eq!(found.metadata.jwks, Some(keys("a\u{fffd}b")));
}
