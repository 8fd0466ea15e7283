//! Rows by the million, as grants and their tokens leave them, and what they take.

use std::{
    ops::Range,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tower_mcp_auth::{
    ClientId, Digest, GrantId, ResourceUri, Scopes, Store, Subject, Timestamp,
    store::record::{AccessTokenRecord, GrantHolder, GrantRecord, Record},
};

const CHUNK: usize = 500;
/// In how many parts all tokens are replaced.
const PARTS: usize = 20;
const FAR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_secs(now.as_secs())
}

/// Tokens of grants of their own.
pub struct Tokens(Vec<GrantId>);

impl Tokens {
    pub async fn fill(store: &impl Store, count: usize) -> Self {
        let all = Self(grants(count));
        all.store(store, 0..count, now().plus(FAR)).await;
        all
    }

    /// All are replaced, a part at a time: it expires, is swept, and others come.
    pub async fn turn_over(&mut self, store: &impl Store) {
        let part = self.0.len().div_ceil(PARTS);
        for first in (0..self.0.len()).step_by(part) {
            let part = first..self.0.len().min(first + part);
            self.expire(store, part.clone()).await;
            sweep(store).await;
            self.0[part.clone()].copy_from_slice(&grants(part.len()));
            self.store(store, part, now().plus(FAR)).await;
        }
    }

    /// All wait to be swept.
    pub async fn expire_all(&self, store: &impl Store) {
        self.expire(store, 0..self.0.len()).await;
    }

    async fn expire(&self, store: &impl Store, part: Range<usize>) {
        let past = Timestamp::from_secs(now().as_secs() - 3600);
        self.store(store, part, past).await;
    }

    async fn store(&self, store: &impl Store, part: Range<usize>, expires_at: Timestamp) {
        let all: Vec<_> = part.collect();
        for chunk in all.chunks(CHUNK) {
            let records = chunk.iter();
            let records = records.flat_map(|index| records_of(*index, self.0[*index], expires_at));
            store.import(records.collect()).await.unwrap();
        }
    }
}

fn grants(count: usize) -> Vec<GrantId> {
    (0..count).map(|_| GrantId::random()).collect()
}

/// Each is somebody else's; they share a hundred clients.
fn records_of(index: usize, id: GrantId, expires_at: Timestamp) -> [Record; 2] {
    let grant = GrantRecord {
        id,
        client_id: ClientId::new(format!("client-{}", index % 100)).unwrap(),
        subject: Subject::new(format!("user-{index}")).unwrap(),
        scopes: Scopes::parse("notes:read").unwrap(),
        resource: ResourceUri::parse("https://api.example.com/mcp").unwrap(),
        created_at: now(),
        expires_at,
        revoked_at: None,
        refresh_generation: 0,
        holder: GrantHolder::User,
        auth_time: None,
        dpop_jkt: None,
        session: None,
    };
    let token = AccessTokenRecord {
        grant: id,
        client_id: grant.client_id.clone(),
        subject: grant.subject.clone(),
        scopes: grant.scopes.clone(),
        resource: grant.resource.clone(),
        issued_at: grant.created_at,
        expires_at,
        revoked_at: None,
        holder: GrantHolder::User,
        dpop_jkt: None,
    };
    let digest = Digest::of(&id.to_string());
    [
        Record::Grant(grant),
        Record::AccessToken {
            digest,
            record: token,
        },
    ]
}

/// All that has expired, as the task in the background does it.
pub async fn sweep(store: &impl Store) -> usize {
    let mut all = 0;
    loop {
        let removed = store.sweep(now(), 256).await.unwrap();
        all += removed;
        if removed < 256 {
            return all;
        }
        tokio::task::yield_now().await;
    }
}

/// Bytes of the files, of the store that is closed.
pub fn disk(path: &Path) -> f64 {
    let files = path.read_dir().unwrap().map(|entry| entry.unwrap());
    files
        .map(|entry| match entry.metadata().unwrap() {
            folder if folder.is_dir() => disk(&entry.path()),
            file => file.len() as f64,
        })
        .sum()
}

/// Bytes of the keys and values in them. A task that was just stopped may hold the store a moment
/// longer.
pub fn live(path: &Path) -> f64 {
    let db = loop {
        match sled::open(path) {
            Ok(db) => break db,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let rows = db.iter().map(Result::unwrap);
    rows.map(|(key, value)| (key.len() + value.len()) as f64)
        .sum()
}
