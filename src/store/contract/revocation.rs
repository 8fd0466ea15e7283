//! Revocations and how far they reach.

use std::sync::Arc;

use super::fixtures::*;
use crate::store::contract::prelude::*;

async fn revoke<S: Store>(store: &Arc<S>, target: RevokeTarget) -> Revocation {
    let reached = store.revoke(target, NOW).await;
    let mut reached = reached.expect("no store error");
    reached.grants.sort();
    reached
}

fn sorted(mut grants: Vec<GrantId>) -> Vec<GrantId> {
    grants.sort();
    grants
}

/// One access token dies; its grant and the others live.
pub async fn one_access_token_dies_alone<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    let rotated = store.rotate_refresh(flow.rotate(0, NOW), NOW).await;
    rotated.expect("no store error");
    let reached = revoke(&store, RevokeTarget::AccessToken(flow.access(0))).await;
    assert_eq!(
        reached,
        Revocation {
            grants: vec![],
            access_tokens: vec![flow.access(0)]
        }
    );
    let token = store.access_token(flow.access(0)).await;
    let token = token.expect("no store error").expect("it is remembered");
    assert!(token.revoked, "the token is dead");
    assert_eq!(token.record.revoked_at, Some(NOW), "and says since when");
    assert!(flow.is_live(&store, 1).await, "the other one lives");
    let outcome = store.rotate_refresh(flow.rotate(1, NOW), NOW).await;
    assert_eq!(
        outcome.expect("no store error"),
        RotateRefreshOutcome::Rotated,
        "the grant lives"
    );
}

/// A grant dies with every token, whether it is named itself or by a refresh token.
pub async fn a_grant_dies_with_all_its_tokens<S: Store>(store: Arc<S>) {
    for (label, by_token) in [("by token", true), ("by name", false)] {
        let flow = Flow::new(label, "ann", "app").redeemed(&store).await;
        let rotated = store.rotate_refresh(flow.rotate(0, NOW), NOW).await;
        rotated.expect("no store error");
        let target = if by_token {
            // An old generation names the grant as well as the newest.
            RevokeTarget::RefreshToken(flow.refresh(0))
        } else {
            RevokeTarget::Grant(flow.grant())
        };
        let reached = revoke(&store, target).await;
        assert_eq!(reached.grants, [flow.grant()], "{label}");
        assert!(!flow.is_live(&store, 0).await, "its tokens are dead");
        assert!(!flow.is_live(&store, 1).await, "its tokens are dead");
        assert_eq!(flow.grant_record(&store).await.revoked_at, Some(NOW));
        let outcome = store.rotate_refresh(flow.rotate(1, NOW), NOW).await;
        assert_eq!(
            outcome.expect("no store error"),
            RotateRefreshOutcome::Revoked
        );
    }
    let consents = store.consents(subject("ann")).await;
    assert_eq!(
        consents.expect("no store error").len(),
        1,
        "a revoked grant does not withdraw the consent"
    );
}

/// What is not there is not reached, and that is no error.
pub async fn unknown_targets_reach_nothing<S: Store>(store: Arc<S>) {
    let flow = Flow::new("x", "ann", "app").redeemed(&store).await;
    for target in [
        RevokeTarget::AccessToken(Digest::of("unknown")),
        RevokeTarget::RefreshToken(flow.access(0)),
        RevokeTarget::Grant(GrantId::random()),
        RevokeTarget::Consent(subject("ann"), client_id("unknown")),
        RevokeTarget::Subject(subject("unknown")),
        RevokeTarget::Client(client_id("unknown")),
    ] {
        let reached = revoke(&store, target.clone()).await;
        assert_eq!(reached, Revocation::default(), "{target:?}");
    }
    assert!(flow.is_live(&store, 0).await, "nothing was revoked");
}

