//! Registered clients.

use std::sync::Arc;

use super::fixtures::*;
use crate::store::contract::prelude::*;

/// A client is stored once; a second one of its id changes nothing.
pub async fn a_client_is_created_once<S: Store>(store: Arc<S>) {
    let first = client("first");
    let created = store.create_client(first.clone(), 10, NOW).await;
    assert_eq!(
        created.expect("no store error"),
        CreateClient::Created,
        "the id is free"
    );
    let mut second = first.clone();
    second.metadata.client_name = None;
    let created = store.create_client(second, 10, NOW).await;
    assert_eq!(
        created.expect("no store error"),
        CreateClient::Exists(first.clone()),
        "an id that is taken is answered with who has it"
    );
    let found = store.client(first.id.clone(), NOW).await;
    assert_eq!(
        found.expect("no store error"),
        Some(first),
        "what is stored stays as it was"
    );
    let racing = {
        let store = store.clone();
        all(20, move |_| {
            let store = store.clone();
            async move { store.create_client(client("racing"), 100, NOW).await }
        })
        .await
    };
    let created = racing.iter().filter(|o| **o == CreateClient::Created);
    assert_eq!(created.count(), 1, "of parallel creations one creates");
}

/// A client that registers again lives longer, once half of its time is over; nothing else changes.
pub async fn a_client_that_registers_again_is_in_use<S: Store>(store: Arc<S>) {
    let first = client("app");
    let created = store.create_client(first.clone(), 10, NOW).await;
    created.expect("no store error");
    for (later, lives_until) in [(400, 1000), (500, 1000), (501, 1501), (600, 1501)] {
        let mut again = client("app");
        again.expires_at = after(later + 1000);
        let answer = store.create_client(again, 10, after(later)).await;
        let mut expected = first.clone();
        expected.expires_at = after(lives_until);
        assert_eq!(
            answer.expect("no store error"),
            CreateClient::Exists(expected.clone()),
            "after {later} of 1000 seconds"
        );
        let found = store.client(client_id("app"), after(later)).await;
        assert_eq!(found.expect("no store error"), Some(expected));
    }
}

/// An expired client is unknown, and its id can be taken.
pub async fn an_expired_client_is_unknown_and_its_id_free<S: Store>(store: Arc<S>) {
    let old = client("same");
    let created = store.create_client(old.clone(), 1, NOW).await;
    assert_eq!(created.expect("no store error"), CreateClient::Created);
    let last = Timestamp::from_secs(old.expires_at.as_secs() - 1);
    let found = store.client(old.id.clone(), last).await;
    assert!(
        found.expect("no store error").is_some(),
        "a client lives up to its expiry"
    );
    let found = store.client(old.id.clone(), old.expires_at).await;
    assert!(
        found.expect("no store error").is_none(),
        "a client is gone from its expiry on"
    );
    let mut new = old.clone();
    new.expires_at = after(5000);
    let created = store.create_client(new.clone(), 1, old.expires_at).await;
    assert_eq!(
        created.expect("no store error"),
        CreateClient::Created,
        "an expired client gives way to one of its id, also where no more are allowed"
    );
    let found = store.client(new.id.clone(), old.expires_at).await;
    assert_eq!(found.expect("no store error"), Some(new));
}

/// Only as many clients as allowed are stored, expired ones counted until they are swept.
pub async fn clients_are_capped<S: Store>(store: Arc<S>) {
    let create = |name: &str, now| {
        let (store, client) = (store.clone(), client(name));
        async move {
            let created = store.create_client(client, 2, now).await;
            created.expect("no store error")
        }
    };
    assert_eq!(create("a", NOW).await, CreateClient::Created);
    assert_eq!(create("b", NOW).await, CreateClient::Created);
    assert_eq!(create("c", NOW).await, CreateClient::Full, "the cap holds");
    assert!(
        matches!(create("b", NOW).await, CreateClient::Exists(_)),
        "one that exists is found even where no more are allowed"
    );
    assert_eq!(
        create("c", after(1000)).await,
        CreateClient::Full,
        "an unswept client counts"
    );
    let forgotten = store.delete_client(client_id("a"), NOW).await;
    forgotten.expect("no store error");
    assert_eq!(
        create("c", NOW).await,
        CreateClient::Created,
        "a deleted client makes room"
    );
    let swept = store.sweep(after(1000), 100).await;
    assert_eq!(swept.expect("no store error"), 2, "both clients are swept");
    assert_eq!(
        create("d", after(1000)).await,
        CreateClient::Created,
        "a swept client makes room"
    );
    let racing = {
        let store = store.clone();
        all(20, move |number| {
            let (store, client) = (
                store.clone(),
                client(&format!("racing {number}").replace(' ', "")),
            );
            async move { store.create_client(client, 5, NOW).await }
        })
        .await
    };
    let created = racing.iter().filter(|o| **o == CreateClient::Created);
    assert_eq!(created.count(), 4, "the cap holds in a race");
}

