//! Group commit: one thread makes changes, and makes them durable, for all who wait.
//!
//! A sync answers for every change committed before it began. While one runs, the next changes
//! gather; so nobody waits for longer than two syncs, nothing is delayed when there is nothing to
//! gather, and a thousand waiters cost as much as one.

use std::{
    any::Any,
    error::Error,
    io,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{
    sync::SyncError,
    together::{self, Change},
    tx::{SledTx, TxError},
};
use crate::store::StoreError;

/// How far the store has come, and whether it may go on.
#[derive(Default)]
pub(super) struct Standing {
    /// The number of the last change that was committed.
    committed: AtomicU64,
    /// The number of the last one that is durable.
    durable: AtomicU64,
    /// Set when a sync failed, to why: from then on nobody knows what the disk holds.
    poisoned: OnceLock<Arc<dyn Error + Send + Sync>>,
}

impl Standing {
    /// After the change of that number, which is durable.
    pub(super) fn after(number: u64) -> Self {
        Self {
            committed: number.into(),
            durable: number.into(),
            ..Self::default()
        }
    }

    /// The number of the next change. Whoever asks has their turn, and nobody else asks meanwhile.
    pub(super) fn next(&self) -> u64 {
        self.committed.load(Ordering::SeqCst) + 1
    }

    /// Takes note that sled has committed the changes up to that number.
    pub(super) fn committed(&self, number: u64) {
        self.committed.store(number, Ordering::SeqCst);
    }

    /// Fails when the store must be opened anew.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.poisoned.get() {
            Some(cause) => Err(StoreError::Poisoned(Arc::clone(cause))),
            None => Ok(()),
        }
    }

    /// Refuses everything from now on, and says why.
    pub(super) fn poison(&self, cause: impl Error + Send + Sync + 'static) -> StoreError {
        let cause = self.poisoned.get_or_init(|| Arc::new(cause));
        StoreError::Poisoned(Arc::clone(cause))
    }
}

/// The waiting room, and the thread that serves it.
pub(super) struct Commits {
    standing: Arc<Standing>,
    room: Arc<Room>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Room {
    gathered: Mutex<Gathered>,
    arrival: Condvar,
}

#[derive(Default)]
struct Gathered {
    /// Changes that are still to be made.
    changes: Vec<Box<dyn Change>>,
    /// Who waits for what was committed without this thread.
    waiting: Vec<oneshot::Sender<io::Result<()>>>,
    closing: bool,
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        // Nothing panics while it holds this lock.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commits {
    /// Starts the thread: `make` commits changes, `sync` makes everything durable.
    pub(super) fn start(
        standing: Arc<Standing>,
        make: impl FnMut(&mut [Box<dyn Change>]) + Send + 'static,
        sync: impl FnMut(u64) -> Result<(), SyncError> + Send + 'static,
    ) -> io::Result<Self> {
        let room = Arc::new(Room::default());
        let thread = thread::Builder::new()
            .name("tower-mcp-auth-sync".to_owned())
            .spawn({
                let (standing, room) = (Arc::clone(&standing), Arc::clone(&room));
                move || serve(&standing, &room, make, sync)
            })?;
        Ok(Self {
            standing,
            room,
            thread: Some(thread),
        })
    }

    /// Makes a change together with those of others, and returns when it is durable.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        step: impl Fn(&mut SledTx<'_>) -> Result<T, TxError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.standing.check()?;
        let (change, made) = together::change(step);
        self.room.lock().changes.push(change);
        self.room.arrival.notify_one();
        made.await.unwrap_or_else(|unanswered| {
            self.standing.check()?;
            Err(StoreError::unavailable(unanswered))
        })
    }

    /// Returns when everything committed until now is durable.
    pub(super) async fn durable(&self) -> Result<(), StoreError> {
        let standing = &self.standing;
        let mine = standing.committed.load(Ordering::SeqCst);
        if standing.durable.load(Ordering::SeqCst) >= mine {
            return standing.check();
        }
        let (served, notice) = oneshot::channel();
        self.room.lock().waiting.push(served);
        self.room.arrival.notify_one();
        let served = notice.await;
        standing.check()?;
        // Dropped unserved only when a sync failed for good.
        served
            .map_err(StoreError::unavailable)?
            .map_err(StoreError::unavailable)
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.room.lock().closing = true;
        self.room.arrival.notify_one();
        if let Some(thread) = self.thread.take() {
            // The thread catches its panics.
            let _ = thread.join();
        }
    }
}

