//! Signing in on the way to the device page.
//!
//! The sign-in page is handed a transaction, here as ever, and the browser comes back by
//! `resume_url`. Nothing has to be kept for that: the transaction says no more than the address that
//! the device shows to everybody, and can lead nowhere else.

use super::super::{AuthorizationServer, Endpoint, response};
use crate::grant::UserCode;

/// Shorter than the handle of an authorization, so never taken for one.
const NAME: &str = "device";

/// What the sign-in page is handed.
pub(super) fn transaction(code: Option<&UserCode>) -> String {
    match code {
        Some(code) => format!("{NAME}-{}", code.plain()),
        None => NAME.to_owned(),
    }
}

/// The code in a transaction of the device page, if it has one; `None` when it is no such
/// transaction.
fn parse(transaction: &str) -> Option<Option<UserCode>> {
    match transaction.strip_prefix(NAME)? {
        "" => Some(None),
        rest => Some(Some(UserCode::parse(rest.strip_prefix('-')?)?)),
    }
}

impl AuthorizationServer {
    /// The address of the device page, with the code already in its form.
    pub(super) fn device_url(&self, code: Option<&UserCode>) -> String {
        let page = self.url(Endpoint::Device);
        match code {
            Some(code) => response::with_query(&page, &[("user_code", &code.shown())]),
            None => page,
        }
    }

    /// Where a browser goes on that signed in for the device page; `None` when it did so for
    /// something else.
    pub(in super::super) fn device_resume_url(&self, transaction: &str) -> Option<String> {
        parse(transaction).map(|code| self.device_url(code.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_carries_a_code_and_nothing_else() {
        let code = UserCode::random();
        assert_eq!(parse(&transaction(Some(&code))), Some(Some(code)));
        assert_eq!(parse(&transaction(None)), Some(None));
        for other in [
            "",
            "device-",
            "device-x",
            "devices",
            "deviceBCDFGHJK",
            "device-https://evil.example",
            "xdevice",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
