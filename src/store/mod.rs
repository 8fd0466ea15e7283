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
mod kv;
mod memory;
pub mod record;
#[cfg(feature = "sled")]
mod sled;
mod sweeper;
mod transfer;
mod transition;

use std::future::Future;

#[cfg(feature = "sled")]
pub use self::sled::{SledOptions, SledStore};
pub use self::{
    error::StoreError,
    memory::MemoryStore,
    transfer::{TransferError, export, import},
};

pub(crate) use self::{
    erased::{BoxFuture, ErasedStore},
    sweeper::Sweeper,
};

use self::record::{
    AccessTokenRecord, ClientRecord, CodeRecord, ConsentRecord, GrantRecord, KeyPurpose, KeyRecord,
    PendingAuthorization, Record, RefreshTokenRecord,
};
use crate::{
    clock::Timestamp,
    id::{ClientId, Subject},
    secret::{Digest, GrantId},
    uri::ResourceUri,
};

/// What became of [`Store::create_client`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one such value lives for a moment per registration"
)]
#[non_exhaustive]
pub enum CreateClient {
    /// It is stored.
    Created,
    /// A client of that id is there already, unexpired: here it is. Only its expiry was moved
    /// later, if less than half of the time that the new one would have had was left.
    Exists(ClientRecord),
    /// As many clients as allowed are stored.
    Full,
}

/// What became of [`Store::begin_authorization`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeginAuthorization {
    /// It is stored.
    Begun,
    /// As many authorizations as allowed are pending.
    Full,
}

/// Everything that comes into being when a user approves.
#[derive(Clone, Debug)]
pub struct IssueCode {
    /// The pending authorization this answers; it is used up. `None` where the answer needed no
    /// page.
    pub pending: Option<Digest>,
    /// Digest of the new code.
    pub digest: Digest,
    /// The code.
    pub code: CodeRecord,
    /// The grant it will give, not revoked.
    pub grant: GrantRecord,
    /// The consent to remember; its scopes are added to what is remembered already for the same
    /// subject, client and resource.
    pub consent: Option<ConsentRecord>,
    /// Move the registered client's expiry to at least here.
    pub renew_client: Option<Timestamp>,
}

/// What became of [`Store::issue_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssueCodeOutcome {
    /// Code, grant and consent are stored.
    Issued,
    /// The pending authorization was answered before, or has expired. Nothing changed.
    Gone,
}

/// The tokens that a code is redeemed for.
#[derive(Clone, Debug)]
pub struct RedeemCode {
    /// Digest of the code.
    pub code: Digest,
    /// The access token.
    pub access: (Digest, AccessTokenRecord),
    /// The refresh token of generation 0, if one is issued.
    pub refresh: Option<(Digest, RefreshTokenRecord)>,
    /// Move the registered client's expiry to at least here.
    pub renew_client: Option<Timestamp>,
}

/// What became of [`Store::redeem_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedeemCodeOutcome {
    /// The tokens are stored and the code is used up.
    Redeemed,
    /// The code was redeemed before. Its grant is revoked now, by this very operation.
    Replayed(GrantId),
    /// The grant was revoked before the code was redeemed.
    Revoked,
    /// The code's time is over.
    Expired,
    /// There is no such code.
    Unknown,
}

/// A refresh, as decided from the records read before.
#[derive(Clone, Debug)]
pub struct RotateRefresh {
    /// Digest of the token presented.
    pub presented: Digest,
    /// Digest of its successor.
    pub successor: Digest,
    /// When the successor expires.
    pub successor_expires_at: Timestamp,
    /// The key the successor was derived with.
    pub key: u32,
    /// The access token.
    pub access: (Digest, AccessTokenRecord),
    /// How long after its first use the presented token is still answered, in seconds. The last
    /// second counts whole.
    pub grace: u64,
    /// How many different access tokens one generation may give.
    pub max_access_tokens: u8,
    /// Move the registered client's expiry to at least here.
    pub renew_client: Option<Timestamp>,
}

/// What became of [`Store::rotate_refresh`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RotateRefreshOutcome {
    /// Successor and access token are stored; the presented token is marked as used.
    Rotated,
    /// The presented token was used before, within the grace window, and with the same key: the
    /// caller's successor is the one stored then. The access token is stored too (it was, or it
    /// is one of the few more that a generation may give).
    Repeated {
        /// When the token was first used.
        first_used_at: Timestamp,
    },
    /// As [`Repeated`](Self::Repeated), but the first use derived the successor with another key:
    /// derive it anew with that one. Nothing changed.
    OtherKey {
        /// The key of the first use.
        key: u32,
        /// When the token was first used.
        first_used_at: Timestamp,
    },
    /// The presented token was used before and its window is over, or its successor has been used
    /// too. Its grant is revoked now, by this very operation.
    Replayed(GrantId),
    /// As many different access tokens as allowed were issued for this generation.
    TooManyAccessTokens,
    /// The grant was revoked before.
    Revoked,
    /// The token's time is over.
    Expired,
    /// There is no such token.
    Unknown,
}

/// An access token and whether it is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// The token.
    pub record: AccessTokenRecord,
    /// Whether it, or its grant, was revoked.
    pub revoked: bool,
}

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevokeTarget {
    /// One access token and nothing else.
    AccessToken(Digest),
    /// The grant that a refresh token belongs to, with every token of it.
    RefreshToken(Digest),
    /// One grant, with every token of it.
    Grant(GrantId),
    /// Every grant of one user to one client, and the consents remembered for the two.
    Consent(Subject, ClientId),
    /// Every grant of one user, and all consents of that user.
    Subject(Subject),
    /// Every grant to one client, and all consents to it.
    Client(ClientId),
}

/// What a revocation reached: what caches must forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    /// The grants that are revoked now, those that were so before among them.
    pub grants: Vec<GrantId>,
    /// Single access tokens that are revoked now.
    pub access_tokens: Vec<Digest>,
}

/// One page of [`Store::export`].
#[derive(Clone, Debug, Default)]
pub struct ExportPage {
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<Vec<u8>>,
}

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
///   [`begin_authorization`](Self::begin_authorization) and
///   [`end_authorization`](Self::end_authorization) alone may forget.
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

    /// Forgets a client and revokes all its grants and consents.
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

    /// A refresh token and its grant, whatever their state, for the checks that come before
    /// rotating.
    fn refresh_token(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Option<(RefreshTokenRecord, GrantRecord)>, StoreError>> + Send;

    /// Rotates a refresh token: idempotent within the grace window, a replay outside of it.
    ///
    /// A token whose successor was itself used is a replay at any time: two generations are never
    /// answered at once.
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

    /// Revokes, and says what that reached.
    fn revoke(
        &self,
        target: RevokeTarget,
        now: Timestamp,
    ) -> impl Future<Output = Result<Revocation, StoreError>> + Send;

    /// What one user allowed one client at one resource.
    fn consent(
        &self,
        subject: Subject,
        client: ClientId,
        resource: ResourceUri,
    ) -> impl Future<Output = Result<Option<ConsentRecord>, StoreError>> + Send;

    /// Everything one user allowed: the material of a "connected apps" page.
    fn consents(
        &self,
        subject: Subject,
    ) -> impl Future<Output = Result<Vec<ConsentRecord>, StoreError>> + Send;

    /// The keys of one purpose, lowest number first. Stores `candidate` as number 0 when there is
    /// none yet, so that all nodes agree on one.
    fn keys(
        &self,
        purpose: KeyPurpose,
        candidate: KeyRecord,
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
