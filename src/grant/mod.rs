//! The decisions of the protocol, pure: no I/O, no clock of their own.

pub(crate) mod authorize;
pub(crate) mod client_credentials;
pub(crate) mod code;
pub(crate) mod issue;
pub(crate) mod refresh;
mod refusal;
pub(crate) mod step_up;

pub(crate) use self::refusal::{ErrorCode, Refusal};
