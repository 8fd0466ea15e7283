//! Devices that wait for their user (RFC 8628).

use std::sync::Arc;

use super::fixtures::*;
use crate::store::contract::prelude::*;

fn id(name: &str) -> Digest {
    Digest::of(&format!("device {name}"))
}

fn user_code(name: &str) -> Digest {
    Digest::of(&format!("user code {name}"))
}

/// A device of `app`; its digests are named after `name`.
pub(super) fn device(name: &str) -> DeviceRecord {
    DeviceRecord {
        client_id: client_id("app"),
        scopes: scopes("notes:read"),
        resource: resource(),
        user_code: user_code(name),
        created_at: NOW,
        expires_at: after(CODE_TTL),
        interval: 5,
        last_poll: None,
        decision: None,
        client: Some(Box::new(client("app").metadata)),
        dpop_jkt: Some("thumbprint".to_owned()),
    }
}

async fn begin<S: Store>(store: &S, name: &str) -> BeginDevice {
    let begun = store.begin_device(id(name), device(name), 100, NOW).await;
    begun.expect("no store error")
}

async fn poll<S: Store>(store: &S, name: &str, now: Timestamp) -> PollDevice {
    let polled = store.poll_device(id(name), client_id("app"), now).await;
    polled.expect("no store error")
}

async fn found<S: Store>(store: &S, name: &str, now: Timestamp) -> Option<DeviceRecord> {
    let found = store.device_by_user_code(user_code(name), now).await;
    found.expect("no store error")
}

async fn decide<S: Store>(store: &S, name: &str, decision: DecideDevice, now: Timestamp) -> bool {
    let decided = store.decide_device(user_code(name), decision, now).await;
    decided.expect("no store error")
}

fn approval(flow: &Flow) -> DecideDevice {
    DecideDevice::Approve {
        grant: flow.issue.grant.clone(),
        consent: flow.issue.consent.clone(),
    }
}

async fn approve<S: Store>(store: &S, name: &str, flow: &Flow) {
    assert_eq!(begin(store, name).await, BeginDevice::Begun);
    assert!(
        decide(store, name, approval(flow), NOW).await,
        "a waiting device can be approved"
    );
}

async fn redeem<S: Store>(store: &S, name: &str, flow: &Flow, now: Timestamp) -> RedeemDevice {
    let redeemed = store.redeem_device(id(name), flow.device_tokens(), now);
    redeemed.await.expect("no store error")
}

/// A device waits, and one that asks too often must slow down.
pub async fn a_device_waits_for_its_user<S: Store>(store: Arc<S>) {
    let nobody = poll(&*store, "a", NOW).await;
    assert_eq!(nobody, PollDevice::Unknown, "nobody began it");
    assert_eq!(begin(&*store, "a").await, BeginDevice::Begun);
    assert_eq!(begin(&*store, "b").await, BeginDevice::Begun);
    assert_eq!(
        found(&*store, "a", NOW).await,
        Some(device("a")),
        "it is found by its user code, unchanged"
    );
    assert_eq!(found(&*store, "c", NOW).await, None, "nobody has that code");

    let slow = |interval| PollDevice::SlowDown { interval };
    for (at, expected, why) in [
        (0, PollDevice::Pending, "the first poll is in time"),
        (5, PollDevice::Pending, "an interval later is in time"),
        (9, slow(10), "sooner is too soon"),
        (18, slow(15), "the longer interval holds"),
        (33, PollDevice::Pending, "and can be kept"),
    ] {
        assert_eq!(poll(&*store, "a", after(at)).await, expected, "{why}");
    }
    let waiting = found(&*store, "a", after(33)).await.expect("it waits");
    assert_eq!(waiting.interval, 15, "the interval is kept");
    assert_eq!(waiting.last_poll, Some(after(33)), "the poll is noted");
    assert_eq!(
        poll(&*store, "b", after(33)).await,
        PollDevice::Pending,
        "another device is asked about for the first time"
    );
    let other = store.poll_device(id("a"), client_id("other"), after(34));
    assert_eq!(
        other.await.expect("no store error"),
        PollDevice::Unknown,
        "another client's device is unknown"
    );
    assert_eq!(
        found(&*store, "a", after(34)).await,
        Some(waiting),
        "whoever else asks does not slow it down"
    );
    let redeemed = redeem(&*store, "a", &Flow::new("a", "ann", "app"), NOW).await;
    assert_eq!(redeemed, RedeemDevice::Gone, "nobody approved it");
}

