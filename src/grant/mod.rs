//! The decisions of the protocol, pure: no I/O, no clock of their own.

pub(crate) mod authorize;
pub(crate) mod client_credentials;
pub(crate) mod code;
pub(crate) mod device;
pub(crate) mod issue;
#[cfg(feature = "jwt")]
pub(crate) mod jwt_bearer;
pub(crate) mod refresh;
mod refusal;
pub(crate) mod step_up;
mod user_code;

/// How clients name the grant of signed assertions (RFC 7523 §2.1) at the token endpoint and in
/// their registration.
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub(crate) use self::{
    refusal::{ErrorCode, Refusal},
    user_code::UserCode,
};
