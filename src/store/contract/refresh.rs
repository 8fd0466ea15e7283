//! Refresh tokens and their rotation.

use std::sync::Arc;

use super::fixtures::*;
use crate::store::{RotateRefreshOutcome as Outcome, contract::prelude::*};

async fn rotate<S: Store>(store: &Arc<S>, rotate: RotateRefresh, now: Timestamp) -> Outcome {
    let outcome = store.rotate_refresh(rotate, now).await;
    outcome.expect("no store error")
}

/// The first use stores the successor and the access token, and marks the token as used.
pub async fn a_rotation_stores_successor_and_access_token<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let now = after(100);
    let outcome = rotate(&store, flow.rotate(0, now), now).await;
    assert_eq!(outcome, Outcome::Rotated);
    let used = flow.refresh_record(&store, 0).await.used;
    let used = used.expect("the presented token is marked");
    assert_eq!((used.at, used.key, used.access_tokens), (now, 7, 1));
    let successor = flow.refresh_record(&store, 1).await;
    assert_eq!(successor.generation, 1, "generations are counted");
    assert_eq!(successor.expires_at, after(100 + REFRESH_TTL));
    assert_eq!(successor.grant, flow.grant());
    assert!(successor.used.is_none(), "the successor is unused");
    assert!(flow.is_live(&store, 1).await, "the new access token lives");
    assert!(
        flow.is_live(&store, 0).await,
        "the old access token lives on"
    );
    let grant = flow.grant_record(&store).await;
    assert_eq!(
        grant.expires_at,
        after(100 + REFRESH_TTL),
        "the grant lives as long as the successor"
    );
    assert_eq!(grant.refresh_generation, 1, "and knows of it");
    let outcome = rotate(&store, flow.rotate(1, now), now).await;
    assert_eq!(outcome, Outcome::Rotated, "the successor can be used");
}

/// A repeat in the window gives the same answer and writes nothing.
pub async fn a_repeat_within_the_window_changes_nothing<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let outcome = rotate(&store, flow.rotate(0, NOW), NOW).await;
    assert_eq!(outcome, Outcome::Rotated);
    let before = (
        flow.refresh_record(&store, 0).await,
        flow.refresh_record(&store, 1).await,
        flow.grant_record(&store).await,
    );
    for at in [NOW, after(1), after(GRACE)] {
        let outcome = rotate(&store, flow.rotate(0, at), at).await;
        assert_eq!(
            outcome,
            Outcome::Repeated { first_used_at: NOW },
            "a repeat is answered up to the last second of the window, which counts from the \
             first use"
        );
    }
    let after = (
        flow.refresh_record(&store, 0).await,
        flow.refresh_record(&store, 1).await,
        flow.grant_record(&store).await,
    );
    assert_eq!(before, after, "a repeat writes nothing");
    let token = store.access_token(flow.access(1)).await;
    let token = token.expect("no store error").expect("the access token");
    assert_eq!(token.record.issued_at, NOW, "the first access token stays");
}

/// After the window a repeat is a theft: that grant dies, and no other.
pub async fn a_repeat_after_the_window_revokes_the_grant<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let other = Flow::new("y", "ann", "app").redeemed(&store).await;
    rotate(&store, flow.rotate(0, NOW), NOW).await;
    let late = after(GRACE + 1);
    let outcome = rotate(&store, flow.rotate(0, late), late).await;
    assert_eq!(outcome, Outcome::Replayed(flow.grant()));
    assert!(!flow.is_live(&store, 0).await, "its access tokens are dead");
    assert!(!flow.is_live(&store, 1).await, "its access tokens are dead");
    let outcome = rotate(&store, flow.rotate(1, late), late).await;
    assert_eq!(outcome, Outcome::Revoked, "its successor is dead");
    let outcome = rotate(&store, flow.rotate(0, late), late).await;
    assert_eq!(outcome, Outcome::Revoked, "what is revoked stays revoked");
    assert!(other.is_live(&store, 0).await, "other grants are untouched");
    let outcome = rotate(&store, other.rotate(0, late), late).await;
    assert_eq!(outcome, Outcome::Rotated, "other grants are untouched");
    let strictly = RotateRefresh {
        grace: 0,
        ..other.rotate(0, late)
    };
    let outcome = rotate(&store, strictly, late).await;
    let replayed = Outcome::Replayed(other.grant());
    assert_eq!(outcome, replayed, "without a window, in the same second");
}

