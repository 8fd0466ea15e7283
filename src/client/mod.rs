//! Programs that ask for tokens.

pub(crate) mod metadata;
