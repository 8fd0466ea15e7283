//! Opening the database: the directory, sled's errors and panics, and what came before us.

use std::{
    any::Any,
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use ::sled::{Config, Db};

use super::{SledOptions, commit::panic_text, sync::sync_directory};
use crate::store::{StoreError, kv::keys};

/// How often, and after what pause, a locked database is tried again: one that was just closed
/// may have a thread of sled's that still holds it.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

const ADVICE: &str = "keep the directory as it is, restore it from a backup (an export), \
     or move it away to start with an empty store, where everyone signs in again";

/// Opens what is at `path` and makes its names durable.
pub(super) fn open(path: &Path, options: &SledOptions) -> Result<Db, StoreError> {
    let io = |source| StoreError::Io {
        path: path.to_owned(),
        source,
    };
    create_directory(path).map_err(io)?;
    let db = open_locked(path, options)?;
    keep_private(path).map_err(io)?;
    for name in ["conf", "db"] {
        let file = fs::File::options().write(true).open(path.join(name));
        file.and_then(|file| file.sync_all()).map_err(io)?;
    }
    sync_directory(&path.join("blobs")).map_err(io)?;
    sync_directory(path).map_err(io)?;
    Ok(db)
}

/// Creates the directory and those above it, for nobody but this user.
fn create_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.exists())
        .collect();
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    for parent in missing.iter().filter_map(|created| created.parent()) {
        sync_directory(parent)?;
    }
    Ok(())
}

/// Keeps what holds keys from everybody else, also in a directory that was there before and that
/// others may enter.
#[cfg(unix)]
fn keep_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    for (name, mode) in [("db", 0o600), ("blobs", 0o700)] {
        let path = path.join(name);
        let mut permissions = fs::metadata(&path)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(mode);
            fs::set_permissions(&path, permissions)?;
        }
    }
    Ok(())
}

/// Elsewhere a file has the permissions of its directory.
#[cfg(not(unix))]
fn keep_private(_: &Path) -> io::Result<()> {
    Ok(())
}

fn open_locked(path: &Path, options: &SledOptions) -> Result<Db, StoreError> {
    unlocked(|| {
        remove_unfinished(path).map_err(|source| StoreError::Io {
            path: path.to_owned(),
            source,
        })?;
        open_once(path, options)
    })
}

/// Removes what a process had begun to write when it was killed, and what sled would take for
/// damage: a snapshot, where the one before it, and the log since, are still there; and sled's
/// settings, which are written before there is a log, and again where there are none.
fn remove_unfinished(path: &Path) -> io::Result<()> {
    let log = path.join("db");
    let mut unfinished = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_snapshot = name.starts_with("snap.") && name.ends_with(".generating");
        if is_snapshot || (name == "conf" && !log.try_exists()?) {
            unfinished.push(entry.path());
        }
    }
    if unfinished.is_empty() {
        return Ok(());
    }
    // Whoever has the database open may be at it, and holds this lock.
    let mut options = fs::File::options();
    let log = options.write(true).create(true).truncate(false).open(log)?;
    if fs2::FileExt::try_lock_exclusive(&log).is_ok() {
        for file in unfinished {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

/// What `open` gives, tried again while it says that the database is in use.
fn unlocked<T>(mut open: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 1..LOCK_TRIES {
        match open() {
            Err(StoreError::InUse { .. }) => thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    open()
}

fn open_once(path: &Path, options: &SledOptions) -> Result<Db, StoreError> {
    let config = Config::new()
        .path(path)
        .cache_capacity(options.cache_capacity)
        .flush_every_ms(options.background_flush_ms());
    // On files that were torn or cut short sled panics as often as it says so.
    match panic::catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(opened) => opened.map_err(|error| classify(path, error)),
        Err(panic) => Err(panicked(path, &*panic)),
    }
}

/// The number of the last change in the database.
pub(super) fn sequence(db: &Db, path: &Path) -> Result<u64, StoreError> {
    let value = db.get(keys::SEQUENCE);
    let Some(value) = value.map_err(|error| classify(path, error))? else {
        return Ok(0);
    };
    let bytes = value.as_ref().try_into();
    let bytes = bytes.map_err(|_| corrupt(path.to_owned(), "no number of a change"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Fails when the database is behind what was acknowledged.
pub(super) fn check_complete(db: &Db, path: &Path, acknowledged: u64) -> Result<(), StoreError> {
    let found = sequence(db, path)?;
    if found < acknowledged {
        let lost = format!(
            "its log breaks off at change {found} of {acknowledged}: \
             what was revoked or used up since would come back"
        );
        return Err(corrupt(path.to_owned(), lost));
    }
    Ok(())
}

/// What a panic of sled's while opening means.
pub(super) fn panicked(path: &Path, panic: &(dyn Any + Send)) -> StoreError {
    corrupt(path.to_owned(), panic_text(panic))
}

/// What an error of sled's means to whoever opens or uses the store.
pub(super) fn classify(path: &Path, error: ::sled::Error) -> StoreError {
    let path = path.to_owned();
    match error {
        // sled puts the lock's error into words.
        ::sled::Error::Io(source) if is_lock(&source) => StoreError::InUse { path },
        ::sled::Error::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            StoreError::Io { path, source }
        }
        other => corrupt(path, other),
    }
}

pub(super) fn corrupt(
    path: PathBuf,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Corrupt {
        path,
        advice: ADVICE,
        source: source.into(),
    }
}

fn is_lock(error: &io::Error) -> bool {
    let text = error.to_string();
    // A file system without locks is no other process.
    text.contains("could not acquire lock") && !text.contains("Unsupported")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_says_becomes_what_can_be_done_about_it() {
        let said = |kind, text: &str| {
            let error = ::sled::Error::Io(io::Error::new(kind, text));
            classify(Path::new("data"), error)
        };
        let locked = said(io::ErrorKind::Other, "could not acquire lock on \"db\"");
        assert!(matches!(locked, StoreError::InUse { .. }), "{locked:?}");
        let lockless = "could not acquire lock on \"db\": Unsupported";
        let lockless = said(io::ErrorKind::Other, lockless);
        assert!(matches!(lockless, StoreError::Io { .. }), "{lockless:?}");
        let denied = said(io::ErrorKind::PermissionDenied, "Unsupported");
        assert!(matches!(denied, StoreError::Io { .. }), "{denied:?}");
        let cut = said(io::ErrorKind::UnexpectedEof, "");
        assert!(matches!(cut, StoreError::Corrupt { .. }), "{cut:?}");
    }

    #[test]
    fn a_locked_database_is_tried_again_and_not_for_ever() {
        let tries_of = |locked_for| {
            let mut tries = 0;
            let opened = unlocked(|| {
                tries += 1;
                let path = PathBuf::from("data");
                (tries > locked_for)
                    .then_some(())
                    .ok_or(StoreError::InUse { path })
            });
            (opened.is_ok(), tries)
        };
        assert_eq!(tries_of(0), (true, 1));
        assert_eq!(tries_of(LOCK_TRIES - 1), (true, LOCK_TRIES));
        assert_eq!(tries_of(LOCK_TRIES), (false, LOCK_TRIES));
    }
}
