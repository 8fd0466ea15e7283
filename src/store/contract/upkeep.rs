//! Sweeping, and moving to another store.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{devices, fixtures::*, keys::key};
use crate::store::contract::prelude::*;

/// A sweep removes every expired record and no other.
pub async fn a_sweep_takes_what_has_expired_and_nothing_else<S: Store>(store: Arc<S>) {
    let created = store.create_client(client("app"), 10, NOW).await;
    created.expect("no store error");
    let id = Digest::of("transaction");
    let begun = store.begin_authorization(id, pending("app"), 10, NOW).await;
    begun.expect("no store error");
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let unused = Flow::new("unused", "ann", "app").issued(&store).await;

    let sweep = |at| {
        let store = store.clone();
        async move { store.sweep(at, 1000).await.expect("no store error") }
    };
    assert_eq!(sweep(NOW).await, 0, "nothing has expired yet");
    assert_eq!(sweep(after(CODE_TTL - 1)).await, 0, "nor a second before");
    // The pending authorization, both codes, and the grant that was never redeemed.
    assert_eq!(sweep(after(CODE_TTL)).await, 4, "codes go at their expiry");
    assert_eq!(sweep(after(CODE_TTL)).await, 0, "once");
    let stored = store.code(unused.code()).await;
    assert!(stored.expect("no store error").is_none());
    let outcome = store.redeem_code(unused.redeem(), NOW).await;
    assert_eq!(outcome.expect("no store error"), RedeemCodeOutcome::Unknown);
    assert!(flow.is_live(&store, 0).await, "tokens are left");
    let outcome = store.rotate_refresh(flow.rotate(0, NOW), NOW).await;
    assert_eq!(
        outcome.expect("no store error"),
        RotateRefreshOutcome::Rotated,
        "refresh tokens are left"
    );
    let found = store.client(client_id("app"), NOW).await;
    assert!(found.expect("no store error").is_some(), "clients are left");

    // The client with its one consent, and both access tokens.
    assert_eq!(sweep(after(ACCESS_TTL)).await, 4);
    let token = store.access_token(flow.access(1)).await;
    assert!(token.expect("no store error").is_none());
    let stored = store.refresh_token(flow.refresh(1)).await;
    assert!(
        stored.expect("no store error").is_some(),
        "refresh tokens live"
    );
    // Two generations and the grant.
    assert_eq!(sweep(after(REFRESH_TTL)).await, 3);
    let page = store.export(None, 10).await.expect("no store error");
    assert_eq!(page.records, [], "nothing is left");
    assert_eq!(
        sweep(Timestamp::from_secs(u64::MAX)).await,
        0,
        "nothing is left"
    );
}

/// A sweep removes no more than it is asked to, and the next one goes on.
pub async fn a_sweep_stops_at_its_limit<S: Store>(store: Arc<S>) {
    for number in 0..700 {
        let id = Digest::of(&format!("transaction {number}"));
        let begun = store.begin_authorization(id, pending("app"), 1000, NOW);
        begun.await.expect("no store error");
    }
    let mut counts = Vec::new();
    for limit in [1, 299, 1000, 1000] {
        let swept = store.sweep(after(CODE_TTL), limit).await;
        counts.push(swept.expect("no store error"));
    }
    assert_eq!(counts, [1, 299, 400, 0]);
}

/// Nobody can ask for the consents to a client that is gone: they go with it, however many.
pub async fn a_swept_client_takes_its_consents_along<S: Store>(store: Arc<S>) {
    for name in ["app", "next"] {
        let created = store.create_client(client(name), 10, NOW).await;
        created.expect("no store error");
    }
    let many = (0..600).map(|number| format!("user{number}"));
    let many = many.map(|user| Record::Consent(consent(&user, "app", "a")));
    store.import(many.collect()).await.expect("no store error");
    Flow::new("1", "ann", "app").issued(&store).await;
    Flow::new("2", "ann", "https://client.example/")
        .issued(&store)
        .await;

    let mut counts = Vec::new();
    while counts.last() != Some(&0) {
        let swept = store.sweep(after(1000), 100).await;
        counts.push(swept.expect("no store error"));
        assert!(counts.len() < 100, "a sweep comes to an end");
    }
    // Two clients, one with 601 consents, and what two flows left: codes and grants.
    assert!(counts.iter().all(|count| *count <= 100), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 607, "{counts:?}");
    for user in ["user0", "user299", "user599"] {
        let consents = store.consents(subject(user)).await;
        assert!(consents.expect("no store error").is_empty(), "{user}");
    }
    let consents = store.consents(subject("ann")).await;
    let consents = consents.expect("no store error");
    let apps: Vec<_> = consents.iter().map(|c| c.client_id.as_str()).collect();
    assert_eq!(apps, ["https://client.example/"], "no others go");
    for name in ["app", "next"] {
        let created = store.create_client(client(name), 2, after(999)).await;
        assert_eq!(
            created.expect("no store error"),
            CreateClient::Created,
            "the clients are gone"
        );
    }
}

