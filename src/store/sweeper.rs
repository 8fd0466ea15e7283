//! Removes what has expired, in the background.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle};

use super::{ErasedStore, StoreError};
use crate::clock::{Clock, Timestamp};

/// How many records are removed before others get their turn.
const CHUNK: usize = 256;
/// By how much the clocks of two nodes may differ. What has expired by one is still alive by the
/// other: were it swept, a token that was revoked could be stored anew by a repeat that gave it.
const SLACK: Duration = Duration::from_secs(60);

/// What expired until then has expired by the clock of every node.
fn due(now: Timestamp) -> Timestamp {
    Timestamp::from_secs(now.as_secs().saturating_sub(SLACK.as_secs()))
}

/// A task that sweeps a store at intervals, for as long as this lives.
pub(crate) struct Sweeper {
    store: Arc<dyn ErasedStore>,
    clock: Arc<dyn Clock>,
    every: Duration,
    task: OnceLock<AbortHandle>,
}

impl Sweeper {
    /// Not yet running: it is put together where there may be no runtime.
    pub(crate) fn new(store: Arc<dyn ErasedStore>, clock: Arc<dyn Clock>, every: Duration) -> Self {
        Self {
            store,
            clock,
            every,
            task: OnceLock::new(),
        }
    }

    /// Starts the task, the first time this is called inside a tokio runtime. Cheap to call again.
    pub(crate) fn start(&self) {
        if self.task.get().is_some() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            self.task.get_or_init(|| {
                let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
                let task = runtime.spawn(run(store, clock, self.every));
                task.abort_handle()
            });
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl std::fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweeper")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

async fn run(store: Arc<dyn ErasedStore>, clock: Arc<dyn Clock>, every: Duration) {
    loop {
        // Before the first round too, and after an error: a store in trouble is left in peace.
        tokio::time::sleep(every).await;
        rounds(|| store.sweep(due(clock.now()), CHUNK)).await;
    }
}

/// Sweeps until nothing is left or something goes wrong.
async fn rounds<F: Future<Output = Result<usize, StoreError>>>(mut sweep: impl FnMut() -> F) {
    while let Ok(removed) = sweep().await {
        if removed < CHUNK {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        secret::Digest,
        store::{
            MemoryStore, Store,
            record::{AccessTokenRecord, Record},
        },
    };

    /// How often a sweep is asked for when it answers so.
    async fn asked(answers: Vec<Result<usize, StoreError>>) -> usize {
        let mut answers = answers.into_iter();
        let mut asked = 0;
        rounds(|| {
            asked += 1;
            std::future::ready(answers.next().unwrap())
        })
        .await;
        asked
    }

    #[tokio::test]
    async fn a_round_ends_when_nothing_is_left_and_at_the_first_error() {
        assert_eq!(asked(vec![Ok(0)]).await, 1);
        assert_eq!(asked(vec![Ok(CHUNK), Ok(CHUNK), Ok(3)]).await, 3);
        assert_eq!(
            asked(vec![Ok(CHUNK), Err(StoreError::unavailable("on purpose"))]).await,
            2
        );
    }

    fn expired(number: usize) -> Record {
        expires(number, 2)
    }

    fn expires(number: usize, at: u64) -> Record {
        Record::AccessToken {
            digest: Digest::of(&number.to_string()),
            record: AccessTokenRecord {
                grant: crate::GrantId::random(),
                client_id: crate::ClientId::new("app").unwrap(),
                subject: crate::Subject::new("ann").unwrap(),
                scopes: crate::Scopes::none(),
                resource: crate::ResourceUri::parse("https://a.example").unwrap(),
                issued_at: crate::Timestamp::from_secs(1),
                expires_at: Timestamp::from_secs(at),
                revoked_at: None,
                holder: crate::store::record::GrantHolder::User,
                dpop_jkt: None,
            },
        }
    }

    #[tokio::test]
    async fn it_sweeps_while_it_lives_and_stops_when_dropped() {
        let store = Arc::new(MemoryStore::new());
        let records = (0..3 * CHUNK).map(expired).collect();
        Store::import(&*store, records).await.unwrap();
        let erased: Arc<dyn ErasedStore> = Arc::clone(&store) as _;
        let sweeper = Sweeper::new(erased, Arc::new(SystemClock), Duration::from_millis(1));
        sweeper.start();
        sweeper.start();
        while !Store::export(&*store, None, 1)
            .await
            .unwrap()
            .records
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(Arc::strong_count(&store) > 1, "the task has the store");
        drop(sweeper);
        // An aborted task lets go of what it holds.
        while Arc::strong_count(&store) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_another_clock_may_call_alive_is_kept() {
        let store = Arc::new(MemoryStore::new());
        let slack = SLACK.as_secs();
        let kept = expires(1, 11);
        let records = vec![expires(0, 10), kept.clone()];
        Store::import(&*store, records).await.unwrap();
        let left = async || Store::export(&*store, None, 9).await.unwrap().records;
        let erased: Arc<dyn ErasedStore> = Arc::clone(&store) as _;
        let clock = crate::TestClock::at(Timestamp::from_secs(10 + slack));
        let sweeper = Sweeper::new(erased, Arc::new(clock), Duration::from_millis(1));
        sweeper.start();
        while left().await.len() > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(left().await, [kept]);
    }

    #[test]
    fn without_a_runtime_it_waits_for_one() {
        let store: Arc<dyn ErasedStore> = Arc::new(MemoryStore::new());
        let sweeper = Sweeper::new(store, Arc::new(SystemClock), Duration::from_secs(1));
        sweeper.start();
        assert!(sweeper.task.get().is_none());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async { sweeper.start() });
        assert!(sweeper.task.get().is_some());
    }
}
