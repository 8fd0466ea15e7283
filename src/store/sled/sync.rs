//! Making what sled wrote durable.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use ::sled::Db;

use super::mark::Mark;

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
pub(super) fn unopened(error: io::Error) -> SyncError {
    match too_many_open(&error) {
        true => SyncError::Later(error),
        false => SyncError::Failed(error),
    }
}

/// Whether all descriptors are taken.
pub(super) fn too_many_open(error: &io::Error) -> bool {
    // Of this process, and of the whole system; the numbers are the same on every Unix.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    cfg!(unix) && matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_too_many_open_files_pass() {
        for too_many in [24, 23] {
            let error = unopened(io::Error::from_raw_os_error(too_many));
            assert!(matches!(error, SyncError::Later(_)), "{error:?}");
        }
        let error = unopened(io::ErrorKind::PermissionDenied.into());
        assert!(matches!(error, SyncError::Failed(_)), "{error:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_blob_that_is_gone_again_is_nothing_to_sync() {
        let directory = tempfile::tempdir().unwrap();
        let db = ::sled::open(directory.path()).unwrap();
        let mark = Mark::open(directory.path()).unwrap();
        let mut syncer = Syncer::new(db, mark, directory.path()).unwrap();
        let blob = directory.path().join("blobs/1");
        // A name, and nothing there.
        std::os::unix::fs::symlink("nothing", &blob).unwrap();
        syncer.sync(1).unwrap();
        std::fs::remove_file(&blob).unwrap();
        // What is there and cannot be opened may not be durable.
        std::fs::create_dir(&blob).unwrap();
        let synced = syncer.sync(2);
        assert!(matches!(synced, Err(SyncError::Failed(_))), "{synced:?}");
    }
}
