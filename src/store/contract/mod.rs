//! What every [`Store`] promises, as tests that any implementation can run.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() {
//! use tower_mcp_auth::store::{MemoryStore, contract};
//!
//! contract::run(async || MemoryStore::new()).await;
//! # }
//! ```
//!
//! Run them on a runtime of several threads, so that what is said to be parallel is. Every check
//! is also there by itself, for a debugger.

#![expect(clippy::expect_used, reason = "a test-suite speaks by panicking")]

pub mod authorizations;
pub mod clients;
pub mod codes;
pub mod devices;
mod fixtures;
pub mod keys;
pub mod once;
pub mod refresh;
pub mod revocation;
pub mod upkeep;

use std::{any::Any, future::Future, sync::Arc};

use self::prelude::Store;

/// What the checks speak of: not the whole parent, where each operation is in two traits.
mod prelude {
    pub(super) use crate::{
        clock::Timestamp,
        id::{ClientId, Subject},
        secret::{Digest, GrantId},
        store::{
            AccessToken, BeginAuthorization, BeginDevice, CreateClient, DecideDevice, DeviceTokens,
            IssueCode, IssueCodeOutcome, IssueTokens, IssueTokensOutcome, PollDevice, RedeemCode,
            RedeemCodeOutcome, RedeemDevice, Revocation, RevokeTarget, RotateRefresh,
            RotateRefreshOutcome, Store, StoreError, UseOnce, record::*,
        },
        uri::ResourceUri,
    };
}

macro_rules! suite {
    ($($module:ident { $($check:ident)* })*) => {
        /// Runs every check, each on a store of its own.
        ///
        /// # Panics
        ///
        /// With the name of the check and the promise that was broken.
        pub async fn run<S: Store>(fresh: impl AsyncFn() -> S) {
            $($(
                let name = concat!(stringify!($module), "::", stringify!($check));
                report(name, $module::$check(Arc::new(fresh().await))).await;
            )*)*
            let (from, to) = (Arc::new(fresh().await), Arc::new(fresh().await));
            report(
                "upkeep::what_is_exported_and_imported_is_the_same_store",
                upkeep::what_is_exported_and_imported_is_the_same_store(from, to),
            )
            .await;
        }
    };
}

suite! {
    clients {
        a_client_is_created_once
        a_client_that_registers_again_is_in_use
        an_expired_client_is_unknown_and_its_id_free
        clients_are_capped
        a_client_is_replaced
        deleting_a_client_revokes_all_it_had
    }
    authorizations {
        a_pending_authorization_is_taken_out_once
        an_expired_authorization_is_gone
        pending_authorizations_are_capped
    }
    codes {
        an_approval_is_one_commit
        an_authorization_is_approved_once
        consents_add_up
        a_code_gives_its_tokens
        a_second_redemption_revokes_the_grant
        of_parallel_redemptions_one_wins_and_none_survives
        an_expired_code_gives_nothing
        a_code_of_a_revoked_grant_gives_nothing
        an_unknown_code_is_unknown
        use_keeps_a_client
    }
    refresh {
        a_rotation_stores_successor_and_access_token
        a_repeat_within_the_window_changes_nothing
        a_repeat_after_the_window_revokes_the_grant
        a_token_whose_successor_was_used_is_a_replay
        a_repeat_with_another_key_is_told_the_first_one
        access_tokens_of_one_generation_are_counted
        access_tokens_of_a_repeat_live_no_longer
        a_repeat_never_brings_a_revoked_token_back
        dead_and_unknown_tokens_give_nothing
        parallel_rotations_agree_on_one_successor
        a_revocation_beats_a_rotation
    }
    revocation {
        one_access_token_dies_alone
        a_grant_dies_with_all_its_tokens
        unknown_targets_reach_nothing
        users_and_clients_are_told_apart
        many_grants_are_revoked
        nothing_issued_meanwhile_is_passed_over
        a_session_ends_alone
        live_grants_are_listed
        a_revocation_says_all_that_is_dead
        what_is_dead_is_told_apart_from_what_lives
    }
    devices {
        a_device_waits_for_its_user
        a_user_code_names_one_device
        devices_are_capped
        a_device_is_decided_about_once
        an_approved_device_gets_its_tokens
        of_parallel_device_redemptions_one_wins
        a_denied_or_expired_device_gets_nothing
        a_device_of_a_revoked_grant_gets_nothing
    }
    once {
        of_parallel_uses_one_is_the_first
        uses_are_capped_and_expire
        tokens_can_be_issued_without_a_code
        an_assertion_gives_tokens_once
        a_client_is_no_user
    }
    keys {
        all_callers_get_the_same_key
        a_new_key_retires_the_old_ones
        parallel_rotations_of_a_key_agree
    }
    upkeep {
        a_sweep_takes_what_has_expired_and_nothing_else
        a_sweep_stops_at_its_limit
        a_swept_client_takes_its_consents_along
        what_was_used_lately_is_not_swept
    }
}

/// Runs a check as a task of its own, so that its panic can be given a name.
async fn report(name: &str, check: impl Future<Output = ()> + Send + 'static) {
    if let Err(failed) = tokio::spawn(check).await {
        let why = failed.try_into_panic().map_or_else(
            |_| "it was cancelled".to_owned(),
            |panic| message(&*panic).to_owned(),
        );
        panic!("the store breaks its contract in `{name}`: {why}");
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked")
}
