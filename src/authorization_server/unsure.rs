//! A store that failed may have done what it was asked all the same: connections break after a
//! commit, too. Where a second attempt would be refused (a code is good once, a page is answered
//! once), the store is asked whether it did.
//!
//! What was to be stored has a random name of 256 bits, so that whoever finds it knows that it was
//! this very call that stored it. Where the store still fails, the caller is asked to come again.

use std::{future::Future, time::Duration};

use tokio::time::timeout;

use super::AuthorizationServer;
use crate::{
    secret::{Digest, GrantId},
    store::{StoreError, record::DeviceDecision},
};

/// How long a store may take to say: whoever is asked to come again has waited for it before.
const PATIENCE: Duration = Duration::from_secs(2);

impl AuthorizationServer {
    /// The store's answer, or `done` where it failed and `is_done` finds that it did it.
    pub(super) async fn settle<T>(
        &self,
        answer: Result<T, StoreError>,
        done: T,
        is_done: impl Future<Output = Result<bool, StoreError>>,
    ) -> Result<T, StoreError> {
        let Err(error) = answer else { return answer };
        match timeout(PATIENCE, is_done).await {
            Ok(Ok(true)) => {
                self.store_failed(&error);
                Ok(done)
            }
            _ => Err(error),
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