/// A user code names one device; an expired one gives it up, swept or not.
pub async fn a_user_code_names_one_device<S: Store>(store: Arc<S>) {
    let racing = {
        let store = store.clone();
        all(20, move |number| {
            let (store, id) = (store.clone(), id(&number.to_string()));
            async move { store.begin_device(id, device("same"), 100, NOW).await }
        })
        .await
    };
    let begun = racing.iter().filter(|o| **o == BeginDevice::Begun).count();
    let taken = racing.iter().filter(|o| **o == BeginDevice::UserCodeTaken);
    assert_eq!((begun, taken.count()), (1, 19), "one device has the code");
    assert!(
        decide(&*store, "same", DecideDevice::Deny, NOW).await,
        "that one can be decided about"
    );
    assert_eq!(
        begin(&*store, "same").await,
        BeginDevice::UserCodeTaken,
        "one that was decided keeps its code"
    );

    let mut later = device("same");
    later.expires_at = after(2 * CODE_TTL);
    let now = after(CODE_TTL);
    let begun = store.begin_device(id("later"), later.clone(), 100, now);
    assert_eq!(
        begun.await.expect("no store error"),
        BeginDevice::Begun,
        "an expired device gives its code up"
    );
    assert_eq!(
        found(&*store, "same", now).await,
        Some(later),
        "the code names the new device"
    );
    assert!(
        decide(&*store, "same", DecideDevice::Deny, now).await,
        "the new device is decided about"
    );
    assert_eq!(poll(&*store, "later", now).await, PollDevice::Denied);
}

/// Only as many devices as allowed may wait.
pub async fn devices_are_capped<S: Store>(store: Arc<S>) {
    let begin = |name: &'static str| {
        let store = store.clone();
        async move {
            let begun = store.begin_device(id(name), device(name), 2, NOW).await;
            begun.expect("no store error")
        }
    };
    assert_eq!(begin("a").await, BeginDevice::Begun);
    assert_eq!(begin("b").await, BeginDevice::Begun);
    assert_eq!(begin("c").await, BeginDevice::Full, "the cap holds");
    let flow = Flow::new("a", "ann", "app");
    assert!(decide(&*store, "a", approval(&flow), NOW).await);
    assert_eq!(begin("c").await, BeginDevice::Full, "until it is redeemed");
    let redeemed = redeem(&*store, "a", &flow, NOW).await;
    assert_eq!(redeemed, RedeemDevice::Redeemed);
    assert_eq!(begin("c").await, BeginDevice::Begun, "that makes room");
    let swept = store.sweep(after(CODE_TTL), 100).await;
    assert_eq!(swept.expect("no store error"), 2, "both that are left");
    assert_eq!(begin("d").await, BeginDevice::Begun, "that makes room");
    assert_eq!(begin("e").await, BeginDevice::Begun, "for two");
}

