//! Authorizations that wait for their user.

use std::sync::Arc;

use super::fixtures::*;
use crate::store::contract::prelude::*;

/// Of all who end an authorization, one gets it.
pub async fn a_pending_authorization_is_taken_out_once<S: Store>(store: Arc<S>) {
    let id = Digest::of("transaction");
    let begun = store.begin_authorization(id, pending("app"), 10, NOW).await;
    assert_eq!(begun.expect("no store error"), BeginAuthorization::Begun);
    let found = store.pending_authorization(id, NOW).await;
    assert_eq!(
        found.expect("no store error"),
        Some(pending("app")),
        "it waits, unchanged"
    );
    let ended = {
        let store = store.clone();
        all(20, move |_| {
            let store = store.clone();
            async move { store.end_authorization(id, NOW).await }
        })
        .await
    };
    let got: Vec<_> = ended.into_iter().flatten().collect();
    assert_eq!(got, [pending("app")], "exactly one caller gets it");
    let found = store.pending_authorization(id, NOW).await;
    assert!(found.expect("no store error").is_none(), "it is gone");
}

/// An expired authorization is as good as none.
pub async fn an_expired_authorization_is_gone<S: Store>(store: Arc<S>) {
    let id = Digest::of("transaction");
    let begun = store.begin_authorization(id, pending("app"), 10, NOW).await;
    begun.expect("no store error");
    let found = store.pending_authorization(id, after(CODE_TTL - 1)).await;
    assert!(
        found.expect("no store error").is_some(),
        "it waits up to its expiry"
    );
    let found = store.pending_authorization(id, after(CODE_TTL)).await;
    assert!(
        found.expect("no store error").is_none(),
        "it is gone from its expiry on"
    );
    let mut flow = Flow::new("late", "ann", "app");
    flow.issue.pending = Some(id);
    let issued = store.issue_code(flow.issue.clone(), after(CODE_TTL)).await;
    assert_eq!(
        issued.expect("no store error"),
        IssueCodeOutcome::Gone,
        "an approval that comes too late gives no code"
    );
    let ended = store.end_authorization(id, after(CODE_TTL)).await;
    assert!(
        ended.expect("no store error").is_none(),
        "an expired authorization is not handed out"
    );
}

/// Only as many authorizations as allowed may wait.
pub async fn pending_authorizations_are_capped<S: Store>(store: Arc<S>) {
    let begin = |name: &str| {
        let (store, id) = (store.clone(), Digest::of(name));
        async move {
            let begun = store.begin_authorization(id, pending("app"), 2, NOW).await;
            begun.expect("no store error")
        }
    };
    assert_eq!(begin("a").await, BeginAuthorization::Begun);
    assert_eq!(begin("b").await, BeginAuthorization::Begun);
    assert_eq!(begin("c").await, BeginAuthorization::Full, "the cap holds");
    let ended = store.end_authorization(Digest::of("a"), NOW).await;
    assert!(ended.expect("no store error").is_some());
    assert_eq!(
        begin("c").await,
        BeginAuthorization::Begun,
        "one that ended makes room"
    );
    let mut flow = Flow::new("b", "ann", "app");
    flow.issue.pending = Some(Digest::of("b"));
    flow.issued(&store).await;
    assert_eq!(
        begin("d").await,
        BeginAuthorization::Begun,
        "one that was approved makes room"
    );
    let swept = store.sweep(after(CODE_TTL), 2).await;
    assert_eq!(swept.expect("no store error"), 2);
    let swept = store.sweep(after(CODE_TTL), 100).await;
    swept.expect("no store error");
    assert_eq!(
        begin("e").await,
        BeginAuthorization::Begun,
        "a swept one makes room"
    );
}
