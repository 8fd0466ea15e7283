//! A store that fails when it is told to.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fmt,
    future::pending,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{task::yield_now, time::sleep};
use tower_mcp_auth::{
    ClientId, Digest, GrantId, MemoryStore, ResourceUri, Subject, Timestamp,
    store::{record::*, *},
};

/// How a call of the store goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and an error comes.
    Before,
    /// An error comes, and it happens a moment later.
    Later,
    /// It happens, and an error comes all the same.
    After,
    /// It takes its time, and others overtake it.
    Delay,
    /// Some of the many things happen, then an error comes.
    Half,
    /// It happens, an error comes, and the call after it fails as well.
    AfterAndNext,
    /// It happens, an error comes, and the call after it never ends.
    AfterAndSilence,
    /// It never ends.
    Silence,
}

/// When and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which call, counted from 0.
    pub at: usize,
    pub fault: Fault,
}

/// Memory with one fault.
#[derive(Clone)]
pub struct Faulty {
    store: Arc<RwLock<Arc<MemoryStore>>>,
    feed: Option<Feed>,
    plan: Arc<Mutex<Option<Plan>>>,
    is_gone: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Faulty {
    pub fn new(plan: Option<Plan>) -> Self {
        Self {
            store: Arc::default(),
            feed: None,
            plan: Arc::new(Mutex::new(plan)),
            is_gone: Arc::default(),
            calls: Arc::default(),
        }
    }

    /// The same memory as another machine sees it, which hears by `feed` of what others revoke.
    pub fn elsewhere(&self, feed: &Feed) -> Self {
        Self {
            store: Arc::clone(&self.store),
            feed: Some(feed.clone()),
            ..Self::new(None)
        }
    }

    /// Everything that was stored is gone, for all machines.
    pub fn lose_everything(&self) {
        *self.store.write().unwrap() = Arc::default();
    }

    /// It cannot be reached from here, until it can again.
    pub fn set_gone(&self, is_gone: bool) {
        self.is_gone.store(is_gone, Ordering::SeqCst);
    }

    fn memory(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store.read().unwrap())
    }

    /// What was called so far.
    pub fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    /// The next call fails.
    pub fn fail_next(&self, fault: Fault) {
        self.fail_at(self.calls().len(), fault);
    }

    pub fn fail_at(&self, at: usize, fault: Fault) {
        *self.plan.lock().unwrap() = Some(Plan { at, fault });
    }

    /// Takes note of a call, and says how it is to fail.
    fn count(&self, name: &'static str) -> Option<Fault> {
        let mut calls = self.calls.lock().unwrap();
        let number = calls.len();
        calls.push(name);
        if self.is_gone.load(Ordering::SeqCst) {
            return Some(Fault::Before);
        }
        let plan = (*self.plan.lock().unwrap())?;
        match plan.fault {
            Fault::AfterAndNext if number == plan.at + 1 => Some(Fault::Before),
            Fault::AfterAndSilence if number == plan.at + 1 => Some(Fault::Silence),
            fault => (number == plan.at).then_some(fault),
        }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

fn broken() -> StoreError {
    StoreError::unavailable("the connection broke")
}

async fn go_wrong<T>(
    fault: Option<Fault>,
    call: impl Future<Output = Result<T, StoreError>>,
    half: impl Future<Output = ()>,
) -> Result<T, StoreError> {
    match fault {
        None => call.await,
        Some(Fault::Before | Fault::Later) => Err(broken()),
        Some(Fault::Silence) => pending().await,
        Some(Fault::After | Fault::AfterAndNext | Fault::AfterAndSilence) => {
            call.await?;
            Err(broken())
        }
        Some(Fault::Half) => {
            half.await;
            Err(broken())
        }
        Some(Fault::Delay) => {
            for _ in 0..50 {
                yield_now().await;
            }
            let answer = call.await;
            for _ in 0..50 {
                yield_now().await;
            }
            answer
        }
    }
}

macro_rules! faulty {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        impl Store for Faulty {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
                let fault = self.count(stringify!($name));
                let store = self.memory();
                if fault == Some(Fault::Later) {
                    tokio::spawn(async move {
                        sleep(Duration::from_millis(50)).await;
                        store.$name($($arg),*).await
                    });
                    return Err(broken());
                }
                let call = store.$name($($arg),*);
                go_wrong(fault, call, async {}).await
            })*

            fn feed(&self) -> Option<Feed> {
                self.feed.clone()
            }

            async fn revoke(
                &self,
                target: RevokeTarget,
                now: Timestamp,
            ) -> Result<Revocation, StoreError> {
                let fault = self.count("revoke");
                let store = self.memory();
                let half = revoke_half(&store, target.clone(), now);
                go_wrong(fault, store.revoke(target, now), half).await
            }

            async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
                let fault = self.count("sweep");
                let store = self.memory();
                let half = async {
                    store.sweep(now, 1).await.unwrap();
                };
                go_wrong(fault, store.sweep(now, limit), half).await
            }
        }
    };
}

/// Only the first of the grants that a revocation is to reach.
async fn revoke_half(store: &MemoryStore, target: RevokeTarget, now: Timestamp) {
    if let RevokeTarget::Subject(subject) = target {
        let grants = store.grants(subject, now).await.unwrap();
        if let Some(first) = grants.first() {
            let target = RevokeTarget::Grant(first.id);
            store.revoke(target, now).await.unwrap();
        }
    }
}

faulty! {
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
    fn grants(subject: Subject, now: Timestamp) -> Vec<GrantRecord>;
    fn consent(subject: Subject, client: ClientId, resource: ResourceUri, destination: Option<Destination>) -> Option<ConsentRecord>;
    fn consents(subject: Subject) -> Vec<ConsentRecord>;
    fn keys(purpose: KeyPurpose) -> Vec<KeyRecord>;
    fn add_key(key: KeyRecord, overlap: Duration, now: Timestamp) -> Vec<KeyRecord>;
    fn export(cursor: Option<Vec<u8>>, limit: usize) -> ExportPage;
    fn import(records: Vec<Record>) -> ();
}