/// Names that begin alike are different names, wherever one ends and the next begins.
pub async fn users_and_clients_are_told_apart<S: Store>(store: Arc<S>) {
    let long = format!("https://client.example/{}", "x".repeat(1000));
    let pairs = [
        ("ann", "app"),
        ("ann", "app2"),
        ("anna", "app"),
        ("an", "napp"),
        ("a", "nnapp"),
        ("ann", &*long),
        ("bob", &*long),
    ];
    let live = |flows: Vec<Flow>| {
        let store = store.clone();
        async move {
            let mut live = Vec::new();
            for (flow, pair) in flows.iter().zip(pairs) {
                if flow.is_live(&store, 0).await {
                    live.push(pair);
                }
            }
            live
        }
    };
    let mut flows = Vec::new();
    for (user, app) in pairs {
        let label = format!("{user} {app}");
        flows.push(Flow::new(&label, user, app).redeemed(&store).await);
    }

    let target = RevokeTarget::Consent(subject("ann"), client_id("app"));
    let reached = revoke(&store, target).await;
    assert_eq!(
        reached.grants,
        [flows[0].grant()],
        "one user and one client"
    );
    assert_eq!(live(flows.clone()).await, pairs[1..], "and nobody else");
    let found = store.consent(subject("ann"), client_id("app"), resource(), destination());
    assert!(
        found.await.expect("no store error").is_none(),
        "the consent is withdrawn"
    );
    let found = store.consent(subject("anna"), client_id("app"), resource(), destination());
    assert!(
        found.await.expect("no store error").is_some(),
        "no other is"
    );

    let reached = revoke(&store, RevokeTarget::Subject(subject("ann"))).await;
    let anns = vec![flows[0].grant(), flows[1].grant(), flows[5].grant()];
    assert_eq!(reached.grants, sorted(anns), "all grants of one user");
    let expected = [pairs[2], pairs[3], pairs[4], pairs[6]];
    assert_eq!(live(flows.clone()).await, expected, "and nobody else's");
    let consents = store.consents(subject("ann")).await;
    assert!(consents.expect("no store error").is_empty());
    for other in ["anna", "an", "a", "bob"] {
        let consents = store.consents(subject(other)).await;
        assert_eq!(consents.expect("no store error").len(), 1, "{other}");
    }

    let reached = revoke(&store, RevokeTarget::Client(client_id(&long))).await;
    let theirs = vec![flows[5].grant(), flows[6].grant()];
    assert_eq!(reached.grants, sorted(theirs), "all grants to one client");
    let expected = [pairs[2], pairs[3], pairs[4]];
    assert_eq!(live(flows.clone()).await, expected, "and to no other");
    let consents = store.consents(subject("bob")).await;
    assert!(consents.expect("no store error").is_empty());
}

/// A user with hundreds of grants loses them all, and a grant made meanwhile is either way whole.
pub async fn many_grants_are_revoked<S: Store>(store: Arc<S>) {
    let mut flows = Vec::new();
    for number in 0..600 {
        let (label, app) = (format!("grant{number}"), format!("app{number}"));
        flows.push(Flow::new(&label, "ann", &app));
    }
    let bob = Flow::new("bob", "bob", "app1").redeemed(&store).await;
    let issued = {
        let (store, flows) = (store.clone(), flows.clone());
        all(flows.len(), move |number| {
            let (store, flow) = (store.clone(), flows[number].clone());
            async move {
                store.issue_code(flow.issue.clone(), NOW).await?;
                store.redeem_code(flow.redeem(), NOW).await
            }
        })
        .await
    };
    assert!(issued.iter().all(|o| *o == RedeemCodeOutcome::Redeemed));
    let reached = revoke(&store, RevokeTarget::Subject(subject("ann"))).await;
    let expected = sorted(flows.iter().map(Flow::grant).collect());
    assert_eq!(reached.grants, expected, "every grant is reached, once");
    for flow in &flows {
        assert!(!flow.is_live(&store, 0).await, "every token is dead");
    }
    let consents = store.consents(subject("ann")).await;
    assert!(consents.expect("no store error").is_empty());
    assert!(bob.is_live(&store, 0).await, "nobody else is touched");
}