/// Two generations are never answered at once, not even within the window.
pub async fn a_token_whose_successor_was_used_is_a_replay<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    rotate(&store, flow.rotate(0, NOW), NOW).await;
    rotate(&store, flow.rotate(1, after(1)), after(1)).await;
    let outcome = rotate(&store, flow.rotate(1, after(2)), after(2)).await;
    assert_eq!(
        outcome,
        Outcome::Repeated {
            first_used_at: after(1)
        },
        "the newest used generation may repeat"
    );
    let outcome = rotate(&store, flow.rotate(0, after(2)), after(2)).await;
    assert_eq!(outcome, Outcome::Replayed(flow.grant()));
    assert!(!flow.is_live(&store, 2).await, "everything of it is dead");

    let flow = Flow::new("y", "ann", "app").redeemed(&store).await;
    rotate(&store, flow.rotate(0, NOW), NOW).await;
    rotate(&store, flow.rotate(1, NOW), NOW).await;
    let mut other_key = flow.rotate(0, NOW);
    other_key.key = 8;
    other_key.successor = Digest::of("derived with key 8");
    let outcome = rotate(&store, other_key, NOW).await;
    assert_eq!(
        outcome,
        Outcome::Replayed(flow.grant()),
        "a replay is noticed whatever key the successor is derived with"
    );
}

/// Where the key was changed in between, a repeat is told which one the first use had.
pub async fn a_repeat_with_another_key_is_told_the_first_one<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    rotate(&store, flow.rotate(0, NOW), NOW).await;
    let mut other = flow.rotate(0, after(3));
    other.key = 8;
    other.successor = Digest::of("derived with key 8");
    other.access.0 = Digest::of("an access token derived with key 8");
    let (successor, access) = (other.successor, other.access.0);
    let outcome = rotate(&store, other.clone(), after(3)).await;
    assert_eq!(
        outcome,
        Outcome::OtherKey {
            key: 7,
            first_used_at: NOW
        }
    );
    let stored = store.refresh_token(successor).await;
    assert!(
        stored.expect("no store error").is_none(),
        "nothing is stored"
    );
    let stored = store.access_token(access).await;
    assert!(
        stored.expect("no store error").is_none(),
        "nothing is stored"
    );
    let late = after(GRACE + 1);
    let outcome = rotate(&store, other, late).await;
    assert_eq!(
        outcome,
        Outcome::Replayed(flow.grant()),
        "after the window the key does not matter"
    );
}

/// One generation gives a few different access tokens and no more.
pub async fn access_tokens_of_one_generation_are_counted<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let narrowed = |number: u32| {
        let mut rotate = flow.rotate(0, NOW);
        rotate.access.0 = flow.access(100 + number);
        rotate.access.1.scopes = scopes("notes:read");
        rotate
    };
    let outcome = rotate(&store, narrowed(0), NOW).await;
    assert_eq!(outcome, Outcome::Rotated);
    let repeated = Outcome::Repeated { first_used_at: NOW };
    for number in 1..u32::from(MAX_ACCESS_TOKENS) {
        let outcome = rotate(&store, narrowed(number), NOW).await;
        assert_eq!(outcome, repeated, "a few more are stored");
        assert!(flow.is_live(&store, 100 + number).await, "and live");
    }
    let used = flow.refresh_record(&store, 0).await.used;
    assert_eq!(
        used.map(|used| used.access_tokens),
        Some(MAX_ACCESS_TOKENS),
        "each is counted"
    );
    let one_more = u32::from(MAX_ACCESS_TOKENS);
    let outcome = rotate(&store, narrowed(one_more), NOW).await;
    assert_eq!(outcome, Outcome::TooManyAccessTokens);
    assert!(
        !flow.is_live(&store, 100 + one_more).await,
        "it is not stored"
    );
    let outcome = rotate(&store, narrowed(1), NOW).await;
    assert_eq!(outcome, repeated, "the ones there are can be repeated");
}

/// An access token of a repeat dies when one of the first use would, whatever the caller thought.
pub async fn access_tokens_of_a_repeat_live_no_longer<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    rotate(&store, flow.rotate(0, NOW), NOW).await;
    let mut narrowed = flow.rotate(0, after(20));
    narrowed.access.0 = flow.access(100);
    let outcome = rotate(&store, narrowed, after(20)).await;
    assert_eq!(outcome, Outcome::Repeated { first_used_at: NOW });
    let token = store.access_token(flow.access(100)).await;
    let token = token.expect("no store error").expect("the access token");
    assert_eq!(token.record.expires_at, after(ACCESS_TTL));
}

