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
    pub(super) fn sync(&mut self, covered: u64) -> io::Result<()> {
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
    fn sync_blobs(&mut self) -> io::Result<()> {
        let mut present = HashSet::new();
        let mut fresh = false;
        for entry in self.blobs.read_dir()? {
            let name = entry?.file_name();
            if !self.synced_blobs.contains(&name) {
                match File::options().write(true).open(self.blobs.join(&name)) {
                    Ok(blob) => blob.sync_all()?,
                    // sled removed it meanwhile: nothing points there any more.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
                fresh = true;
            }
            present.insert(name);
        }
        self.synced_blobs = present;
        if fresh {
            sync_directory(&self.blobs)?;
        }
        Ok(())
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    // Elsewhere directories cannot be opened, and names are as durable as the file system likes.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
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
    waiting: Vec<oneshot::Sender<()>>,
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
        // Dropped unserved, and that only when the sync failed.
        served.map_err(StoreError::unavailable)
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
fn serve(shared: &Shared, mut sync: impl FnMut(u64) -> io::Result<()>) {
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
        if shared.poisoned.get().is_some() {
            drop(waiting);
        } else if let Err(error) = unpanicked(|| sync(covered)) {
            // Once a sync has failed the kernel may have dropped the data and call the next sync
            // a success: there is no second try.
            let _ = shared.poisoned.set(Arc::new(error));
            drop(waiting);
        } else {
            shared.durable.store(covered, Ordering::SeqCst);
            for waiter in waiting {
                // One that gave up waiting needs no answer.
                let _ = waiter.send(());
            }
        }
        if closing {
            return;
        }
    }
}

fn unpanicked(sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    panic::catch_unwind(AssertUnwindSafe(sync))
        .unwrap_or_else(|panic| Err(io::Error::other(panic_text(&*panic))))
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
    fn start(mut sync: impl FnMut() -> io::Result<()> + Send + 'static) -> Commits {
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
            finishes.recv().map_err(io::Error::other)
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
            Err(io::Error::other("the disk is gone"))
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
    async fn a_panic_in_a_sync_poisons() {
        let commits = start(|| panic!("on purpose"));
        commits.committed(commits.next());
        let answer = commits.durable().await;
        assert!(matches!(answer, Err(StoreError::Poisoned(_))), "{answer:?}");
    }
}
