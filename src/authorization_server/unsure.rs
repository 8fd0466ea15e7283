//! A store that failed may have done what it was asked all the same, or be about to: connections
//! break after a commit, and before it, too. Where a second attempt would be refused (a code is good
//! once, a page is answered once), the store is asked whether it did, again and again for a while.
//!
//! What was to be stored has a random name of 256 bits, so that whoever finds it knows that it was
//! this very call that stored it. Where the store still fails, the caller is asked to come again.

use std::{future::Future, time::Duration};

use tokio::time::{sleep, timeout};

use super::AuthorizationServer;
use crate::{
    secret::{Digest, GrantId},
    store::{StoreError, record::DeviceDecision},
};

/// How long a store may take to say, and to do: whoever is asked to come again has waited for it
/// before.
const PATIENCE: Duration = Duration::from_secs(2);
/// Until it is asked once more, at first; then twice as long each time. What is under way mostly ends
/// within milliseconds.
const PAUSE: Duration = Duration::from_millis(10);

impl AuthorizationServer {
    /// The store's answer, or `done` where it failed and `is_done` finds that it did it.
    pub(super) async fn settle<T, F>(
        &self,
        answer: Result<T, StoreError>,
        done: T,
        is_done: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<bool, StoreError>>,
    {
        let Err(error) = answer else { return answer };
        let until_done = async {
            let mut pause = PAUSE;
            while !matches!(is_done().await, Ok(true)) {
                sleep(pause).await;
                pause *= 2;
            }
        };
        match timeout(PATIENCE, until_done).await {
            Ok(()) => {
                self.store_failed(&error);
                Ok(done)
            }
            Err(_) => Err(error),
        }
    }

    /// Whether the tokens of a code or device are stored and alive, by the access token.
    pub(super) async fn has_tokens(&self, access: Digest) -> Result<bool, StoreError> {
        let found = self.store.access_token(access).await?;
        Ok(found.is_some_and(|token| !token.revoked))
    }

    /// Whether a code is stored.
    pub(super) async fn has_code(&self, code: Digest) -> Result<bool, StoreError> {
        Ok(self.store.code(code).await?.is_some())
    }

    /// Whether a device was given this grant; `None` for whether it was refused.
    pub(super) async fn has_decision(
        &self,
        user_code: Digest,
        grant: Option<GrantId>,
    ) -> Result<bool, StoreError> {
        let made = match grant {
            Some(grant) => DeviceDecision::Approved { grant },
            None => DeviceDecision::Denied,
        };
        let found = self
            .store
            .device_by_user_code(user_code, self.now())
            .await?;
        Ok(found.is_some_and(|device| device.decision == Some(made)))
    }
}
