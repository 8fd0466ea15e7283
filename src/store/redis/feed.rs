//! What other machines revoke, by pub/sub.
//!
//! The scripts that revoke publish what they revoked, with a number that counts revocations. This
//! machine listens by a connection of its own. Several times a second it has a script send it a
//! message, which comes with the number of the last revocation: when it arrives and the number is
//! known here, nothing that was revoked before it was sent is missing. A cluster hands messages
//! on from node to node and may lose some; a number that is missing is noticed.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use ::redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, Msg, PushInfo, PushKind, RedisResult,
};
use tokio::{
    runtime::Handle,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{asking::grant_id, call::Call, keys::Keys, link::Link, scripts, upkeep::digest};
use crate::{
    secret::random_handle,
    store::{Feed, Revocation, StoreError},
};

/// How many messages to itself a machine sends before the feed is stale.
const BEATS: u32 = 5;
/// Between two attempts to listen.
const WAIT: Duration = Duration::from_millis(100);

/// Listens, from when somebody asks for the feed until it is dropped.
pub(super) struct Listener {
    feed: Feed,
    nodes: Vec<ConnectionInfo>,
    /// That of whoever connected: the feed may be asked for outside of any.
    runtime: Handle,
    task: OnceLock<Stop>,
}

/// Ends a task with whoever started it.
struct Stop(AbortHandle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listener {
    /// For use inside a runtime only.
    pub(super) fn new(nodes: Vec<ConnectionInfo>) -> Self {
        Self {
            feed: Feed::default(),
            nodes,
            runtime: Handle::current(),
            task: OnceLock::new(),
        }
    }

    pub(super) fn feed(&self, link: &Link, keys: &Keys) -> Feed {
        self.task.get_or_init(|| {
            let ear = Ear {
                feed: self.feed.clone(),
                link: link.clone(),
                keys: keys.clone(),
                beats: keys.beats(&random_handle()),
                sent: Sent::default(),
            };
            let task = self.runtime.spawn(listen(ear, self.nodes.clone()));
            Stop(task.abort_handle())
        });
        self.feed.clone()
    }
}

/// What listening takes.
#[derive(Clone)]
struct Ear {
    feed: Feed,
    link: Link,
    keys: Keys,
    /// The channel of the messages to itself.
    beats: String,
    sent: Sent,
}

/// What a machine sent to itself: the number of the latest message, and when that was. No number
/// comes twice: a message may be late.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<(u64, Option<Instant>)>>);

impl Sent {
    /// The number of a message that is sent now.
    fn next(&self) -> u64 {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = (latest.0 + 1, Some(Instant::now()));
        latest.0
    }

    /// When a message was sent, if none was since.
    fn latest(&self, number: u64) -> Option<Instant> {
        let (latest, moment) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moment.filter(|_| number == latest)
    }
}

/// Listens at one node after the other, for ever.
async fn listen(ear: Ear, nodes: Vec<ConnectionInfo>) {
    for node in nodes.iter().cycle() {
        let (sender, pushes) = unbounded_channel();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ear.link.deadline()))
            .set_response_timeout(Some(ear.link.deadline()))
            .set_push_sender(sender);
        // Held for as long as it is listened to.
        if let Ok(_connection) = ear.subscribe(node, config).await {
            ear.feed.connected();
            let _beating = Stop(tokio::spawn(beat(ear.clone())).abort_handle());
            ear.follow(pushes).await;
            ear.feed.lost();
        }
        sleep(WAIT).await;
    }
}

/// Sends messages to itself. One that fails is missed like one that is lost.
async fn beat(ear: Ear) {
    let pause = ear.feed.stale_after() / BEATS;
    loop {
        let number = ear.sent.next();
        let call = Call::new(&scripts::BEAT, &ear.keys, None)
            .arg(number.to_string())
            .key(ear.beats.clone());
        let _: Result<(), StoreError> = ear.link.call(&call).await;
        sleep(pause).await;
    }
}

impl Ear {
    async fn subscribe(
        &self,
        node: &ConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> RedisResult<impl Sized> {
        let client = Client::open(node.clone())?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        connection
            .subscribe([self.keys.revoked(), self.beats.clone()].as_slice())
            .await?;
        Ok(connection)
    }

    /// Passes on what comes, until something is missing.
    async fn follow(&self, mut pushes: UnboundedReceiver<PushInfo>) {
        let mut last = None;
        while let Ok(Some(push)) = timeout(self.feed.stale_after(), pushes.recv()).await {
            match push.kind {
                PushKind::Disconnection => return,
                PushKind::Message => {
                    let message = Msg::from_push_info(push);
                    let text = message.and_then(|message| message.get_payload::<String>().ok());
                    let heard = text.as_deref().and_then(|text| self.hear(text, last));
                    let Some(number) = heard else { return };
                    last = Some(number);
                }
                _ => {}
            }
        }
    }

    /// Takes a message in, and returns the number of the last revocation; `None` when one is
    /// missing.
    fn hear(&self, text: &str, last: Option<u64>) -> Option<u64> {
        let mut words = text.split(' ');
        let number: u64 = words.next()?.parse().ok()?;
        let what = words.next()?;
        if what == "beat" {
            let beat: u64 = words.next()?.parse().ok()?;
            if last.is_some_and(|last| last != number) {
                return None;
            }
            if let Some(moment) = self.sent.latest(beat) {
                self.feed.confirmed(moment);
            }
            return Some(number);
        }
        let mut revocation = Revocation::default();
        for word in words {
            match what {
                "grants" => revocation.grants.push(grant_id(word).ok()?),
                "tokens" => revocation.access_tokens.push(digest(word).ok()?),
                _ => return None,
            }
        }
        self.feed.revoked(&revocation);
        let is_next = last.is_none_or(|last| last.checked_add(1) == Some(number));
        is_next.then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_late_says_nothing_of_a_later_one() {
        let sent = Sent::default();
        assert_eq!(sent.latest(0), None, "none was sent");
        let before = Instant::now();
        let (first, second) = (sent.next(), sent.next());
        assert_eq!(sent.latest(first), None);
        assert!(sent.latest(second).is_some_and(|moment| moment >= before));
        assert_eq!(sent.latest(second + 1), None);
    }
}
