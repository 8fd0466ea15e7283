//! Why a store could not answer.

use std::{path::PathBuf, sync::Arc};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A store could not do what it was asked. Never a verdict on a token: clients see
/// `503 temporarily_unavailable` and try again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The engine failed; the same call may succeed later.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// A write could not be made durable. The store refuses everything until it is opened anew,
    /// since nobody knows what the disk holds.
    #[error("a write could not be made durable; the store must be opened anew")]
    Poisoned(
        /// What failed first, such as a full disk.
        #[source]
        Arc<dyn std::error::Error + Send + Sync>,
    ),
    /// What is on disk cannot be read.
    #[error("the store at {path} is damaged: {advice}")]
    Corrupt {
        /// Where.
        path: PathBuf,
        /// What to do about it.
        advice: &'static str,
        /// What the engine said.
        #[source]
        source: Cause,
    },
    /// Another process has the store open.
    #[error("the store at {path} is in use by another process")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// The directory or its files cannot be created, read or written.
    #[error("the store at {path} cannot be opened: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// This is no URL of a store.
    #[error("this is no URL of a store: {0}")]
    InvalidUrl(
        /// What is wrong with it.
        #[source]
        Cause,
    ),
    /// Nobody answers at that address, or who answers refuses.
    #[error("the store at {address} cannot be opened: {source}")]
    Unreachable {
        /// Where, without the password.
        address: String,
        /// What the server said, or the operating system.
        #[source]
        source: Cause,
    },
    /// The server at that address is set up in a way that will not do.
    #[error("the store at {address} cannot be used: {why}")]
    Unsuitable {
        /// Where, without the password.
        address: String,
        /// What would have to be different.
        why: String,
    },
    /// It was to be empty.
    #[error("there is something in the store already")]
    NotEmpty,
    /// The store was written by a newer version of this crate.
    #[error(
        "the store has schema version {found}; this version of the crate reads up to {supported}"
    )]
    NewerSchema {
        /// The version on disk.
        found: u32,
        /// The newest version this crate reads.
        supported: u32,
    },
}

impl StoreError {
    /// Wraps an engine's error.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }
}
