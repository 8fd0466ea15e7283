//! The embedded store: [sled](::sled), one process per directory.

mod commit;
mod due;
mod mark;
mod open;
mod options;
mod schema;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod together;
mod tx;

use std::{
    fmt, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ::sled::Db;

use self::{
    commit::{Commits, Standing, panic_text},
    due::Due,
    mark::Mark,
    sync::Syncer,
    together::Change,
    tx::{ReadError, Reader, SledTx, TxError, engine_error, is_of_the_log, transact},
};
use super::{
    Revocation, StoreError,
    kv::{
        Read, keys,
        revoke::{self, Many},
        upkeep,
    },
    record::ClientRecord,
};
use crate::{clock::Timestamp, id::ClientId};

pub use self::options::SledOptions;

/// How many rows a single transaction touches where there may be many: others get their turn
/// in between.
const CHUNK: usize = 256;

/// A [`Store`](super::Store) in a directory of this machine.
///
/// One process has it open at a time. What it acknowledged survives `kill -9` and, where the disk
/// keeps its word on `fdatasync`, a power cut; but for a quarter of a second not what the
/// [`Store`](super::Store) may forget: authorizations and devices that begin, authorizations that the
/// user refused, and polls. For a backup use [`export`](super::export): a copy
/// of the directory is good only while nobody has it open. Damage to its files is told when it is
/// opened, with one exception: sled takes a file that is gone from `blobs`, where it keeps what is
/// very large, for one that it removed itself.
///
/// Dropping it syncs a last time, which blocks for as long as the disk takes.
pub struct SledStore {
    engine: Arc<Engine>,
    commits: Commits,
}

/// What the store's callers and the thread that commits for them work on.
struct Engine {
    db: Db,
    path: PathBuf,
    /// Held through every change, and through every scan that a change rests on. sled itself lets
    /// only one transaction run at a time, so this costs nothing.
    turn: Mutex<()>,
    standing: Arc<Standing>,
    min_free_space: u64,
}

impl SledStore {
    /// Opens the store in the directory `path`, which is created (for this user alone) where it
    /// does not exist. A store of an older version of this crate is brought up to date.
    ///
    /// # Errors
    ///
    /// [`InUse`](StoreError::InUse) while another process has it open,
    /// [`Corrupt`](StoreError::Corrupt) when its files are damaged or lack what was acknowledged
    /// (nothing is ever deleted),
    /// [`NewerSchema`](StoreError::NewerSchema) when a newer version wrote it,
    /// [`Io`](StoreError::Io) when the operating system refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::with_options(path, SledOptions::default())
    }

    /// As [`open`](Self::open), with other settings than the usual ones.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn with_options(path: impl AsRef<Path>, options: SledOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let io = |source| StoreError::Io {
            path: path.to_owned(),
            source,
        };
        // The process may change its directory; sled and the sync thread open files by name.
        let path = &std::path::absolute(path).map_err(io)?;
        let db = open::open(path, &options)?;
        let mut mark = Mark::open(path).map_err(io)?;
        let acknowledged = mark.read().map_err(io)?;
        let prepared = panic::catch_unwind(AssertUnwindSafe(|| {
            open::check_complete(&db, path, acknowledged)?;
            schema::migrate(&db, path)?;
            open::sequence(&db, path)
        }));
        let number = prepared.unwrap_or_else(|panic| Err(open::panicked(path, &*panic)))?;
        let mut syncer = Syncer::new(db.clone(), mark, path).map_err(io)?;
        syncer.sync(number).map_err(|error| io(error.into()))?;
        let standing = Arc::new(Standing::after(number));
        let engine = Arc::new(Engine {
            db,
            path: path.clone(),
            turn: Mutex::new(()),
            standing: Arc::clone(&standing),
            min_free_space: options.min_free_space,
        });
        let make = {
            let engine = Arc::clone(&engine);
            move |changes: &mut [Box<dyn Change>]| engine.make(changes)
        };
        let sync = move |covered| syncer.sync(covered);
        let commits = Commits::start(standing, make, sync).map_err(io)?;
        Ok(Self { engine, commits })
    }

    /// As [`change_durably`](Self::change_durably), of one that adds rows.
    async fn add_durably<T: Send + 'static>(
        &self,
        step: impl Fn(&mut SledTx<'_>) -> Result<T, TxError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.engine.check_room()?;
        self.change_durably(step).await
    }

    /// A change that is durable when this returns, with everything it saw.
    async fn change_durably<T: Send + 'static>(
        &self,
        step: impl Fn(&mut SledTx<'_>) -> Result<T, TxError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.commits.change(step).await
    }
}