/// Signing out ends what was given in that session, and leaves the consents alone.
pub async fn a_session_ends_alone<S: Store>(store: Arc<S>) {
    let given = |label: &str, user: &str, app: &str, session: Option<&str>| {
        let mut flow = Flow::new(label, user, app);
        flow.issue.grant.session = session.map(str::to_owned);
        let store = store.clone();
        async move { flow.redeemed(&*store).await }
    };
    let one = given("1", "ann", "app", Some("s1")).await;
    let two = given("2", "ann", "other", Some("s1")).await;
    let others = [
        given("3", "ann", "app", Some("s2")).await,
        given("4", "ann", "app", None).await,
        given("5", "bob", "app", Some("s1")).await,
        given("6", "anna", "app", Some("s1")).await,
    ];
    let target = RevokeTarget::Session(subject("ann"), "s1".to_owned());
    for _ in 0..2 {
        let reached = revoke(&store, target.clone()).await;
        let both = sorted(vec![one.grant(), two.grant()]);
        assert_eq!(sorted(reached.grants), both, "named each time");
    }
    assert!(!one.is_live(&store, 0).await, "its tokens are dead");
    assert!(!two.is_live(&store, 0).await, "at every client");
    for other in &others {
        assert!(other.is_live(&store, 0).await, "others are left alone");
    }
    let consents = store.consents(subject("ann")).await;
    assert_eq!(consents.expect("no store error").len(), 2, "consents stay");
    let nobodys = RevokeTarget::Session(subject("ann"), String::new());
    let reached = revoke(&store, nobodys).await;
    assert_eq!(reached, Revocation::default(), "no session is not any");
}

/// Whoever issues by a remembered consent looks afterwards whether it is there still. So a
/// revocation of many steps, however they fall, leaves nothing alive.
pub async fn nothing_issued_meanwhile_is_passed_over<S: Store>(store: Arc<S>) {
    let consent = consent("ann", "app", "notes:read notes:write");
    let consented = (0..2500).map(|number| Flow::new(&format!("old {number}"), "ann", "app"));
    let mut old: Vec<_> = consented
        .map(|flow| Record::Grant(flow.issue.grant))
        .collect();
    old.push(Record::Consent(consent));
    store.import(old).await.expect("no store error");

    let issuing = all(8, {
        let store = Arc::clone(&store);
        move |worker| {
            let store = Arc::clone(&store);
            async move {
                for number in 0.. {
                    let flow = Flow::new(&format!("new {worker} {number}"), "ann", "app");
                    let issue = IssueCode {
                        consent: None,
                        ..flow.issue.clone()
                    };
                    store.issue_code(issue, NOW).await?;
                    let (subject, client) = (subject("ann"), client_id("app"));
                    if store
                        .consent(subject, client, resource(), destination())
                        .await?
                        .is_none()
                    {
                        store.revoke(RevokeTarget::Grant(flow.grant()), NOW).await?;
                        break;
                    }
                }
                Ok(())
            }
        }
    });
    let revoking = tokio::spawn({
        let store = Arc::clone(&store);
        let target = RevokeTarget::Consent(subject("ann"), client_id("app"));
        async move { store.revoke(target, NOW).await }
    });
    assert_eq!(issuing.await.len(), 8);
    let revoked = revoking.await.expect("the call does not panic");
    let revoked = revoked.expect("no store error").grants;
    assert!(revoked.len() >= 2500, "{}", revoked.len());
    let left = store.grants(subject("ann"), NOW).await;
    assert_eq!(left.expect("no store error"), [], "nothing is left alive");
}

