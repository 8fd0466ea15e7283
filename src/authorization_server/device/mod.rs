//! The device grant (RFC 8628): where a device begins, and where its user decides.

mod authorization;
mod guesses;
mod pages;
mod transaction;
mod verification;

pub(crate) use self::guesses::Guesses;
#[cfg(feature = "pages")]
pub(super) use self::pages::{CodeTemplate, ConfirmTemplate, MessageTemplate};
pub use self::pages::{DeviceCodePage, DeviceConfirmPage, MessagePage};