/// A repeat never makes a revoked access token live again.
pub async fn a_repeat_never_brings_a_revoked_token_back<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    rotate(&store, flow.rotate(0, NOW), NOW).await;
    let target = RevokeTarget::AccessToken(flow.access(1));
    store.revoke(target, NOW).await.expect("no store error");
    let outcome = rotate(&store, flow.rotate(0, after(1)), after(1)).await;
    assert_eq!(outcome, Outcome::Repeated { first_used_at: NOW });
    assert!(
        !flow.is_live(&store, 1).await,
        "what was revoked stays dead"
    );
    let swept = store.sweep(after(1), 100).await;
    assert_eq!(
        swept.expect("no store error"),
        0,
        "what was revoked is remembered until it expires"
    );
}

/// Unknown, expired and revoked tokens give nothing and change nothing.
pub async fn dead_and_unknown_tokens_give_nothing<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app");
    let outcome = rotate(&store, flow.rotate(0, NOW), NOW).await;
    assert_eq!(outcome, Outcome::Unknown);
    let flow = flow.redeemed(&store).await;
    let late = after(REFRESH_TTL);
    let outcome = rotate(&store, flow.rotate(0, late), late).await;
    assert_eq!(outcome, Outcome::Expired, "expired from the expiry on");
    assert!(flow.refresh_record(&store, 0).await.used.is_none());
    let stored = store.refresh_token(flow.refresh(1)).await;
    assert!(
        stored.expect("no store error").is_none(),
        "nothing is stored"
    );
    let target = RevokeTarget::Grant(flow.grant());
    store.revoke(target, NOW).await.expect("no store error");
    let outcome = rotate(&store, flow.rotate(0, NOW), NOW).await;
    assert_eq!(outcome, Outcome::Revoked);
    let outcome = rotate(&store, flow.rotate(0, late), late).await;
    assert_eq!(outcome, Outcome::Revoked, "revoked is said before expired");
    assert!(!flow.is_live(&store, 1).await, "no token is stored");
}

/// Ten at once all succeed, with one successor.
pub async fn parallel_rotations_agree_on_one_successor<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let outcomes = {
        let (store, flow) = (store.clone(), flow.clone());
        all(10, move |_| {
            let (store, rotate) = (store.clone(), flow.rotate(0, NOW));
            async move { store.rotate_refresh(rotate, NOW).await }
        })
        .await
    };
    let count = |what: Outcome| outcomes.iter().filter(|o| **o == what).count();
    assert_eq!(count(Outcome::Rotated), 1, "one call rotates");
    assert_eq!(
        count(Outcome::Repeated { first_used_at: NOW }),
        9,
        "all others repeat it"
    );
    let grant = flow.grant_record(&store).await;
    assert!(grant.revoked_at.is_none(), "the grant is alive");
    assert!(flow.is_live(&store, 1).await, "the access token is alive");
}

/// Whatever a rotation gave, a revocation beside it has killed.
pub async fn a_revocation_beats_a_rotation<S: Store>(store: Arc<S>) {
    for round in 0..20 {
        let label = format!("round{round}");
        let flow = Flow::new(&label, "ann", "app").redeemed(&store).await;
        let rotation = {
            let (store, rotate) = (store.clone(), flow.rotate(0, NOW));
            tokio::spawn(async move { store.rotate_refresh(rotate, NOW).await })
        };
        let revocation = {
            let (store, target) = (store.clone(), RevokeTarget::RefreshToken(flow.refresh(0)));
            tokio::spawn(async move { store.revoke(target, NOW).await })
        };
        let rotated = rotation.await.expect("no panic").expect("no store error");
        let revoked = revocation.await.expect("no panic").expect("no store error");
        assert!(
            matches!(rotated, Outcome::Rotated | Outcome::Revoked),
            "a rotation happens before the revocation or not at all, not {rotated:?}"
        );
        assert_eq!(revoked.grants, [flow.grant()], "the grant is reached");
        for generation in 0..2 {
            assert!(
                !flow.is_live(&store, generation).await,
                "no token outlives the revocation"
            );
        }
        let outcome = rotate(&store, flow.rotate(1, NOW), NOW).await;
        assert!(
            matches!(outcome, Outcome::Revoked | Outcome::Unknown),
            "the successor is dead too, not {outcome:?}"
        );
    }
}