/// Of all who decide about a device one does, and nothing of the others is stored.
pub async fn a_device_is_decided_about_once<S: Store>(store: Arc<S>) {
    assert_eq!(begin(&*store, "a").await, BeginDevice::Begun);
    let flows: Vec<_> = (0..10)
        .map(|number| {
            let name = format!("user{number}");
            Flow::new(&name, &name, "app")
        })
        .collect();
    let decided = {
        let (store, flows) = (store.clone(), flows.clone());
        all(20, move |number| {
            let decision = flows.get(number).map_or(DecideDevice::Deny, approval);
            let store = store.clone();
            async move { store.decide_device(user_code("a"), decision, NOW).await }
        })
        .await
    };
    let won = decided.iter().filter(|won| **won).count();
    assert_eq!(won, 1, "one decision counts");
    for (flow, won) in flows.iter().zip(&decided) {
        let user = &flow.issue.grant.subject;
        let grants = store.grants(user.clone(), NOW).await;
        let consents = store.consents(user.clone()).await;
        let stored = (
            !grants.expect("no store error").is_empty(),
            !consents.expect("no store error").is_empty(),
        );
        assert_eq!(stored, (*won, *won), "grant and consent of the one only");
    }
    let winner = decided.iter().position(|won| *won);
    match winner.and_then(|winner| flows.get(winner)) {
        Some(flow) => assert!(
            matches!(
                poll(&*store, "a", NOW).await,
                PollDevice::Approved { grant, .. } if grant.id == flow.grant()
            ),
            "it was approved"
        ),
        None => assert_eq!(poll(&*store, "a", NOW).await, PollDevice::Denied),
    }
    assert!(!decide(&*store, "b", DecideDevice::Deny, NOW).await);
}

/// An approved device learns so however often it asks, and gets its tokens.
pub async fn an_approved_device_gets_its_tokens<S: Store>(store: Arc<S>) {
    let mut used = client("app");
    used.expires_at = after(10);
    let created = store.create_client(used, 10, NOW).await;
    created.expect("no store error");
    let mut flow = Flow::new("a", "ann", "app");
    // It must be there when the device comes, whatever it says itself.
    flow.issue.grant.expires_at = after(1);
    approve(&*store, "a", &flow).await;
    let late = after(CODE_TTL - 1);
    let swept = store.sweep(after(9), 100).await;
    assert_eq!(swept.expect("no store error"), 0, "the grant is kept");
    for _ in 0..2 {
        let PollDevice::Approved { record, grant } = poll(&*store, "a", late).await else {
            panic!("an approved device is told so, also twice in a second");
        };
        assert_eq!(grant.id, flow.grant(), "with its grant");
        let decision = DeviceDecision::Approved { grant: grant.id };
        let expected = DeviceRecord {
            decision: Some(decision),
            ..device("a")
        };
        assert_eq!(record, expected, "with what it asked for");
    }
    let mut tokens = flow.device_tokens();
    tokens.renew_client = Some(after(5000));
    tokens.dpop_jkt = Some("thumbprint".to_owned());
    let redeemed = store.redeem_device(id("a"), tokens, after(9)).await;
    assert_eq!(
        redeemed.expect("no store error"),
        RedeemDevice::Redeemed,
        "an approved device is redeemed"
    );
    assert!(flow.is_live(&*store, 0).await, "the access token is stored");
    let refresh = store.refresh_token(flow.refresh(0)).await;
    let (_, grant) = refresh.expect("no store error").expect("it is stored");
    let key = grant.dpop_jkt.as_deref();
    assert_eq!(key, Some("thumbprint"), "the grant knows its key");
    let known = store.client(client_id("app"), after(4999)).await;
    assert!(known.expect("no store error").is_some(), "use keeps it");
    assert_eq!(poll(&*store, "a", NOW).await, PollDevice::Unknown);
    assert_eq!(found(&*store, "a", NOW).await, None, "it is used up");
    assert_eq!(
        begin(&*store, "a").await,
        BeginDevice::Begun,
        "code and all"
    );

    let swept = store.sweep(after(ACCESS_TTL), 100).await;
    swept.expect("no store error");
    let outcome = store.rotate_refresh(flow.rotate(0, NOW), after(ACCESS_TTL));
    assert_eq!(
        outcome.await.expect("no store error"),
        RotateRefreshOutcome::Rotated,
        "grant and refresh token outlive the access token"
    );
}

