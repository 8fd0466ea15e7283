//! Where grants, tokens and clients are kept.
//!
//! [`Store`] is a trait of *domain operations with outcomes*, not of get and put: each operation is
//! one atomic step of the engine behind it, so no caller can put a race between a check and its
//! change. Stores never read a clock (`now` comes in), never see a token (only its digest), and
//! answer a changing operation only when the change would survive `kill -9` and a power cut.

#[cfg(feature = "test-util")]
pub mod contract;
mod erased;
mod error;
mod feed;
mod kv;
mod memory;
#[cfg(test)]
mod model;
mod outcome;
#[cfg(feature = "postgres")]
mod postgres;
pub mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod server_clock;
mod shared_keys;
#[cfg(feature = "sled")]
mod sled;
mod sweeper;
mod transfer;
mod transition;

use std::{future::Future, time::Duration};

#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreBuilder};
#[cfg(feature = "sled")]
pub use self::sled::{SledOptions, SledStore};
pub use self::{
    error::StoreError,
    feed::Feed,
    memory::MemoryStore,
    outcome::{
        AccessToken, BeginAuthorization, BeginDevice, CreateClient, DecideDevice, DeviceTokens,
        ExportPage, IssueCode, IssueCodeOutcome, IssueTokens, IssueTokensOutcome, PollDevice,
        RedeemCode, RedeemCodeOutcome, RedeemDevice, Revocation, RevokeTarget, RotateRefresh,
        RotateRefreshOutcome, UseOnce,
    },
    transfer::{TransferError, copy, export, import},
};

#[cfg(test)]
pub(crate) use self::erased::Stuck;
pub(crate) use self::{
    erased::{BoxFuture, ErasedStore},
    feed::Subscription,
    shared_keys::{Keys, SharedKeys},
    sweeper::Sweeper,
};

use self::record::{
    ClientRecord, CodeRecord, ConsentRecord, DeviceRecord, GrantRecord, KeyPurpose, KeyRecord,
    PendingAuthorization, Record, RefreshTokenRecord,
};
use crate::{
    client::destination::Destination,
    clock::Timestamp,
    id::{ClientId, Subject},
    secret::{Digest, GrantId},
    uri::ResourceUri,
};

