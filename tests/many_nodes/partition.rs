//! A machine that does not hear the others, while they go on: between it and the database the
//! network breaks in one way or another, and no revoked token is served longer than the bound.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::{
    BOUND, Method, PUBLIC, Server, StatusCode,
    caller::{Broken, Caller},
    common::Tokens,
    flags,
    nodes::{
        engine::{Engine, Kind},
        wire::{Fault, Reach, Wire},
    },
    redeem,
};

/// How long it is watched beyond the bound.
const LONGER: Duration = Duration::from_millis(500);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// A machine finds its database again within that time, or fails its test.
const PATIENCE: Duration = Duration::from_secs(60);

/// One machine with a direct connection to the database, and one behind a wire.
struct Two {
    first: Caller,
    second: Arc<Caller>,
    client: String,
    wire: Wire,
}

pub(super) async fn no_machine_serves_what_it_did_not_hear_was_revoked(kind: Kind) {
    let Some(engine) = Engine::start(kind).await else {
        return;
    };
    let wire = Wire::to(engine.port()).await;
    let flags = flags(PUBLIC);
    let first = Server::start_with(&engine.url(), &flags).await;
    let second = Server::start_with(&engine.url_by(wire.port), &flags).await;
    let caller = Caller::new(&first.origin, "alice");
    let two = Two {
        client: caller.public_client("A client").await,
        first: caller,
        second: Arc::new(Caller::new(&second.origin, "alice")),
        wire,
    };
    two.all(kind).await;
}

impl Two {
    async fn all(mut self, kind: Kind) {
        for reach in [Reach::Feed, Reach::Everything] {
            for fault in [Fault::Cut, Fault::Silent] {
                let served = self.revoke_behind(fault, reach).await;
                eprintln!(
                    "{kind:?}, {fault:?} {reach:?}: last served {served:?} after it was revoked"
                );
            }
        }
    }

    /// How long after it was revoked a token was asked for that was served.
    async fn revoke_behind(&mut self, fault: Fault, reach: Reach) -> Option<Duration> {
        let [kept, ended] = [self.tokens().await, self.tokens().await];
        self.until_cached(&kept).await;
        self.until_cached(&ended).await;

        self.wire.breaks(fault, reach);
        let form = [("client_id", &*self.client), ("token", &*ended.refresh)];
        let revoked = self.first.call("/oauth/revoke", &form).await.unwrap();
        assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
        let revoked = Instant::now();
        let [kept_asked, ended_asked] = [self.watch(&kept, revoked), self.watch(&ended, revoked)];
        sleep_until((revoked + BOUND + LONGER).into()).await;
        self.wire.heals();

        let mut last_served = None;
        for (after, status) in ended_asked.join_all().await {
            if is_served(status) {
                assert!(after < BOUND, "{fault:?} {reach:?}: asked {after:?} later");
                last_served = last_served.max(Some(after));
            }
            // While the database can be asked nobody has to wait.
            let may_wait = reach == Reach::Everything;
            assert!(
                may_wait || status != StatusCode::SERVICE_UNAVAILABLE,
                "{after:?}"
            );
        }
        for (after, status) in kept_asked.join_all().await {
            let waits = reach == Reach::Everything && status == StatusCode::SERVICE_UNAVAILABLE;
            assert!(
                waits || is_served(status),
                "{status} for what is alive, {after:?}"
            );
        }
        self.until_cached(&kept).await;
        assert_eq!(status(&self.second, &ended).await, StatusCode::UNAUTHORIZED);
        last_served
    }

    async fn tokens(&mut self) -> Tokens {
        let code = self.first.approve(&self.client).await.unwrap();
        Tokens::from(&redeem(&self.first, &self.client, &code).await)
    }

    /// Until the second machine serves a token without asking: it trusts its feed.
    async fn until_cached(&self, tokens: &Tokens) {
        let begun = Instant::now();
        loop {
            let before = self.wire.operations();
            let served = is_served(status(&self.second, tokens).await);
            if served && self.wire.operations() == before {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "asks, or refuses: {served}");
            sleep(PAUSE).await;
        }
    }

    /// Asks the second machine again and again, whether or not it has answered; when, counted from
    /// the revocation, and what it answered.
    fn watch(&self, tokens: &Tokens, revoked: Instant) -> JoinSet<(Duration, StatusCode)> {
        let mut all = JoinSet::new();
        let mut delay = Duration::ZERO;
        while delay < BOUND + LONGER {
            let (second, tokens) = (Arc::clone(&self.second), tokens.clone());
            all.spawn(async move {
                sleep_until((revoked + delay).into()).await;
                let after = revoked.elapsed();
                (after, status(&second, &tokens).await)
            });
            delay += PAUSE;
        }
        all
    }
}

async fn status(caller: &Caller, tokens: &Tokens) -> StatusCode {
    match caller.bearing(Method::GET, "/mcp", &tokens.access).await {
        Ok(answer) => answer.status,
        Err(Broken::Unavailable(answer)) => answer.status,
        Err(broken) => panic!("{broken:?}"),
    }
}

/// What is behind the layer answers as it likes.
fn is_served(status: StatusCode) -> bool {
    status != StatusCode::UNAUTHORIZED && !status.is_server_error()
}