/// Of all who redeem a device one does, and nobody else's tokens are stored.
pub async fn of_parallel_device_redemptions_one_wins<S: Store>(store: Arc<S>) {
    let flow = Flow::new("a", "ann", "app");
    approve(&*store, "a", &flow).await;
    let redeemed = {
        let (store, flow) = (store.clone(), flow.clone());
        all(10, move |number| {
            let (store, mut tokens) = (store.clone(), flow.device_tokens());
            tokens.access.0 = Digest::of(&format!("access {number}"));
            async move { store.redeem_device(id("a"), tokens, NOW).await }
        })
        .await
    };
    let mut won = 0;
    for (number, outcome) in redeemed.into_iter().enumerate() {
        let is_winner = outcome == RedeemDevice::Redeemed;
        assert!(is_winner || outcome == RedeemDevice::Gone, "{outcome:?}");
        let token = store.access_token(Digest::of(&format!("access {number}")));
        let token = token.await.expect("no store error");
        assert_eq!(token.is_some(), is_winner, "the winner's token is stored");
        won += u8::from(is_winner);
    }
    assert_eq!(won, 1, "one redemption counts");
    let grants = store.grants(subject("ann"), NOW).await;
    let grants = grants.expect("no store error");
    assert_eq!(grants.len(), 1, "a second one is no reason to revoke");
}

/// A denied device gets nothing, and neither does one whose time is over.
pub async fn a_denied_or_expired_device_gets_nothing<S: Store>(store: Arc<S>) {
    let flow = Flow::new("a", "ann", "app");
    assert_eq!(begin(&*store, "denied").await, BeginDevice::Begun);
    assert!(decide(&*store, "denied", DecideDevice::Deny, NOW).await);
    assert!(!decide(&*store, "denied", approval(&flow), NOW).await);
    for _ in 0..2 {
        assert_eq!(poll(&*store, "denied", NOW).await, PollDevice::Denied);
    }
    let redeemed = redeem(&*store, "denied", &flow, NOW).await;
    assert_eq!(redeemed, RedeemDevice::Gone, "it was denied");

    assert_eq!(begin(&*store, "late").await, BeginDevice::Begun);
    let (last, over) = (after(CODE_TTL - 1), after(CODE_TTL));
    assert!(found(&*store, "late", last).await.is_some(), "until then");
    assert_eq!(found(&*store, "late", over).await, None, "not from then on");
    assert_eq!(poll(&*store, "late", over).await, PollDevice::Expired);
    assert!(
        !decide(&*store, "late", approval(&flow), over).await,
        "an approval comes too late"
    );
    let grants = store.grants(subject("ann"), NOW).await;
    assert_eq!(grants.expect("no store error"), [], "and gives nothing");

    approve(&*store, "approved", &flow).await;
    assert_eq!(poll(&*store, "approved", over).await, PollDevice::Expired);
    let redeemed = redeem(&*store, "approved", &flow, over).await;
    assert_eq!(redeemed, RedeemDevice::Gone, "the device comes too late");
    assert!(!flow.is_live(&*store, 0).await, "nothing is stored");
}

/// A grant that was revoked before its device came gives no tokens.
pub async fn a_device_of_a_revoked_grant_gets_nothing<S: Store>(store: Arc<S>) {
    let flow = Flow::new("a", "ann", "app");
    approve(&*store, "a", &flow).await;
    let reached = store.revoke(RevokeTarget::Subject(subject("ann")), NOW);
    let reached = reached.await.expect("no store error");
    assert_eq!(reached.grants, [flow.grant()], "it is found by its user");
    assert!(
        matches!(
            poll(&*store, "a", NOW).await,
            PollDevice::Approved { grant, .. } if grant.revoked_at == Some(NOW)
        ),
        "a poll shows the grant as it is"
    );
    let redeemed = redeem(&*store, "a", &flow, NOW).await;
    assert_eq!(redeemed, RedeemDevice::Revoked);
    assert!(!flow.is_live(&*store, 0).await, "nothing is stored");
}
