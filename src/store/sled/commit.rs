//! Group commit: one thread makes changes durable for all who wait.
//!
//! A sync answers for every change committed before it began. While one runs, the next waiters
//! gather; so nobody waits for longer than two syncs, nothing is delayed when there is nothing to
//! gather, and a thousand waiters cost as much as one.

use std::{
    any::Any,
    collections::HashSet,
    error::Error,
    ffi::OsString,
    fs::File,
    io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use ::sled::Db;
use tokio::sync::oneshot;

use super::mark::Mark;
use crate::store::StoreError;

/// Why nothing was made durable.
#[derive(Debug)]
pub(super) enum SyncError {
    /// A sync failed, or may have: nobody knows any more what the disk holds.
    Failed(io::Error),
    /// The process had too many files open to begin. What is written is still whole, and the next
    /// sync answers for it as well.
    Later(io::Error),
}

impl From<SyncError> for io::Error {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Failed(error) | SyncError::Later(error) => error,
        }
    }
}

impl From<io::Error> for SyncError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// An error of opening something: whoever takes all descriptors, with connections perhaps, must not
/// stop the store for good.
fn unopened(error: io::Error) -> SyncError {
    // Of this process, and of the whole system; the numbers are the same on every Unix.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    match error.raw_os_error() {
        Some(EMFILE | ENFILE) if cfg!(unix) => SyncError::Later(error),
        _ => SyncError::Failed(error),
    }
}

/// Makes what sled wrote durable.
///
/// sled's own flush is a `sync_file_range` on Linux, which leaves the file's length and the disk's
/// write cache alone: after a power cut its data may be gone. So every flush is followed by a real
/// data sync, through a descriptor of our own, since sled shows nobody its file.
pub(super) struct Syncer {
    db: Db,
    file: File,
    mark: Mark,
    blobs: PathBuf,
    /// The blob files that were synced before; sled never changes one.
    synced_blobs: HashSet<OsString>,
}

impl Syncer {
    /// For the database that sled has open in `directory`.
    pub(super) fn new(db: Db, mark: Mark, directory: &Path) -> io::Result<Self> {
        Ok(Self {
            db,
            mark,
            // Windows syncs only what is open for writing.
            file: File::options()
                .read(true)
                .write(true)
                .open(directory.join("db"))?,
            blobs: directory.join("blobs"),
            synced_blobs: HashSet::new(),
        })
    }

    /// Makes everything durable, of which `covered` is the last change.
    pub(super) fn sync(&mut self, covered: u64) -> Result<(), SyncError> {
        self.db.flush().map_err(io::Error::other)?;
        // First what is pointed at, then what points at it.
        self.sync_blobs()?;
        self.file.sync_data()?;
        // The changes are durable whether or not this can be noted.
        let _ = self.mark.write(covered);
        Ok(())
    }

    /// sled puts what is larger than an eighth of a mebibyte into files of its own and never
    /// syncs those.
    fn sync_blobs(&mut self) -> Result<(), SyncError> {
        let mut present = HashSet::new();
        let mut fresh = false;
        for entry in self.blobs.read_dir().map_err(unopened)? {
            let name = entry?.file_name();
            if !self.synced_blobs.contains(&name) {
                match File::options().write(true).open(self.blobs.join(&name)) {
                    Ok(blob) => blob.sync_all()?,
                    // sled removed it meanwhile: nothing points there any more.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(unopened(error)),
                }
                fresh = true;
            }
            present.insert(name);
        }
        if fresh && let Some(blobs) = directory(&self.blobs).map_err(unopened)? {
            blobs.sync_all()?;
        }
        // Last, so that what is tried again leaves nothing out.
        self.synced_blobs = present;
        Ok(())
    }
}

/// A directory to sync. Elsewhere directories cannot be opened, and names are as durable as the file
/// system likes.
fn directory(path: &Path) -> io::Result<Option<File>> {
    cfg!(unix).then(|| File::open(path)).transpose()
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match directory(path)? {
        Some(directory) => directory.sync_all(),
        None => Ok(()),
    }
}

/// The waiting room, and the thread that serves it.
pub(super) struct Commits {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    room: Mutex<Room>,
    arrival: Condvar,
    /// The number of the last change that was committed.
    committed: AtomicU64,
    /// The number of the last one that is durable.
    durable: AtomicU64,
    /// Set when a sync failed, to why: from then on nobody knows what the disk holds.
    poisoned: OnceLock<Arc<dyn Error + Send + Sync>>,
}

#[derive(Default)]
struct Room {
    waiting: Vec<oneshot::Sender<io::Result<()>>>,
    closing: bool,
}