/// The grants of a user are those that live, and of nobody else.
pub async fn live_grants_are_listed<S: Store>(store: Arc<S>) {
    let one = Flow::new("1", "ann", "app").redeemed(&store).await;
    let two = Flow::new("2", "ann", "apple").redeemed(&store).await;
    let dead = Flow::new("3", "ann", "app").redeemed(&store).await;
    Flow::new("4", "anna", "app").redeemed(&store).await;
    let fresh = Flow::new("5", "ann", "app").issued(&store).await;
    revoke(&store, RevokeTarget::Grant(dead.grant())).await;

    let ids = |grants: Result<Vec<GrantRecord>, StoreError>| {
        let grants = grants.expect("no store error");
        sorted(grants.iter().map(|grant| grant.id).collect())
    };
    let ann = subject("ann");
    assert_eq!(
        ids(store.grants(ann.clone(), NOW).await),
        sorted(vec![one.grant(), two.grant(), fresh.grant()]),
        "of one user"
    );
    let later = after(REFRESH_TTL - 1);
    assert_eq!(
        ids(store.grants(ann.clone(), later).await),
        sorted(vec![one.grant(), two.grant()]),
        "an expired one is none, swept or not"
    );
    // More than any engine reads in one step.
    let many: Vec<_> = (0..1100)
        .map(|number| Flow::new(&format!("many {number}"), "zoe", "app"))
        .map(|flow| flow.issue.grant)
        .collect();
    let all = many.iter().cloned().map(Record::Grant).collect();
    store.import(all).await.expect("no store error");
    assert_eq!(
        ids(store.grants(subject("zoe"), NOW).await),
        sorted(many.iter().map(|grant| grant.id).collect()),
        "each once, however many"
    );
    let over = store.grants(ann, after(REFRESH_TTL)).await;
    assert_eq!(over.expect("no store error"), [], "from their expiry on");
    let nobody = store.grants(subject("an"), NOW).await;
    assert_eq!(nobody.expect("no store error"), [], "of nobody else");
}

/// A revocation names also what was dead before, since a cache may not know yet.
pub async fn a_revocation_says_all_that_is_dead<S: Store>(store: Arc<S>) {
    let one = Flow::new("one", "ann", "app").redeemed(&store).await;
    let two = Flow::new("two", "ann", "app").redeemed(&store).await;
    revoke(&store, RevokeTarget::Grant(one.grant())).await;
    let later = store.revoke(RevokeTarget::Subject(subject("ann")), after(9));
    let later = later.await.expect("no store error");
    let expected = sorted(vec![one.grant(), two.grant()]);
    assert_eq!(sorted(later.grants), expected, "both are named");
    assert_eq!(
        one.grant_record(&store).await.revoked_at,
        Some(NOW),
        "the first revocation dates it"
    );
    for _ in 0..2 {
        let reached = revoke(&store, RevokeTarget::AccessToken(two.access(0))).await;
        assert_eq!(reached.access_tokens, [two.access(0)], "named each time");
    }
}

/// Of many grants and tokens, those are named that were revoked or are not there.
pub async fn what_is_dead_is_told_apart_from_what_lives<S: Store>(store: Arc<S>) {
    let among = async |grants: Vec<GrantId>, tokens: Vec<Digest>| {
        let revoked = store.revoked_among(grants, tokens).await;
        revoked.expect("no store error")
    };
    let kept = Flow::new("kept", "ann", "app").redeemed(&store).await;
    let ended = Flow::new("ended", "ann", "app").redeemed(&store).await;
    let pruned = Flow::new("pruned", "ann", "app").redeemed(&store).await;
    revoke(&store, RevokeTarget::Grant(ended.grant())).await;
    revoke(&store, RevokeTarget::AccessToken(pruned.access(0))).await;
    let nobody = GrantId::random();
    let grants = vec![kept.grant(), ended.grant(), pruned.grant(), nobody];
    let tokens = vec![
        kept.access(0),
        ended.access(0),
        pruned.access(0),
        Digest::of("unknown"),
    ];
    let revoked = among(grants, tokens).await;
    assert_eq!(sorted(revoked.grants), sorted(vec![ended.grant(), nobody]));
    let mut tokens = revoked.access_tokens;
    let mut expected = vec![ended.access(0), pruned.access(0), Digest::of("unknown")];
    tokens.sort_by_key(|digest| *digest.as_bytes());
    expected.sort_by_key(|digest| *digest.as_bytes());
    assert_eq!(tokens, expected);
    assert_eq!(among(vec![], vec![]).await, Revocation::default());
}