/// A place for grants, tokens, codes, clients, consents and keys.
///
/// # What every implementation owes
///
/// * Each operation is atomic, also against the same operation on another machine. What may reach
///   any number of records ([`revoke`](Self::revoke) for a user or client,
///   [`delete_client`](Self::delete_client), [`sweep`](Self::sweep), [`import`](Self::import)) may
///   go on in several atomic steps, and returns after the last.
/// * An operation that changed something, or whose answer rests on another operation's change
///   (a repeat, a replay, an already revoked), returns only when that change is durable.
///   [`begin_authorization`](Self::begin_authorization),
///   [`end_authorization`](Self::end_authorization), [`begin_device`](Self::begin_device) and
///   [`poll_device`](Self::poll_device) alone may forget.
/// * A failure is a [`StoreError`], never one of the outcomes: callers answer 503 to the first and
///   refuse for good on the second.
/// * An expired record may be swept at any time; until then operations judge it by `now`
///   (expired from `expires_at` on).
///
/// Run the `store::contract` test-suite (feature `test-util`) against an implementation of your own.
pub trait Store: Send + Sync + 'static {
    /// Stores a client unless its id is taken by one that has not expired, or `max` unexpired or
    /// unswept clients are stored.
    fn create_client(
        &self,
        client: ClientRecord,
        max: u64,
        now: Timestamp,
    ) -> impl Future<Output = Result<CreateClient, StoreError>> + Send;

    /// The client of that id, `None` also when it has expired.
    fn client(
        &self,
        id: ClientId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<ClientRecord>, StoreError>> + Send;

    /// Replaces the unexpired client of that id; false when there is none. An expiry that is later
    /// already stays.
    fn update_client(
        &self,
        client: ClientRecord,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Forgets a client and revokes all its grants and consents: the client first, then as
    /// [`revoke`](Self::revoke).
    fn delete_client(
        &self,
        id: ClientId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Revocation, StoreError>> + Send;

    /// Stores an authorization that waits for its user, unless `max` are waiting or unswept.
    fn begin_authorization(
        &self,
        id: Digest,
        pending: PendingAuthorization,
        max: u64,
        now: Timestamp,
    ) -> impl Future<Output = Result<BeginAuthorization, StoreError>> + Send;

    /// A waiting authorization, `None` also when it has expired.
    fn pending_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<PendingAuthorization>, StoreError>> + Send;

    /// Takes a waiting authorization out: of several callers exactly one gets it.
    fn end_authorization(
        &self,
        id: Digest,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<PendingAuthorization>, StoreError>> + Send;

    /// Uses up a waiting authorization and stores code, grant and consent, all in one commit.
    fn issue_code(
        &self,
        issue: IssueCode,
        now: Timestamp,
    ) -> impl Future<Output = Result<IssueCodeOutcome, StoreError>> + Send;

    /// A code and its grant, whatever their state, for the checks that come before redeeming.
    fn code(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Option<(CodeRecord, GrantRecord)>, StoreError>> + Send;

    /// Uses a code up and stores its tokens; a second time revokes the grant instead. A redeemed
    /// code moves its grant's expiry to that of the longest-lived token.
    fn redeem_code(
        &self,
        redeem: RedeemCode,
        now: Timestamp,
    ) -> impl Future<Output = Result<RedeemCodeOutcome, StoreError>> + Send;

    /// Stores a grant and its tokens without a code, and takes note of what was used up for it,
    /// all in one commit. The grant's expiry is moved to that of the longest-lived token.
    fn issue_tokens(
        &self,
        issue: IssueTokens,
        max_used: u64,
        now: Timestamp,
    ) -> impl Future<Output = Result<IssueTokensOutcome, StoreError>> + Send;

    /// Uses something up that is good once: of all callers exactly one is the first, until
    /// `expires_at`. At most `max` such things are remembered, unexpired or unswept.
    fn use_once(
        &self,
        digest: Digest,
        expires_at: Timestamp,
        max: u64,
        now: Timestamp,
    ) -> impl Future<Output = Result<UseOnce, StoreError>> + Send;

    /// Stores a device that waits for its user, unless `max` are waiting or unswept, or an
    /// unexpired one has the same user code.
    fn begin_device(
        &self,
        device: Digest,
        record: DeviceRecord,
        max: u64,
        now: Timestamp,
    ) -> impl Future<Output = Result<BeginDevice, StoreError>> + Send;

    /// The device of that user code, decided or not; `None` when it has expired.
    fn device_by_user_code(
        &self,
        user_code: Digest,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<DeviceRecord>, StoreError>> + Send;

    /// Decides about a device: true exactly once, and false when it is unknown, has expired or
    /// was decided before. An approval stores grant and consent in the same commit.
    fn decide_device(
        &self,
        user_code: Digest,
        decision: DecideDevice,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// What became of a device, for the client that began it. One that waits and asks sooner than
    /// its interval must wait five seconds longer from then on.
    fn poll_device(
        &self,
        device: Digest,
        client: ClientId,
        now: Timestamp,
    ) -> impl Future<Output = Result<PollDevice, StoreError>> + Send;

    /// Stores the tokens of an approved device, which is used up by that: of several callers
    /// exactly one redeems it. The grant's expiry is moved to that of the longest-lived token.
    fn redeem_device(
        &self,
        device: Digest,
        redeem: DeviceTokens,
        now: Timestamp,
    ) -> impl Future<Output = Result<RedeemDevice, StoreError>> + Send;

    /// A refresh token and its grant, whatever their state, for the checks that come before
    /// rotating.
    fn refresh_token(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Option<(RefreshTokenRecord, GrantRecord)>, StoreError>> + Send;

    /// Rotates a refresh token: idempotent within the grace window, a replay outside of it.
    ///
    /// A token whose successor was itself used is a replay at any time: two generations are never
    /// answered at once. An access token that only a repeat brings expires no later than one that
    /// the first use had brought would.
    fn rotate_refresh(
        &self,
        rotate: RotateRefresh,
        now: Timestamp,
    ) -> impl Future<Output = Result<RotateRefreshOutcome, StoreError>> + Send;

    /// An access token, also when it has expired but was not swept.
    fn access_token(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Option<AccessToken>, StoreError>> + Send;

    /// Which of these grants and access tokens are good no longer: revoked, of a revoked grant, or
    /// not there. What can no longer be told apart from what never was counts as revoked.
    fn revoked_among(
        &self,
        grants: Vec<GrantId>,
        access_tokens: Vec<Digest>,
    ) -> impl Future<Output = Result<Revocation, StoreError>> + Send;

    /// What other machines revoke, where the store is shared by several: the same feed at each
    /// call. `None`, unless implemented, says that nobody else changes this store.
    fn feed(&self) -> Option<Feed> {
        None
    }

    /// Revokes, and says what that reached.
    ///
    /// Where this takes several steps, consents go in the first, and grants only once all of them
    /// are gone: whoever issued by a consent meanwhile looks for it afterwards, and takes back what
    /// was issued when it is not there.
    fn revoke(
        &self,
        target: RevokeTarget,
        now: Timestamp,
    ) -> impl Future<Output = Result<Revocation, StoreError>> + Send;

    /// The grants of one user that are neither revoked nor expired. There can be any number: this
    /// may be read in several steps, so that nobody else waits for the whole.
    fn grants(
        &self,
        subject: Subject,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<GrantRecord>, StoreError>> + Send;

    /// What one user allowed one client at one resource, by answers that went to one destination, or
    /// to a device where there is none.
    fn consent(
        &self,
        subject: Subject,
        client: ClientId,
        resource: ResourceUri,
        destination: Option<Destination>,
    ) -> impl Future<Output = Result<Option<ConsentRecord>, StoreError>> + Send;

    /// Everything one user allowed: the material of a "connected apps" page.
    fn consents(
        &self,
        subject: Subject,
    ) -> impl Future<Output = Result<Vec<ConsentRecord>, StoreError>> + Send;

    /// The keys of one purpose, expired but unswept ones too, lowest number first.
    fn keys(
        &self,
        purpose: KeyPurpose,
    ) -> impl Future<Output = Result<Vec<KeyRecord>, StoreError>> + Send;

    /// Adds a key if its number is the next one of its purpose (the first is 0), and returns the
    /// keys of that purpose that have not expired `now`, lowest number first: of several nodes
    /// that make one at once one wins, and all see the same keys. The older keys that were in use
    /// retire `now` and expire after `overlap`.
    fn add_key(
        &self,
        key: KeyRecord,
        overlap: Duration,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<KeyRecord>, StoreError>> + Send;

    /// Removes up to `limit` expired records and returns how many it removed. Touches no record
    /// that has not expired.
    fn sweep(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Reads up to `limit` records from `cursor` on (from the start without one).
    fn export(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> impl Future<Output = Result<ExportPage, StoreError>> + Send;

    /// Stores records as they are; one that is there already is replaced.
    fn import(&self, records: Vec<Record>) -> impl Future<Output = Result<(), StoreError>> + Send;
}
