//! What is good once, and tokens that need no code.

use std::sync::Arc;

use super::fixtures::*;
use crate::store::contract::prelude::*;

async fn use_once<S: Store>(store: &S, name: &str, expires: u64, now: Timestamp) -> UseOnce {
    let used = store.use_once(Digest::of(name), after(expires), 2, now);
    used.await.expect("no store error")
}

async fn issue<S: Store>(store: &S, issue: IssueTokens, max: u64) -> IssueTokensOutcome {
    let issued = store.issue_tokens(issue, max, NOW).await;
    issued.expect("no store error")
}

/// Of all who use something one is the first.
pub async fn of_parallel_uses_one_is_the_first<S: Store>(store: Arc<S>) {
    let uses = {
        let store = store.clone();
        all(20, move |_| {
            let store = store.clone();
            async move { store.use_once(Digest::of("jti"), after(60), 9, NOW).await }
        })
        .await
    };
    let first = uses.iter().filter(|o| **o == UseOnce::First).count();
    let again = uses.iter().filter(|o| **o == UseOnce::Again).count();
    assert_eq!((first, again), (1, 19), "one is the first");
    assert_eq!(
        use_once(&*store, "other", 60, NOW).await,
        UseOnce::First,
        "two things are not mixed up"
    );
}

/// What was used stays used until it expires, and only as many as allowed are remembered.
pub async fn uses_are_capped_and_expire<S: Store>(store: Arc<S>) {
    let last = after(59);
    assert_eq!(use_once(&*store, "a", 60, NOW).await, UseOnce::First);
    assert_eq!(use_once(&*store, "b", 90, NOW).await, UseOnce::First);
    assert_eq!(use_once(&*store, "a", 99, last).await, UseOnce::Again);
    assert_eq!(
        use_once(&*store, "c", 99, last).await,
        UseOnce::Full,
        "the cap holds"
    );
    assert_eq!(
        use_once(&*store, "a", 120, after(60)).await,
        UseOnce::First,
        "what expired takes its own place, also where no more are allowed"
    );
    assert_eq!(
        use_once(&*store, "a", 180, after(119)).await,
        UseOnce::Again,
        "and has a new expiry"
    );
    assert_eq!(
        use_once(&*store, "c", 180, after(90)).await,
        UseOnce::Full,
        "an unswept one counts"
    );
    let swept = store.sweep(after(90), 100).await;
    assert_eq!(swept.expect("no store error"), 1, "the expired one");
    assert_eq!(
        use_once(&*store, "c", 180, after(90)).await,
        UseOnce::First,
        "a swept one makes room"
    );
    let racing = {
        let store = store.clone();
        all(20, move |number| {
            let (store, digest) = (store.clone(), Digest::of(&format!("racing {number}")));
            async move { store.use_once(digest, after(180), 5, NOW).await }
        })
        .await
    };
    let first = racing.iter().filter(|o| **o == UseOnce::First).count();
    let full = racing.iter().filter(|o| **o == UseOnce::Full).count();
    assert_eq!((first, full), (3, 17), "the cap holds in a race");
}

/// Tokens without a code are stored with their grant, which lives as long as they.
pub async fn tokens_can_be_issued_without_a_code<S: Store>(store: Arc<S>) {
    let created = store.create_client(client("app"), 10, NOW).await;
    created.expect("no store error");
    let flow = Flow::new("x", "ann", "app");
    let mut tokens = flow.tokens();
    tokens.grant.expires_at = after(1);
    tokens.renew_client = Some(after(5000));
    let issued = issue(&*store, tokens.clone(), 0).await;
    assert_eq!(
        issued,
        IssueTokensOutcome::Issued,
        "where nothing is used up nothing is full"
    );
    assert!(flow.is_live(&*store, 0).await, "the access token is stored");
    let grants = store.grants(subject("ann"), after(REFRESH_TTL - 1)).await;
    let mut expected = tokens.grant;
    expected.expires_at = after(REFRESH_TTL);
    assert_eq!(
        grants.expect("no store error"),
        [expected],
        "the grant is stored as it is, and lives as long as its tokens"
    );
    let outcome = store.rotate_refresh(flow.rotate(0, NOW), NOW).await;
    assert_eq!(
        outcome.expect("no store error"),
        RotateRefreshOutcome::Rotated,
        "the refresh token is stored"
    );
    let known = store.client(client_id("app"), after(4999)).await;
    assert!(known.expect("no store error").is_some(), "use keeps it");
}

