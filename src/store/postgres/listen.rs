//! Hears what other machines revoke: LISTEN, on a connection of its own.
//!
//! Each revocation is notified inside its own transaction, so it is heard in the order of commits,
//! and never when it did not come about. Several times a second this process notifies itself by a
//! second connection, and hears that by the first: so everything before has been heard too. By a
//! second one, since a pooler that swallows notifications would still hand on what a session
//! notifies to itself.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{
    AssertSqlSafe, Executor, PgPool, Row,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::failure::NoAnswer;
use crate::{
    secret::{Digest, GrantId},
    store::{Feed, Revocation},
};

/// Where revocations are told.
const CHANNEL: &str = "tower_mcp_auth";
/// A setting of no meaning, by which a session is recognised.
const NAME: &str = "tower_mcp_auth.listener";
/// How long a new connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// After what pause a connection that broke is made anew: at first, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A feed, and the task that keeps it once somebody wants to hear.
pub(super) struct Listening {
    feed: Feed,
    connect: PgConnectOptions,
    runtime: Handle,
    task: OnceLock<AbortHandle>,
}

impl Listening {
    /// Call inside a runtime.
    pub(super) fn new(connect: PgConnectOptions) -> Self {
        Self {
            feed: Feed::default(),
            connect,
            runtime: Handle::current(),
            task: OnceLock::new(),
        }
    }

    /// The feed; the first call begins to listen.
    pub(super) fn feed(&self) -> Feed {
        self.task.get_or_init(|| {
            let (feed, connect) = (self.feed.clone(), self.connect.clone());
            self.runtime.spawn(keep(feed, connect)).abort_handle()
        });
        self.feed.clone()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.feed.fmt(f)
    }
}

/// Listens for ever, over as many connections as it takes.
async fn keep(feed: Feed, connect: PgConnectOptions) {
    // Of this process alone; names of channels end at 63 bytes.
    let echo = format!("{CHANNEL}_{}", GrantId::random());
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        let ended = listen(&feed, &connect, &echo).await;
        feed.lost();
        #[cfg(feature = "tracing")]
        if let Err(error) = &ended {
            tracing::debug!(%error, "the connection that listens is lost");
        }
        drop(ended);
        // One that held for a while was a good one.
        if begun.elapsed() > LONGEST_PAUSE {
            pause = PAUSE;
        }
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// Listens until something breaks.
async fn listen(feed: &Feed, connect: &PgConnectOptions, echo: &str) -> Result<(), sqlx::Error> {
    // One connection to listen, one to notify.
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(CONNECT_WITHIN)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .connect_lazy_with(connect.clone().options([(NAME, echo)]));
    let mut listener = PgListener::connect_with(&pool).await?;
    within(CONNECT_WITHIN, check_direct(&mut listener, echo)).await?;
    // What was missed in between has to be caught up with: that is for the feed to say.
    listener.eager_reconnect(false);
    within(CONNECT_WITHIN, listener.listen_all([CHANNEL, echo])).await?;
    feed.connected();
    let (beat, silence) = (feed.stale_after() / 5, 4 * feed.stale_after());
    let mut last = Instant::now();
    for number in 1_u64.. {
        let sent = Instant::now();
        within(feed.stale_after(), notify(&pool, echo, number)).await?;
        while let Some(left) = beat.checked_sub(sent.elapsed()) {
            // Time for the next one; nothing is lost by breaking off.
            let Ok(heard) = timeout(left, listener.try_recv()).await else {
                break;
            };
            let Some(heard) = heard? else {
                return Ok(());
            };
            if heard.channel() != echo {
                feed.revoked(&names(heard.payload()));
            } else if heard.payload().parse() == Ok(number) {
                feed.confirmed(sent);
                last = sent;
            }
        }
        if last.elapsed() > silence {
            return Err(no_answer());
        }
    }
    Ok(())
}

/// Fails where a pooler is in between: it would leave the LISTEN behind in a session of the server,
/// where it is in the way of others. A pooler keeps a name that it does not know to itself.
async fn check_direct(listener: &mut PgListener, echo: &str) -> sqlx::Result<()> {
    let name = format!("select coalesce(current_setting('{NAME}', true), '')");
    let row = listener
        .fetch_one(sqlx::raw_sql(AssertSqlSafe(name)))
        .await?;
    let name: String = row.try_get(0)?;
    if name == echo {
        return Ok(());
    }
    let pooled = "a pooler is in between: a direct URL is needed beside it";
    Err(sqlx::Error::Protocol(pooled.to_owned()))
}

/// Tells this very process something, by way of the server.
async fn notify(pool: &PgPool, echo: &str, number: u64) -> sqlx::Result<()> {
    let beat = format!("select tower_mcp_auth.beat('{echo}', '{number}')");
    pool.execute(sqlx::raw_sql(AssertSqlSafe(beat))).await?;
    Ok(())
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    let answer = timeout(patience, answer).await;
    answer.unwrap_or_else(|_| Err(no_answer()))
}

fn no_answer() -> sqlx::Error {
    sqlx::Error::Protocol(NoAnswer.to_string())
}

/// The names in a notification: of grants after a `g`, of access tokens after a `t`.
fn names(payload: &str) -> Revocation {
    let mut revoked = Revocation::default();
    let mut words = payload.split(' ');
    let kind = words.next();
    for name in words {
        let bytes = URL_SAFE_NO_PAD.decode(name).unwrap_or_default();
        match kind {
            Some("g") => {
                let id = bytes.try_into().ok().map(GrantId::from_bytes);
                revoked.grants.extend(id);
            }
            Some("t") => {
                let digest = bytes.try_into().ok().map(Digest::from_bytes);
                revoked.access_tokens.extend(digest);
            }
            // Of a newer version: it speaks of nothing that this one knows.
            _ => {}
        }
    }
    revoked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_what_is_not_known_is_left_alone() {
        let (one, other) = (GrantId::random(), GrantId::random());
        let heard = names(&format!("g {one} {other}"));
        assert_eq!(heard.grants, [one, other]);
        let digest = Digest::of("token");
        let heard = names(&format!("t {}", URL_SAFE_NO_PAD.encode(digest.as_bytes())));
        assert_eq!(heard.access_tokens, [digest]);
        for other in ["", "g", "g  %", "t AAAA", &format!("z {one}"), "beat"] {
            assert_eq!(names(other), Revocation::default(), "{other}");
        }
    }
}
