//! One call of a store, and its answer as text: what two stores answer can be compared.

use std::{fmt::Debug, time::Duration};

use tower_mcp_auth::{
    ClientId, Digest, GrantId, ResourceUri, Subject, Timestamp,
    store::{record::*, *},
};

/// What is asked.
#[derive(Clone, Debug)]
pub enum Call {
    CreateClient(ClientRecord, u64),
    Client(ClientId),
    UpdateClient(ClientRecord),
    DeleteClient(ClientId),
    Begin(Digest, PendingAuthorization, u64),
    Pending(Digest),
    End(Digest),
    IssueCode(IssueCode),
    Code(Digest),
    RedeemCode(RedeemCode),
    IssueTokens(IssueTokens, u64),
    UseOnce(Digest, Timestamp, u64),
    BeginDevice(Digest, DeviceRecord, u64),
    Device(Digest),
    DecideDevice(Digest, DecideDevice),
    PollDevice(Digest, ClientId),
    RedeemDevice(Digest, DeviceTokens),
    RefreshToken(Digest),
    Rotate(RotateRefresh),
    AccessToken(Digest),
    Among(Vec<GrantId>, Vec<Digest>),
    Revoke(RevokeTarget),
    Grants(Subject),
    Consent(Subject, ClientId, ResourceUri, Option<Destination>),
    Consents(Subject),
    Keys(KeyPurpose),
    AddKey(KeyRecord, Duration),
    Sweep,
}

impl Call {
    /// Asks `store`, and says what came, errors too.
    pub async fn ask(self, store: &impl Store, now: Timestamp) -> String {
        match self {
            Self::CreateClient(client, max) => said(store.create_client(client, max, now).await),
            Self::Client(id) => said(store.client(id, now).await),
            Self::UpdateClient(client) => said(store.update_client(client, now).await),
            Self::DeleteClient(id) => said(store.delete_client(id, now).await.map(sorted)),
            Self::Begin(id, pending, max) => {
                said(store.begin_authorization(id, pending, max, now).await)
            }
            Self::Pending(id) => said(store.pending_authorization(id, now).await),
            Self::End(id) => said(store.end_authorization(id, now).await),
            Self::IssueCode(issue) => said(store.issue_code(issue, now).await),
            Self::Code(digest) => said(store.code(digest).await),
            Self::RedeemCode(redeem) => said(store.redeem_code(redeem, now).await),
            Self::IssueTokens(issue, max) => said(store.issue_tokens(issue, max, now).await),
            Self::UseOnce(digest, until, max) => {
                said(store.use_once(digest, until, max, now).await)
            }
            Self::BeginDevice(device, record, max) => {
                said(store.begin_device(device, record, max, now).await)
            }
            Self::Device(code) => said(store.device_by_user_code(code, now).await),
            Self::DecideDevice(code, decision) => {
                said(store.decide_device(code, decision, now).await)
            }
            Self::PollDevice(device, client) => said(store.poll_device(device, client, now).await),
            Self::RedeemDevice(device, tokens) => {
                said(store.redeem_device(device, tokens, now).await)
            }
            Self::RefreshToken(digest) => said(store.refresh_token(digest).await),
            Self::Rotate(rotate) => said(store.rotate_refresh(rotate, now).await),
            Self::AccessToken(digest) => said(store.access_token(digest).await),
            Self::Among(grants, tokens) => said(store.revoked_among(grants, tokens).await),
            Self::Revoke(target) => said(store.revoke(target, now).await.map(sorted)),
            Self::Grants(subject) => said(store.grants(subject, now).await.map(by_text)),
            Self::Consent(subject, client, resource, destination) => {
                said(store.consent(subject, client, resource, destination).await)
            }
            Self::Consents(subject) => said(store.consents(subject).await.map(by_text)),
            Self::Keys(purpose) => said(store.keys(purpose).await.map(keys)),
            Self::AddKey(key, overlap) => said(store.add_key(key, overlap, now).await.map(keys)),
            Self::Sweep => said(store.sweep(now, usize::MAX).await),
        }
    }
}

/// Everything in `store` that an export carries, in one order.
pub async fn contents(store: &impl Store) -> Vec<String> {
    let (mut lines, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.export(cursor, 7).await.unwrap();
        let records = page.records.iter();
        lines.extend(records.map(|record| serde_json::to_string(record).unwrap()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    lines.sort();
    lines
}

fn said<T: Debug>(answer: Result<T, StoreError>) -> String {
    format!("{answer:?}")
}

fn sorted(mut reached: Revocation) -> Revocation {
    reached.grants.sort();
    reached
}

fn by_text<T: Debug>(rows: Vec<T>) -> Vec<String> {
    let mut rows: Vec<_> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

/// `Debug` hides the keys themselves.
fn keys(keys: Vec<KeyRecord>) -> Vec<String> {
    keys.iter()
        .map(|key| serde_json::to_string(key).unwrap())
        .collect()
}
