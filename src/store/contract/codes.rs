//! Approvals, codes and their redemption.

use std::sync::Arc;

use super::fixtures::*;
use crate::store::contract::prelude::*;

/// An approval stores code, grant and consent, and uses the authorization up.
pub async fn an_approval_is_one_commit<S: Store>(store: Arc<S>) {
    let id = Digest::of("transaction");
    let begun = store.begin_authorization(id, pending("app"), 10, NOW).await;
    begun.expect("no store error");
    let mut flow = Flow::new("x", "ann", "app");
    flow.issue.pending = Some(id);
    let flow = flow.issued(&store).await;

    let stored = store.code(flow.code()).await.expect("no store error");
    let (code, grant) = stored.expect("the code is stored with its grant");
    assert_eq!(code, flow.issue.code, "the code is stored as it is");
    assert_eq!(grant.id, flow.grant(), "the code is that grant's");
    assert_eq!(grant.scopes, flow.issue.grant.scopes);
    assert!(grant.revoked_at.is_none());
    let consent = store.consent(subject("ann"), client_id("app"), resource(), destination());
    assert_eq!(
        consent.await.expect("no store error"),
        flow.issue.consent,
        "the consent is remembered"
    );
    let found = store.pending_authorization(id, NOW).await;
    assert!(
        found.expect("no store error").is_none(),
        "the authorization is used up"
    );
}

/// The second of two approvals changes nothing at all.
pub async fn an_authorization_is_approved_once<S: Store>(store: Arc<S>) {
    let id = Digest::of("transaction");
    let begun = store.begin_authorization(id, pending("app"), 10, NOW).await;
    begun.expect("no store error");
    let flows: Vec<_> = (0..20)
        .map(|number| {
            let name = format!("user{number}");
            let mut flow = Flow::new(&name, &name, "app");
            flow.issue.pending = Some(id);
            flow
        })
        .collect();
    let issued = {
        let (store, flows) = (store.clone(), flows.clone());
        all(20, move |number| {
            let (store, issue) = (store.clone(), flows[number].issue.clone());
            async move { store.issue_code(issue, NOW).await }
        })
        .await
    };
    let mut approved = 0;
    for (flow, outcome) in flows.iter().zip(issued) {
        let stored = store.code(flow.code()).await.expect("no store error");
        let consents = store.consents(flow.issue.grant.subject.clone()).await;
        let remembered = !consents.expect("no store error").is_empty();
        let won = outcome == IssueCodeOutcome::Issued;
        assert_eq!(stored.is_some(), won, "a code is stored if `Issued`");
        assert_eq!(remembered, won, "a consent is remembered if `Issued`");
        approved += u8::from(won);
    }
    assert_eq!(approved, 1, "of parallel approvals one is stored");
}

/// Scopes are added to what was consented to before; nothing else is mixed up.
pub async fn consents_add_up<S: Store>(store: Arc<S>) {
    let approve = |label: &str, user: &str, app: &str, list: &str, at: Timestamp| {
        let mut flow = Flow::new(label, user, app);
        let mut given = consent(user, app, list);
        given.granted_at = at;
        flow.issue.consent = Some(given);
        flow
    };
    approve("1", "ann", "app", "a b", NOW).issued(&store).await;
    approve("2", "ann", "app", "b c", after(5))
        .issued(&store)
        .await;
    approve("3", "ann", "other", "x", NOW).issued(&store).await;
    approve("4", "bob", "app", "y", NOW).issued(&store).await;
    let mut without = Flow::new("5", "ann", "app");
    without.issue.consent = None;
    without.issued(&store).await;

    let found = store.consent(subject("ann"), client_id("app"), resource(), destination());
    let found = found.await.expect("no store error").expect("a consent");
    assert_eq!(found.scopes, scopes("a b c"), "consents are united");
    assert_eq!(found.granted_at, after(5), "the last consent dates it");
    let spelled = ResourceUri::parse("HTTPS://API.example.com:443/mcp").expect("a resource");
    let found = store.consent(subject("ann"), client_id("app"), spelled, destination());
    assert!(
        found.await.expect("no store error").is_some(),
        "another spelling of the resource is the same resource"
    );
    let elsewhere = ResourceUri::parse("https://api.example.com/mcp/2").expect("a resource");
    let found = store.consent(subject("ann"), client_id("app"), elsewhere, destination());
    assert!(
        found.await.expect("no store error").is_none(),
        "a consent is for one resource"
    );
    for other in [None, Some(Destination::of("https://app.example/callback"))] {
        let found = store.consent(subject("ann"), client_id("app"), resource(), other.clone());
        assert!(
            found.await.expect("no store error").is_none(),
            "a consent is for one destination, not for {other:?}"
        );
    }
    let mut all = store
        .consents(subject("ann"))
        .await
        .expect("no store error");
    all.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    let apps: Vec<_> = all.iter().map(|c| c.client_id.as_str()).collect();
    assert_eq!(apps, ["app", "other"], "a user's consents, and no other's");

    // Far more scopes than a set may hold must not make the consent unreadable.
    for (label, letter) in [("6", "p"), ("7", "q")] {
        let list: Vec<_> = (0..100).map(|i| format!("{letter}{i}")).collect();
        let flow = approve(label, "eve", "app", &list.join(" "), NOW);
        flow.issued(&store).await;
    }
    let found = store.consent(subject("eve"), client_id("app"), resource(), destination());
    let found = found.await.expect("no store error").expect("a consent");
    assert!(
        found.scopes.contains("q0") && found.scopes.contains("q99"),
        "what was consented to last is remembered"
    );
}

