//! Rows by the million, as grants and their tokens leave them, and what they take.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tower_mcp_auth::{
    ClientId, Digest, GrantId, ResourceUri, Scopes, Store, Subject, Timestamp,
    store::record::{AccessTokenRecord, GrantHolder, GrantRecord, Record},
};

const CHUNK: usize = 500;
const FAR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_secs(now.as_secs())
}

/// Tokens that were stored together and expire together.
pub struct Generation {
    number: usize,
    grants: Vec<GrantId>,
}

impl Generation {
    /// The first one.
    pub async fn fill(store: &impl Store, count: usize) -> Self {
        let first = Self {
            number: 0,
            grants: (0..count).map(|_| GrantId::random()).collect(),
        };
        first.store(store, now().plus(FAR)).await;
        first
    }

    /// Another one as large, while this one has expired and waits to be swept.
    pub async fn replaced(self, store: &impl Store, count: usize) -> Self {
        self.store(store, Timestamp::from_secs(now().as_secs() - 3600))
            .await;
        let next = Self {
            number: self.number + 1,
            grants: (0..count).map(|_| GrantId::random()).collect(),
        };
        next.store(store, now().plus(FAR)).await;
        next
    }

    async fn store(&self, store: &impl Store, expires_at: Timestamp) {
        for (chunk, grants) in self.grants.chunks(CHUNK).enumerate() {
            let first = chunk * CHUNK;
            let records = grants.iter().enumerate();
            let records =
                records.flat_map(|(place, grant)| self.records(first + place, *grant, expires_at));
            store.import(records.collect()).await.unwrap();
        }
    }

    /// Each is somebody else's; they share a hundred clients.
    fn records(&self, index: usize, id: GrantId, expires_at: Timestamp) -> [Record; 2] {
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
        let digest = Digest::of(&format!("{} {index}", self.number));
        [
            Record::Grant(grant),
            Record::AccessToken {
                digest,
                record: token,
            },
        ]
    }
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