/// Commits and syncs for whoever waits, and syncs a last time at the end.
fn serve(
    standing: &Standing,
    room: &Room,
    mut make: impl FnMut(&mut [Box<dyn Change>]),
    mut sync: impl FnMut(u64) -> Result<(), SyncError>,
) {
    loop {
        let Gathered {
            mut changes,
            waiting,
            closing,
        } = {
            let mut gathered = room.lock();
            while gathered.changes.is_empty() && gathered.waiting.is_empty() && !gathered.closing {
                let woken = room.arrival.wait(gathered);
                gathered = woken.unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::take(&mut *gathered)
        };
        make(&mut changes);
        // Whoever waits committed before coming here, so before this is read and the sync begins.
        let covered = standing.committed.load(Ordering::SeqCst);
        let synced = match standing.poisoned.get() {
            Some(_) => None,
            // Changes that changed nothing rest on what is durable already.
            None if !closing && standing.durable.load(Ordering::SeqCst) >= covered => Some(Ok(())),
            None => Some(unpanicked(|| sync(covered))),
        };
        match synced {
            // Unanswered, everybody looks why.
            None => {}
            Some(Ok(())) => {
                standing.durable.store(covered, Ordering::SeqCst);
                answer(changes, waiting, || Ok(()));
            }
            Some(Err(SyncError::Later(error))) => {
                let error = || Err(io::Error::new(error.kind(), error.to_string()));
                answer(changes, waiting, error);
            }
            Some(Err(SyncError::Failed(error))) => {
                // Once a sync has failed the kernel may have dropped the data and call the next
                // sync a success: there is no second try.
                let _ = standing.poisoned.set(Arc::new(error));
            }
        }
        if closing {
            return;
        }
    }
}

fn answer(
    changes: Vec<Box<dyn Change>>,
    waiting: Vec<oneshot::Sender<io::Result<()>>>,
    answer: impl Fn() -> io::Result<()>,
) {
    for change in changes {
        change.answer(answer().map_err(StoreError::unavailable));
    }
    for waiter in waiting {
        // One that gave up waiting needs no answer.
        let _ = waiter.send(answer());
    }
}

fn unpanicked(sync: impl FnOnce() -> Result<(), SyncError>) -> Result<(), SyncError> {
    panic::catch_unwind(AssertUnwindSafe(sync))
        .unwrap_or_else(|panic| Err(io::Error::other(panic_text(&*panic)).into()))
}

/// What sled said when it panicked.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref().copied());
    format!("sled panicked: {}", text.unwrap_or("without a word"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{super::sync::unopened, *};

    /// Commits whose sync does what a test says.
    fn start(mut sync: impl FnMut() -> Result<(), SyncError> + Send + 'static) -> Commits {
        Commits::start(Arc::default(), |_| {}, move |_| sync()).unwrap()
    }

    impl Commits {
        /// What a change that is committed elsewhere does.
        fn commit(&self) {
            self.standing.committed(self.standing.next());
        }
    }

    #[tokio::test]
    async fn nothing_written_is_nothing_to_wait_for() {
        let commits = start(|| panic!("no sync is needed"));
        commits.durable().await.unwrap();
        commits.standing.check().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sync_that_began_before_a_change_does_not_answer_for_it() {
        let (began, beginnings) = mpsc::channel();
        let (finish, finishes) = mpsc::channel();
        let commits = Arc::new(start(move || {
            began.send(()).unwrap();
            Ok(finishes.recv().map_err(io::Error::other)?)
        }));
        let wait = || {
            let commits = Arc::clone(&commits);
            commits.commit();
            tokio::spawn(async move { commits.durable().await })
        };
        let first = wait();
        beginnings.recv().unwrap();
        let second = wait();
        finish.send(()).unwrap();
        first.await.unwrap().unwrap();
        // The second sync runs now, and only for the second change.
        beginnings.recv().unwrap();
        assert!(!second.is_finished());
        finish.send(()).unwrap();
        second.await.unwrap().unwrap();
        // The last sync, when the store is dropped.
        finish.send(()).unwrap();
    }

    /// Were it to count anew, its first changes would be taken for those that are durable already.
    #[tokio::test]
    async fn a_store_that_is_opened_again_goes_on_where_it_was() {
        let (sync, synced) = mpsc::channel();
        let standing = Arc::new(Standing::after(5));
        let sync = move |number| Ok(sync.send(number).map_err(io::Error::other)?);
        let commits = Commits::start(standing, |_| {}, sync).unwrap();
        commits.durable().await.unwrap();
        assert!(synced.try_recv().is_err(), "nothing is new");
        commits.commit();
        commits.durable().await.unwrap();
        assert_eq!(synced.try_recv(), Ok(6));
    }

    #[tokio::test]
    async fn a_failed_sync_is_never_tried_again() {
        let mut tries = 0;
        let commits = start(move || {
            tries += 1;
            assert_eq!(tries, 1, "tried again");
            Err(io::Error::other("the disk is gone").into())
        });
        commits.commit();
        for _ in 0..2 {
            let answer = commits.durable().await;
            let Err(StoreError::Poisoned(cause)) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(cause.to_string(), "the disk is gone");
        }
        assert!(commits.standing.check().is_err());
    }

    #[tokio::test]
    async fn a_sync_that_could_not_begin_is_made_up_for_by_the_next() {
        let (refuse, refusals) = mpsc::channel();
        let commits = start(move || {
            let error = refusals.recv().ok().map(io::Error::from_raw_os_error);
            error.map_or(Ok(()), |error| Err(unopened(error)))
        });
        commits.commit();
        for too_many in [24, 23] {
            refuse.send(too_many).unwrap();
            let answer = commits.durable().await;
            let Err(StoreError::Unavailable(cause)) = answer else {
                panic!("{answer:?}");
            };
            assert!(cause.to_string().contains("open files"), "{cause}");
        }
        drop(refuse);
        commits.durable().await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_in_a_sync_poisons() {
        let commits = start(|| panic!("on purpose"));
        commits.commit();
        let answer = commits.durable().await;
        assert!(matches!(answer, Err(StoreError::Poisoned(_))), "{answer:?}");
    }

    #[test]
    fn what_sled_said_is_passed_on() {
        let said = |panic: &(dyn Any + Send)| panic_text(panic);
        assert_eq!(said(&"a segment"), "sled panicked: a segment");
        assert_eq!(said(&"a page".to_owned()), "sled panicked: a page");
        assert_eq!(said(&7), "sled panicked: without a word");
    }
}