/// A redeemed code has its tokens stored, and its grant lives as long as they.
pub async fn a_code_gives_its_tokens<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let token = store.access_token(flow.access(0)).await;
    assert_eq!(
        token.expect("no store error"),
        Some(AccessToken {
            record: flow.access_record(NOW),
            revoked: false
        }),
        "the access token is stored and alive"
    );
    let refresh = flow.refresh_record(&store, 0).await;
    assert_eq!(
        Some(refresh),
        flow.redeem().refresh.map(|(_, record)| record),
        "the refresh token is stored"
    );
    let (code, grant) = {
        let stored = store.code(flow.code()).await.expect("no store error");
        stored.expect("a redeemed code is remembered")
    };
    assert_eq!(code.redeemed_at, Some(NOW), "the code is marked");
    assert_eq!(
        grant.expires_at,
        after(REFRESH_TTL),
        "the grant lives as long as its longest-lived token"
    );

    let flow = Flow::new("no refresh", "ann", "app").issued(&store).await;
    let mut redeem = flow.redeem();
    redeem.refresh = None;
    let outcome = store.redeem_code(redeem, NOW).await;
    assert_eq!(
        outcome.expect("no store error"),
        RedeemCodeOutcome::Redeemed
    );
    let grant = flow.grant_record(&store).await;
    assert_eq!(
        grant.expires_at,
        after(ACCESS_TTL),
        "without a refresh token the grant lives as long as the access token"
    );
    let refresh = store.refresh_token(flow.refresh(0)).await;
    assert!(refresh.expect("no store error").is_none());
}

/// A second redemption revokes what the first one gave, however late and however often.
pub async fn a_second_redemption_revokes_the_grant<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let other = Flow::new("y", "ann", "app").redeemed(&store).await;
    let mut again = flow.redeem();
    again.access.0 = Digest::of("the thief's access token");
    let thiefs = again.access.0;
    for at in [after(1), after(2), after(CODE_TTL + 1)] {
        let outcome = store.redeem_code(again.clone(), at).await;
        assert_eq!(
            outcome.expect("no store error"),
            RedeemCodeOutcome::Replayed(flow.grant()),
            "a redeemed code is a replay for as long as it is remembered"
        );
    }
    assert!(!flow.is_live(&store, 0).await, "the winner's token is dead");
    assert_eq!(
        flow.grant_record(&store).await.revoked_at,
        Some(after(1)),
        "the grant was revoked by the first replay"
    );
    let token = store.access_token(thiefs).await;
    assert!(
        token.expect("no store error").is_none(),
        "a replay stores no token"
    );
    assert!(other.is_live(&store, 0).await, "other grants are untouched");
}