impl Shared {
    fn room(&self) -> MutexGuard<'_, Room> {
        // Nothing panics while it holds this lock.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commits {
    /// Starts after the change of that number, which is durable.
    pub(super) fn start(mut syncer: Syncer, number: u64) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            committed: number.into(),
            durable: number.into(),
            ..Shared::default()
        });
        let thread = thread::Builder::new()
            .name("tower-mcp-auth-sync".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || serve(&shared, |covered| syncer.sync(covered))
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The number of the next change. Whoever asks has their turn, and nobody else asks meanwhile.
    pub(super) fn next(&self) -> u64 {
        self.shared.committed.load(Ordering::SeqCst) + 1
    }

    /// Takes note that sled has committed the change of that number.
    pub(super) fn committed(&self, number: u64) {
        self.shared.committed.store(number, Ordering::SeqCst);
    }

    /// Returns when everything committed until now is durable.
    pub(super) async fn durable(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let mine = shared.committed.load(Ordering::SeqCst);
        if shared.durable.load(Ordering::SeqCst) >= mine {
            return self.check();
        }
        let (served, notice) = oneshot::channel();
        shared.room().waiting.push(served);
        shared.arrival.notify_one();
        let served = notice.await;
        self.check()?;
        // Dropped unserved only when a sync failed for good.
        served
            .map_err(StoreError::unavailable)?
            .map_err(StoreError::unavailable)
    }

    /// Fails when the store must be opened anew.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.shared.poisoned.get() {
            Some(cause) => Err(StoreError::Poisoned(Arc::clone(cause))),
            None => Ok(()),
        }
    }

    /// Refuses everything from now on, and says why.
    pub(super) fn poison(&self, cause: impl Error + Send + Sync + 'static) -> StoreError {
        let cause = self.shared.poisoned.get_or_init(|| Arc::new(cause));
        StoreError::Poisoned(Arc::clone(cause))
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.shared.room().closing = true;
        self.shared.arrival.notify_one();
        if let Some(thread) = self.thread.take() {
            // The thread catches its panics.
            let _ = thread.join();
        }
    }
}

/// Syncs for whoever waits, and a last time at the end.
fn serve(shared: &Shared, mut sync: impl FnMut(u64) -> Result<(), SyncError>) {
    loop {
        let (waiting, closing) = {
            let mut room = shared.room();
            while room.waiting.is_empty() && !room.closing {
                let woken = shared.arrival.wait(room);
                room = woken.unwrap_or_else(PoisonError::into_inner);
            }
            (std::mem::take(&mut room.waiting), room.closing)
        };
        // Whoever waits committed before coming here, so before this is read and the sync begins.
        let covered = shared.committed.load(Ordering::SeqCst);
        let synced = match shared.poisoned.get() {
            Some(_) => None,
            None => Some(unpanicked(|| sync(covered))),
        };
        match synced {
            None => drop(waiting),
            Some(Ok(())) => {
                shared.durable.store(covered, Ordering::SeqCst);
                answer(waiting, || Ok(()));
            }
            Some(Err(SyncError::Later(error))) => {
                answer(waiting, || {
                    Err(io::Error::new(error.kind(), error.to_string()))
                });
            }
            Some(Err(SyncError::Failed(error))) => {
                // Once a sync has failed the kernel may have dropped the data and call the next
                // sync a success: there is no second try.
                let _ = shared.poisoned.set(Arc::new(error));
                drop(waiting);
            }
        }
        if closing {
            return;
        }
    }
}

fn answer(waiting: Vec<oneshot::Sender<io::Result<()>>>, answer: impl Fn() -> io::Result<()>) {
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

    use super::*;

    /// Commits whose sync does what a test says.
    fn start(mut sync: impl FnMut() -> Result<(), SyncError> + Send + 'static) -> Commits {
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(&shared, |_| sync())
        });
        Commits {
            shared,
            thread: Some(thread),
        }
    }

    #[tokio::test]
    async fn nothing_written_is_nothing_to_wait_for() {
        let commits = start(|| panic!("no sync is needed"));
        commits.durable().await.unwrap();
        commits.check().unwrap();
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
            commits.committed(commits.next());
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

    #[tokio::test]
    async fn a_failed_sync_is_never_tried_again() {
        let mut tries = 0;
        let commits = start(move || {
            tries += 1;
            assert_eq!(tries, 1, "tried again");
            Err(io::Error::other("the disk is gone").into())
        });
        commits.committed(commits.next());
        for _ in 0..2 {
            let answer = commits.durable().await;
            let Err(StoreError::Poisoned(cause)) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(cause.to_string(), "the disk is gone");
        }
        assert!(commits.check().is_err());
    }

    #[tokio::test]
    async fn a_sync_that_could_not_begin_is_made_up_for_by_the_next() {
        let (refuse, refusals) = mpsc::channel();
        let commits = start(move || {
            let error = refusals.recv().ok().map(io::Error::from_raw_os_error);
            error.map_or(Ok(()), |error| Err(unopened(error)))
        });
        commits.committed(commits.next());
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
        // Whatever else keeps a file from being opened is no passing matter.
        assert!(matches!(
            unopened(io::ErrorKind::PermissionDenied.into()),
            SyncError::Failed(_)
        ));
    }

    #[tokio::test]
    async fn a_panic_in_a_sync_poisons() {
        let commits = start(|| panic!("on purpose"));
        commits.committed(commits.next());
        let answer = commits.durable().await;
        assert!(matches!(answer, Err(StoreError::Poisoned(_))), "{answer:?}");
    }
}
