//! [`Store`] without a type parameter. Boxing happens here, and so only where a store is asked:
//! never on a cache hit.

use std::{future::Future, pin::Pin, sync::Arc};

use super::*;

/// A boxed future, as an erased store returns it.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store that never answers.
#[cfg(test)]
pub(crate) struct Stuck;

macro_rules! erase {
    (
        $($(#[$when:meta])* fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*
        // Never asked for by a request, so never erased.
        whole: $(fn $whole:ident($($warg:ident: $wtype:ty),*) -> $wout:ty;)*
    ) => {
        /// The object-safe face of every [`Store`].
        pub(crate) trait ErasedStore: Send + Sync + 'static {
            $($(#[$when])* fn $name(&self, $($arg: $type),*) -> BoxFuture<'_, Result<$out, StoreError>>;)*
            fn feed(&self) -> Option<Feed>;
        }

        impl<S: Store> ErasedStore for S {
            $($(#[$when])* fn $name(&self, $($arg: $type),*) -> BoxFuture<'_, Result<$out, StoreError>> {
                Box::pin(Store::$name(self, $($arg),*))
            })*

            fn feed(&self) -> Option<Feed> {
                Store::feed(self)
            }
        }

        #[cfg(test)]
        impl Store for Stuck {
            $(fn $name(&self, $($arg: $type),*) -> impl Future<Output = Result<$out, StoreError>> + Send {
                $(let _ = $arg;)*
                std::future::pending()
            })*
            $(fn $whole(&self, $($warg: $wtype),*) -> impl Future<Output = Result<$wout, StoreError>> + Send {
                $(let _ = $warg;)*
                std::future::pending()
            })*
        }

        /// A shared store is a store: keep a handle for operations of your own.
        impl<S: Store> Store for Arc<S> {
            $(fn $name(&self, $($arg: $type),*) -> impl Future<Output = Result<$out, StoreError>> + Send {
                S::$name(self, $($arg),*)
            })*
            $(fn $whole(&self, $($warg: $wtype),*) -> impl Future<Output = Result<$wout, StoreError>> + Send {
                S::$whole(self, $($warg),*)
            })*

            fn feed(&self) -> Option<Feed> {
                S::feed(self)
            }
        }
    };
}

erase! {
    fn create_client(client: ClientRecord, max: u64, now: Timestamp) -> CreateClient;
    fn client(id: ClientId, now: Timestamp) -> Option<ClientRecord>;
    fn update_client(client: ClientRecord, now: Timestamp) -> bool;
    fn delete_client(id: ClientId, now: Timestamp) -> Revocation;
    fn begin_authorization(id: Digest, pending: PendingAuthorization, max: u64, now: Timestamp) -> BeginAuthorization;
    fn pending_authorization(id: Digest, now: Timestamp) -> Option<PendingAuthorization>;
    fn end_authorization(id: Digest, now: Timestamp) -> Option<PendingAuthorization>;
    fn issue_code(issue: IssueCode, now: Timestamp) -> IssueCodeOutcome;
    fn code(digest: Digest) -> Option<(CodeRecord, GrantRecord)>;
    fn redeem_code(redeem: RedeemCode, now: Timestamp) -> RedeemCodeOutcome;
    fn issue_tokens(issue: IssueTokens, max_used: u64, now: Timestamp) -> IssueTokensOutcome;
    #[cfg_attr(not(feature = "jwt"), allow(dead_code, reason = "only signed tokens are good once"))]
    fn use_once(digest: Digest, expires_at: Timestamp, max: u64, now: Timestamp) -> UseOnce;
    fn begin_device(device: Digest, record: DeviceRecord, max: u64, now: Timestamp) -> BeginDevice;
    fn device_by_user_code(user_code: Digest, now: Timestamp) -> Option<DeviceRecord>;
    fn decide_device(user_code: Digest, decision: DecideDevice, now: Timestamp) -> bool;
    fn poll_device(device: Digest, client: ClientId, now: Timestamp) -> PollDevice;
    fn redeem_device(device: Digest, redeem: DeviceTokens, now: Timestamp) -> RedeemDevice;
    fn refresh_token(digest: Digest) -> Option<(RefreshTokenRecord, GrantRecord)>;
    fn rotate_refresh(rotate: RotateRefresh, now: Timestamp) -> RotateRefreshOutcome;
    fn access_token(digest: Digest) -> Option<AccessToken>;
    fn revoked_among(grants: Vec<GrantId>, access_tokens: Vec<Digest>) -> Revocation;
    fn revoke(target: RevokeTarget, now: Timestamp) -> Revocation;
    fn grants(subject: Subject, now: Timestamp) -> Vec<GrantRecord>;
    fn consent(subject: Subject, client: ClientId, resource: ResourceUri, destination: Option<Destination>) -> Option<ConsentRecord>;
    fn consents(subject: Subject) -> Vec<ConsentRecord>;
    fn keys(purpose: KeyPurpose) -> Vec<KeyRecord>;
    fn add_key(key: KeyRecord, overlap: Duration, now: Timestamp) -> Vec<KeyRecord>;
    fn sweep(now: Timestamp, limit: usize) -> usize;
    whole:
    fn export(cursor: Option<Vec<u8>>, limit: usize) -> ExportPage;
    fn import(records: Vec<Record>) -> ();
}