/// Of twenty at once one redeems, and its tokens are revoked by the nineteen.
pub async fn of_parallel_redemptions_one_wins_and_none_survives<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").issued(&store).await;
    let outcomes = {
        let (store, flow) = (store.clone(), flow.clone());
        all(20, move |number| {
            let (store, mut redeem) = (store.clone(), flow.redeem());
            redeem.access.0 = flow.access(number as u32);
            if let Some((digest, _)) = &mut redeem.refresh {
                *digest = flow.refresh(number as u32);
            }
            async move { store.redeem_code(redeem, NOW).await }
        })
        .await
    };
    let redeemed = outcomes
        .iter()
        .filter(|outcome| **outcome == RedeemCodeOutcome::Redeemed);
    assert_eq!(redeemed.count(), 1, "exactly one redemption wins");
    let replayed = outcomes
        .iter()
        .filter(|outcome| **outcome == RedeemCodeOutcome::Replayed(flow.grant()));
    assert_eq!(replayed.count(), 19, "all others are replays");
    let mut stored = 0;
    for number in 0..20 {
        let token = store.access_token(flow.access(number)).await;
        if let Some(token) = token.expect("no store error") {
            assert!(token.revoked, "no token outlives the replays");
            stored += 1;
        }
    }
    assert_eq!(stored, 1, "only the winner's token was stored");
}

/// A code is worth nothing from its expiry on.
pub async fn an_expired_code_gives_nothing<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").issued(&store).await;
    let outcome = store.redeem_code(flow.redeem(), after(CODE_TTL)).await;
    assert_eq!(outcome.expect("no store error"), RedeemCodeOutcome::Expired);
    let token = store.access_token(flow.access(0)).await;
    assert!(
        token.expect("no store error").is_none(),
        "no token is stored"
    );
    let last = after(CODE_TTL - 1);
    let outcome = store.redeem_code(flow.redeem(), last).await;
    assert_eq!(
        outcome.expect("no store error"),
        RedeemCodeOutcome::Redeemed,
        "a code can be redeemed up to its expiry, and a refusal changed nothing"
    );
}

/// A code whose grant was revoked gives nothing, and that is no replay.
pub async fn a_code_of_a_revoked_grant_gives_nothing<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").issued(&store).await;
    let target = RevokeTarget::Grant(flow.grant());
    store.revoke(target, NOW).await.expect("no store error");
    let outcome = store.redeem_code(flow.redeem(), NOW).await;
    assert_eq!(outcome.expect("no store error"), RedeemCodeOutcome::Revoked);
    let token = store.access_token(flow.access(0)).await;
    assert!(
        token.expect("no store error").is_none(),
        "no token is stored"
    );
    let outcome = store.redeem_code(flow.redeem(), after(CODE_TTL)).await;
    assert_eq!(
        outcome.expect("no store error"),
        RedeemCodeOutcome::Expired,
        "expired is said before revoked"
    );
}

/// A code that nobody issued is unknown.
pub async fn an_unknown_code_is_unknown<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app");
    let outcome = store.redeem_code(flow.redeem(), NOW).await;
    assert_eq!(outcome.expect("no store error"), RedeemCodeOutcome::Unknown);
    let stored = store.code(flow.code()).await;
    assert!(stored.expect("no store error").is_none());
}

/// Approvals, redemptions and rotations move a client's expiry later, never earlier.
pub async fn use_keeps_a_client<S: Store>(store: Arc<S>) {
    let created = store.create_client(client("app"), 10, NOW).await;
    created.expect("no store error");
    let expiry = || {
        let store = store.clone();
        async move {
            let found = store.client(client_id("app"), NOW).await;
            let found = found.expect("no store error");
            found.expect("the client is there").expires_at
        }
    };
    let mut flow = Flow::new("x", "ann", "app");
    flow.issue.renew_client = Some(after(2000));
    let flow = flow.issued(&store).await;
    assert_eq!(expiry().await, after(2000), "an approval renews");
    let mut redeem = flow.redeem();
    redeem.renew_client = Some(after(1500));
    let outcome = store.redeem_code(redeem, NOW).await;
    outcome.expect("no store error");
    assert_eq!(expiry().await, after(2000), "nothing shortens a life");
    let mut rotate = flow.rotate(0, NOW);
    rotate.renew_client = Some(after(3000));
    let outcome = store.rotate_refresh(rotate, NOW).await;
    outcome.expect("no store error");
    assert_eq!(expiry().await, after(3000), "a rotation renews");
    let swept = store.sweep(after(1000), 100).await;
    swept.expect("no store error");
    let found = store.client(client_id("app"), after(1000)).await;
    assert!(
        found.expect("no store error").is_some(),
        "a renewed client is not swept at its old expiry"
    );
    let consents = store.consents(subject("ann")).await;
    let consents = consents.expect("no store error");
    assert_eq!(consents.len(), 1, "nor what it was allowed");
    let mut stranger = Flow::new("y", "ann", "https://client.example/meta.json");
    stranger.issue.renew_client = Some(after(2000));
    stranger.issued(&store).await;
}