/// A client that changes its registration replaces it, and nothing else changes.
pub async fn a_client_is_replaced<S: Store>(store: Arc<S>) {
    let update = |client: &ClientRecord, now| {
        let (store, client) = (store.clone(), client.clone());
        async move {
            let updated = store.update_client(client, now).await;
            updated.expect("no store error")
        }
    };
    let mut changed = client("app");
    changed.metadata.client_name = Some("changed".to_owned());
    changed.management = Some(Digest::of("a registration access token"));
    changed.metadata.jwks = Some(serde_json::json!({"keys": [{"kty": "OKP"}]}));
    assert!(!update(&changed, NOW).await, "there is none");
    let created = store.create_client(client("app"), 2, NOW).await;
    created.expect("no store error");
    assert!(update(&changed, NOW).await, "there is one");
    let find = |now| {
        let store = store.clone();
        async move {
            let found = store.client(client_id("app"), now).await;
            found.expect("no store error")
        }
    };
    assert_eq!(find(NOW).await, Some(changed.clone()), "all of it changes");

    // Whoever read it before it was used must not shorten its life.
    let mut stale = changed.clone();
    stale.expires_at = after(1);
    assert!(update(&stale, NOW).await);
    assert_eq!(find(after(999)).await, Some(changed.clone()));
    let mut longer = changed.clone();
    longer.expires_at = after(2000);
    assert!(update(&longer, NOW).await);
    assert_eq!(find(after(1999)).await, Some(longer.clone()), "it may grow");
    assert!(!update(&changed, after(2000)).await, "it has expired");
    assert_eq!(find(after(1999)).await, Some(longer), "and is left alone");
    let created = store.create_client(client("next"), 2, NOW).await;
    assert_eq!(
        created.expect("no store error"),
        CreateClient::Created,
        "it is counted once"
    );
}

/// A deleted client is unknown, and nothing that it was given is alive.
pub async fn deleting_a_client_revokes_all_it_had<S: Store>(store: Arc<S>) {
    let created = store.create_client(client("gone"), 10, NOW).await;
    created.expect("no store error");
    let ann = Flow::new("ann", "ann", "gone").redeemed(&store).await;
    let bob = Flow::new("bob", "bob", "gone").redeemed(&store).await;
    let other = Flow::new("other", "ann", "stays").redeemed(&store).await;

    let reached = store.delete_client(client_id("gone"), NOW).await;
    let mut reached = reached.expect("no store error").grants;
    let mut expected = vec![ann.grant(), bob.grant()];
    reached.sort();
    expected.sort();
    assert_eq!(reached, expected, "the grants of the client are revoked");
    assert!(!ann.is_live(&store, 0).await, "their tokens are dead");
    assert!(!bob.is_live(&store, 0).await, "their tokens are dead");
    assert!(other.is_live(&store, 0).await, "others are left alone");
    let found = store.client(client_id("gone"), NOW).await;
    assert!(found.expect("no store error").is_none(), "it is forgotten");
    let consents = store.consents(subject("ann")).await;
    let consents = consents.expect("no store error");
    assert_eq!(
        consents.iter().map(|c| &c.client_id).collect::<Vec<_>>(),
        [&client_id("stays")],
        "consents to it are forgotten, and no others"
    );
}