/// An assertion gives tokens once, and an attempt that fails stores nothing.
pub async fn an_assertion_gives_tokens_once<S: Store>(store: Arc<S>) {
    let jti = Digest::of("jti");
    let flows: Vec<_> = (0..20)
        .map(|number| Flow::new(&number.to_string(), "ann", "app"))
        .collect();
    let issued = {
        let (store, flows) = (store.clone(), flows.clone());
        all(20, move |number| {
            let (store, mut tokens) = (store.clone(), flows[number].tokens());
            tokens.used = Some((jti, after(60)));
            async move { store.issue_tokens(tokens, 1, NOW).await }
        })
        .await
    };
    let mut won = Vec::new();
    for (flow, outcome) in flows.iter().zip(issued) {
        let is_winner = outcome == IssueTokensOutcome::Issued;
        assert!(
            is_winner || outcome == IssueTokensOutcome::Used,
            "{outcome:?}"
        );
        assert_eq!(
            flow.is_live(&*store, 0).await,
            is_winner,
            "the winner's token is stored"
        );
        won.extend(is_winner.then(|| flow.grant()));
    }
    assert_eq!(won.len(), 1, "of parallel uses one gives tokens");
    assert_eq!(
        use_once(&*store, "jti", 60, after(59)).await,
        UseOnce::Again,
        "it is used up whatever for"
    );

    let mut more = Flow::new("more", "ann", "app").tokens();
    more.used = Some((Digest::of("another"), after(60)));
    let outcome = issue(&*store, more.clone(), 1).await;
    assert_eq!(outcome, IssueTokensOutcome::Full, "the cap holds");
    let grants = store.grants(subject("ann"), NOW).await;
    let grants = grants.expect("no store error");
    let ids: Vec<_> = grants.iter().map(|grant| grant.id).collect();
    assert_eq!(ids, won, "nothing but the winner's grant is stored");
    let token = store.access_token(more.access.0).await;
    assert!(token.expect("no store error").is_none(), "nor any token");
    let outcome = issue(&*store, more, 2).await;
    assert_eq!(outcome, IssueTokensOutcome::Issued, "it was not used up");
}

/// A client that speaks for itself is not the user of the same name.
pub async fn a_client_is_no_user<S: Store>(store: Arc<S>) {
    let own = Flow::new("own", "app", "app");
    let mut tokens = own.tokens();
    tokens.grant.holder = GrantHolder::Client;
    tokens.grant.session = Some("session".to_owned());
    tokens.access.1.holder = GrantHolder::Client;
    let issued = issue(&*store, tokens, 0).await;
    assert_eq!(issued, IssueTokensOutcome::Issued);
    let user = Flow::new("user", "app", "app").redeemed(&store).await;

    let token = store.access_token(own.access(0)).await;
    let token = token.expect("no store error").expect("a token");
    assert_eq!(token.record.holder, GrantHolder::Client, "it is kept");
    let grants = store.grants(subject("app"), NOW).await;
    let grants = grants.expect("no store error");
    let ids: Vec<_> = grants.iter().map(|grant| grant.id).collect();
    assert_eq!(ids, [user.grant()], "the user's own");
    for target in [
        RevokeTarget::Subject(subject("app")),
        RevokeTarget::Consent(subject("app"), client_id("app")),
        RevokeTarget::Session(subject("app"), "session".to_owned()),
    ] {
        let reached = store.revoke(target.clone(), NOW).await;
        reached.expect("no store error");
        let live = own.is_live(&*store, 0).await;
        assert!(live, "{target:?} is about the user");
    }
    let reached = store.revoke(RevokeTarget::Client(client_id("app")), NOW);
    let mut reached = reached.await.expect("no store error").grants;
    reached.sort();
    let mut both = vec![own.grant(), user.grant()];
    both.sort();
    assert_eq!(reached, both, "what reaches the client reaches both");
    assert!(!own.is_live(&*store, 0).await);
}