/// A grant that is refreshed again and again outlives its first expiry.
pub async fn what_was_used_lately_is_not_swept<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let mut now = NOW;
    for generation in 0..5 {
        now = Timestamp::from_secs(now.as_secs() + REFRESH_TTL - 1);
        let swept = store.sweep(now, 1000).await;
        swept.expect("no store error");
        let outcome = store.rotate_refresh(flow.rotate(generation, now), now);
        assert_eq!(
            outcome.await.expect("no store error"),
            RotateRefreshOutcome::Rotated,
            "generation {generation}"
        );
        assert!(flow.is_live(&store, generation + 1).await);
    }
    let reached = store
        .revoke(RevokeTarget::Subject(subject("ann")), now)
        .await;
    assert_eq!(reached.expect("no store error").grants, [flow.grant()]);
    let swept = store.sweep(Timestamp::from_secs(u64::MAX), 1000).await;
    swept.expect("no store error");
    let (_, left) = everything(&*store, 10).await;
    assert_eq!(left, [], "but it does not stay for ever");
}

async fn everything<S: Store>(store: &S, limit: usize) -> (BTreeSet<String>, Vec<Record>) {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.export(cursor, limit).await.expect("no store error");
        assert!(page.records.len() <= limit, "a page is no longer than that");
        records.extend(page.records);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let lines = records
        .iter()
        .map(|record| serde_json::to_string(record).expect("a record is JSON"));
    (lines.collect(), records)
}

/// A store that was imported from another one's export is that store: records, indexes, counters.
pub async fn what_is_exported_and_imported_is_the_same_store<S: Store>(from: Arc<S>, to: Arc<S>) {
    for name in ["app", "other"] {
        let created = from.create_client(client(name), 10, NOW).await;
        created.expect("no store error");
    }
    let begun = from.begin_authorization(Digest::of("t"), pending("app"), 10, NOW);
    begun.await.expect("no store error");
    let purpose = KeyPurpose::RefreshSuccessor;
    let keys = from.add_key(key(purpose), Duration::ZERO, NOW).await;
    let keys = keys.expect("no store error");
    let device = devices::device("d");
    let begun = from.begin_device(Digest::of("d"), device, 10, NOW).await;
    begun.expect("no store error");
    let jti = Digest::of("jti");
    let first = from.use_once(jti, after(60), 10, NOW).await;
    assert_eq!(first.expect("no store error"), UseOnce::First);
    let used = Flow::new("used", "ann", "app").redeemed(&from).await;
    for generation in 0..2 {
        let rotated = from.rotate_refresh(used.rotate(generation, NOW), NOW).await;
        rotated.expect("no store error");
    }
    let dead = Flow::new("dead", "ann", "other").redeemed(&from).await;
    let revoked = from.revoke(RevokeTarget::Grant(dead.grant()), NOW).await;
    revoked.expect("no store error");
    let fresh = Flow::new("fresh", "bob", "app").issued(&from).await;

    let (lines, records) = everything(&*from, 3).await;
    // 2 clients, 3 codes, 3 grants, 3 + 1 access and 3 + 1 refresh tokens, 3 consents, 1 key, 1 use.
    assert_eq!(records.len(), 21, "every record is exported once");
    assert_eq!(lines.len(), 21, "every record is exported once");
    let (all_at_once, _) = everything(&*from, 1000).await;
    assert_eq!(lines, all_at_once, "pages of any size are the same export");

    let imported = to.import(records.clone()).await;
    imported.expect("no store error");
    let imported = to.import(records).await;
    imported.expect("no store error");
    let (copied, _) = everything(&*to, 7).await;
    assert_eq!(lines, copied, "what was imported is exported the same");

    let found = to.keys(purpose).await;
    assert_eq!(found.expect("no store error"), keys, "keys are kept");
    let again = to.use_once(jti, after(60), 1, NOW).await;
    assert_eq!(
        again.expect("no store error"),
        UseOnce::Again,
        "what was used stays used"
    );
    let more = to.use_once(Digest::of("more"), after(60), 1, NOW).await;
    assert_eq!(
        more.expect("no store error"),
        UseOnce::Full,
        "uses are counted once"
    );
    assert!(used.is_live(&*to, 2).await, "live tokens live");
    assert!(!dead.is_live(&*to, 0).await, "dead tokens are dead");
    let created = to.create_client(client("third"), 2, NOW).await;
    assert_eq!(
        created.expect("no store error"),
        CreateClient::Full,
        "clients are counted once"
    );
    let outcome = to.redeem_code(fresh.redeem(), NOW).await;
    assert_eq!(
        outcome.expect("no store error"),
        RedeemCodeOutcome::Redeemed,
        "codes can be redeemed"
    );
    let outcome = to.rotate_refresh(used.rotate(1, NOW), NOW).await;
    assert_eq!(
        outcome.expect("no store error"),
        RotateRefreshOutcome::Repeated { first_used_at: NOW },
        "repeats are answered"
    );
    let reached = to.revoke(RevokeTarget::Subject(subject("ann")), NOW).await;
    let reached = reached.expect("no store error").grants;
    assert_eq!(reached.len(), 2, "grants are found by user");
    let reached = to.delete_client(client_id("app"), NOW).await;
    let reached = reached.expect("no store error").grants;
    assert_eq!(reached.len(), 2, "grants are found by client");
    let swept = to.sweep(after(2 * REFRESH_TTL), 1000).await;
    swept.expect("no store error");
    let (left, _) = everything(&*to, 10).await;
    assert_eq!(left.len(), 1, "everything but the key can expire: {left:?}");
}