impl Engine {
    /// Runs sled code, of which a panic must not take the request along.
    fn guarded<T>(&self, code: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.standing.check()?;
        panic::catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| {
            let cause = io::Error::other(panic_text(&*panic));
            Err(self.standing.poison(cause))
        })
    }

    /// Fails while the disk has little room. A write that finds none at all would poison the store,
    /// so those that only add to it end before; what gives room, or takes rights away, goes on.
    fn check_room(&self) -> Result<(), StoreError> {
        match fs2::available_space(&self.path) {
            Ok(free) if free < self.min_free_space => Err(StoreError::unavailable(io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "{free} bytes are free for the store at {}, which leaves the last {} alone",
                    self.path.display(),
                    self.min_free_space
                ),
            ))),
            // Where the system does not say, the disk itself will.
            _ => Ok(()),
        }
    }

    /// Reads rows; no lock, no wait.
    fn read<T>(
        &self,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, ReadError>,
    ) -> Result<T, StoreError> {
        self.guarded(|| read(&mut Reader(&self.db)).map_err(|error| self.read_error(error)))
    }

    fn read_error(&self, error: ReadError) -> StoreError {
        match error {
            ReadError::Engine(error) => self.engine_error(error),
            ReadError::Damaged(damaged) => open::corrupt(self.path.clone(), damaged),
        }
    }

    fn engine_error(&self, error: ::sled::Error) -> StoreError {
        match is_of_the_log(&error) {
            true => self.standing.poison(error),
            false => engine_error(&self.path, error),
        }
    }

    /// Keys from `start` to before `end`, in order.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        if start >= end {
            return Ok(Vec::new());
        }
        self.db
            .range(start..end)
            .keys()
            .take(limit)
            .map(|key| key.map(|key| key.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|error| self.engine_error(error))
    }

    /// Has its turn: nobody changes anything meanwhile.
    fn in_turn<T>(&self, code: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        // A panic under this lock is caught under it.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.guarded(code)
    }

    /// One transaction of the caller's turn, and whether it changed anything.
    fn transact<T>(
        &self,
        step: impl Fn(&mut SledTx<'_>) -> Result<T, TxError>,
    ) -> Result<(T, bool), StoreError> {
        transact(&self.db, &self.path, step).map_err(|failed| match failed.distrusted {
            true => self.standing.poison(failed.error),
            false => failed.error,
        })
    }

    /// One transaction of the caller's turn, numbered among those that are waited for.
    fn commit<T>(
        &self,
        step: impl Fn(&mut SledTx<'_>) -> Result<T, TxError>,
    ) -> Result<T, StoreError> {
        let number = self.standing.next();
        let (value, changed) = self.transact(|tx| {
            let value = step(tx)?;
            if tx.wrote {
                tx.set(keys::SEQUENCE, &number.to_be_bytes())?;
            }
            Ok(value)
        })?;
        if changed {
            self.standing.committed(number);
        }
        Ok(value)
    }

    /// A change that may be forgotten in a crash.
    fn change<T>(
        &self,
        step: impl Fn(&mut SledTx<'_>) -> Result<T, TxError>,
    ) -> Result<T, StoreError> {
        self.in_turn(|| self.transact(step).map(|(value, _)| value))
    }

    /// Revokes as much as one transaction may touch. Whatever is found within the first chunk is
    /// one atomic step; of more, each grant is.
    fn revoke_chunk(
        &self,
        many: &Many,
        progress: &mut Progress,
        now: Timestamp,
    ) -> Result<Revocation, StoreError> {
        self.in_turn(|| {
            // In this order: what is issued by a consent between two chunks would be passed over.
            let consents = progress.consents.next(self)?;
            let grants = match progress.consents.done {
                true => progress.grants.next(self)?,
                false => Vec::new(),
            };
            self.commit(|tx| revoke::many(tx, many, &grants, &consents, now))
        })
    }

    /// Removes up to `limit` rows that expired or go with such a one, and whether there may be more.
    fn sweep_chunk(&self, now: Timestamp, limit: usize) -> Result<(usize, bool), StoreError> {
        self.in_turn(|| {
            let due = self.due(now, limit)?;
            let plan = upkeep::plan(&due.rows, limit, |key, room| {
                let Some(client) = self.expired_client(key, now)? else {
                    return Ok(Vec::new());
                };
                let consents = keys::consents_of_client(&client);
                let end = keys::after_prefix(&consents).unwrap_or_default();
                let found = self.scan(&consents, &end, room)?;
                let consent = |key: &Vec<u8>| key[consents.len()..].to_vec();
                Ok(found.iter().map(consent).collect())
            })?;
            let removed = self.commit(|tx| {
                due.finish(tx, plan.finished, now)?;
                upkeep::sweep(tx, &due.rows[..plan.finished], &plan.consents, now)
            })?;
            Ok((removed, plan.len() == limit))
        })
    }

    /// The client of that key, if it has expired.
    fn expired_client(&self, key: &[u8], now: Timestamp) -> Result<Option<ClientId>, StoreError> {
        if key.first() != Some(&keys::CLIENT) {
            return Ok(None);
        }
        let client = Reader(&self.db).read::<ClientRecord>(key);
        let client = client.map_err(|error| self.read_error(error))?;
        let expired = client.filter(|client| client.expires_at <= now);
        Ok(expired.map(|client| client.id))
    }

    /// What the index by expiry names first, at least `limit` rows where there are as many.
    fn due(&self, now: Timestamp, limit: usize) -> Result<Due, StoreError> {
        let (start, end) = keys::expired_until(now);
        let mut due = Due::default();
        for entry in self.db.range(start..end) {
            if due.rows.len() >= limit {
                break;
            }
            let (key, others) = entry.map_err(|error| self.engine_error(error))?;
            let added = due.add(&key, &others);
            added.map_err(|damaged| self.read_error(damaged.into()))?;
        }
        Ok(due)
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore")
            .field("path", &self.engine.path)
            .finish_non_exhaustive()
    }
}

/// A scan that goes on where it stopped.
struct Cursor {
    from: Vec<u8>,
    end: Vec<u8>,
    done: bool,
}

impl Cursor {
    /// Over nothing.
    const NONE: Self = Self {
        from: Vec::new(),
        end: Vec::new(),
        done: true,
    };

    fn of(prefix: Vec<u8>) -> Self {
        // No kind of row is 0xff, so there is always a key after the prefix.
        let end = keys::after_prefix(&prefix).unwrap_or_default();
        Self {
            from: prefix,
            end,
            done: false,
        }
    }

    fn next(&mut self, engine: &Engine) -> Result<Vec<Vec<u8>>, StoreError> {
        if self.done {
            return Ok(Vec::new());
        }
        let keys = engine.scan(&self.from, &self.end, CHUNK)?;
        self.done = keys.len() < CHUNK;
        if let Some(last) = keys.last() {
            self.from.clone_from(last);
            self.from.push(0);
        }
        Ok(keys)
    }
}

/// How far a revocation of many has come.
struct Progress {
    grants: Cursor,
    consents: Cursor,
}

impl Progress {
    fn of(many: &Many) -> Self {
        Self {
            grants: Cursor::of(many.grants.clone()),
            consents: many.consents.clone().map_or(Cursor::NONE, Cursor::of),
        }
    }

    fn done(&self) -> bool {
        self.grants.done && self.consents.done
    }
}
