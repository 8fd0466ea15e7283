//! What there is: a store with what a crash leaves of it, calls under way, and what the clients
//! were told.

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::calls::Running;
use crate::{
    clock::Timestamp,
    grant::issue::Lifetimes,
    secret::{Digest, GrantId},
    store::{
        kv::{
            Read, ops,
            table::{Row, Table},
        },
        memory::rows::Rows,
    },
};

/// The bytes of a digest: digests have no order.
pub(super) type Bytes = [u8; 32];

/// When the world begins, in seconds since the Unix epoch.
const BEGINNING: u64 = 1_000_000;

/// How large the world is.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// How many grants the one user may give to the one client.
    pub(super) grants: usize,
    /// How many seconds the second node's clock is ahead.
    pub(super) skew: u64,
    /// How many calls may be under way at once.
    pub(super) calls: usize,
    /// How often each code may be presented, where that makes a difference.
    pub(super) redemptions: u8,
    /// How many generations of refresh tokens there may be after the first.
    pub(super) generations: u32,
    /// Whether the store may crash, once.
    pub(super) crashes: bool,
    /// What may be revoked.
    pub(super) revocations: Vec<Target>,
    /// Whether a refresh may ask for fewer scopes.
    pub(super) narrows: bool,
    /// When the world ends, in seconds.
    pub(super) end: u64,
    pub(super) lifetimes: Lifetimes,
}

/// What somebody revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// One grant, by its newest refresh token.
    RefreshToken(usize),
    /// One grant, by name.
    Grant(usize),
    /// The newest access token of a grant, and nothing else.
    AccessToken(usize),
    /// Everything of the user.
    Subject,
}

/// The state of everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Seconds since the beginning, by a clock that is right.
    pub(super) time: u64,
    /// What every transaction sees.
    pub(super) visible: Arc<Disk>,
    /// What a crash leaves.
    pub(super) durable: Arc<Disk>,
    /// Calls that nobody was answered yet, in one order whichever began first.
    pub(super) calls: Vec<Running>,
    /// What clients know, by grant.
    pub(super) heard: Vec<Heard>,
    /// How often each code was presented.
    pub(super) redemptions: Vec<u8>,
    /// Whether there is a crash to come.
    pub(super) may_crash: bool,
    /// What should never have happened, and did.
    pub(super) wrongs: BTreeSet<Wrong>,
}

/// A step that broke a promise. States are judged by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Wrong {
    /// A code gave tokens twice.
    CodeTwice,
    /// A generation was followed by a second successor.
    SecondSuccessor,
    /// Repeats in time revoked the grant.
    RaceRevoked,
    /// A repeat was answered too late.
    LateRepeat,
    /// Something revoked gave tokens.
    RevokedServed,
    /// Something expired gave tokens.
    ExpiredServed,
    /// A wrong client or a wrong proof was accepted.
    ImpostorServed,
    /// What was good was refused, or a replay went unnoticed.
    Refused,
    /// A revocation did not say what it reached.
    Unreported,
}

/// The rows of the store, and beside them what an observer who misses nothing would know.
pub(super) struct Disk {
    pub(super) rows: Rows,
    /// By grant.
    pub(super) truth: Vec<Truth>,
    /// Of all the above.
    hash: u64,
}

/// What has become of one grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    pub(super) approved: bool,
    /// Whether the user's consent is to be remembered.
    pub(super) consented: bool,
    pub(super) redeemed: bool,
    pub(super) revoked: bool,
    /// For each generation that was used: when first, by the right clock, and on which node.
    pub(super) first_use: Vec<(u64, usize)>,
    /// Access tokens that were revoked alone.
    pub(super) dead: BTreeSet<Bytes>,
}

/// What the client was told about one grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Heard {
    /// When the code expires, once it was given.
    pub(super) code_until: Option<u64>,
    pub(super) tokens: BTreeSet<Tokens>,
    /// Whether somebody was told that the grant is revoked.
    pub(super) revoked: bool,
    /// Access tokens of which somebody was told that they are revoked.
    pub(super) dead: BTreeSet<Bytes>,
}

/// One answer of the token endpoint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tokens {
    /// Of the refresh token.
    pub(super) generation: u32,
    pub(super) refresh: String,
    /// From when on the refresh token is refused, in the clock of whoever issued it.
    pub(super) refresh_until: u64,
    pub(super) access: Bytes,
    pub(super) access_until: u64,
    /// The refresh token that was used for it.
    pub(super) used: Option<Bytes>,
}

impl World {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let empty = Arc::new(Disk::new(
            Rows::default(),
            vec![Truth::default(); bounds.grants],
        ));
        Self {
            time: 0,
            visible: Arc::clone(&empty),
            durable: empty,
            calls: Vec::new(),
            heard: vec![Heard::default(); bounds.grants],
            redemptions: vec![0; bounds.grants],
            may_crash: bounds.crashes,
            wrongs: BTreeSet::new(),
        }
    }

    /// The clock of a node.
    pub(super) fn clock(&self, bounds: &Bounds, node: usize) -> Timestamp {
        let ahead = if node == 0 { 0 } else { bounds.skew };
        Timestamp::from_secs(BEGINNING + self.time + ahead)
    }

    /// The clock that is the furthest behind.
    pub(super) fn slowest(&self, bounds: &Bounds) -> u64 {
        self.clock(bounds, 0).as_secs()
    }

    /// The clock that is the furthest ahead.
    pub(super) fn fastest(&self, bounds: &Bounds) -> u64 {
        self.clock(bounds, 1).as_secs()
    }

    /// What expired until then may be swept: by every clock it has.
    pub(super) fn swept_until(&self, bounds: &Bounds) -> u64 {
        // A sweep keeps what has only just expired; no two clocks differ by more than that.
        let slack = bounds.skew;
        self.fastest(bounds) - slack
    }

    /// The refresh tokens of a grant that somebody has, oldest first.
    pub(super) fn refresh_tokens(&self, grant: usize) -> Vec<(u32, &str)> {
        let tokens = self.heard[grant].tokens.iter();
        let mut known: Vec<_> = tokens
            .map(|tokens| (tokens.generation, &*tokens.refresh))
            .collect();
        known.dedup();
        known
    }

    /// Puts calls into one order: it makes no difference which of two is called the first.
    pub(super) fn order_calls(&mut self) {
        self.calls.sort_by_cached_key(hash_of);
    }
}

impl Disk {
    pub(super) fn new(rows: Rows, truth: Vec<Truth>) -> Self {
        let mut hasher = DefaultHasher::new();
        for (key, row) in rows.range(&[], None) {
            key.hash(&mut hasher);
            hash_row(row, &mut hasher);
        }
        truth.hash(&mut hasher);
        Self {
            rows,
            truth,
            hash: hasher.finish(),
        }
    }

    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.row(key).is_some()
    }

    pub(super) fn get<T: Table>(&self, key: &[u8]) -> Option<T> {
        ops::found(self.row(key))
    }

    fn row(&self, key: &[u8]) -> Option<&Row> {
        let next = self.rows.range(key, None).next();
        next.filter(|(found, _)| *found == key).map(|(_, row)| row)
    }

    /// Whether a node whose clock shows `now` would let that access token pass.
    pub(super) fn serves(&self, access: &Bytes, now: u64) -> bool {
        let Ok(found) = ops::access_token(&mut Peek(self), &Digest::from_bytes(*access));
        found.is_some_and(|token| !token.revoked && now < token.record.expires_at.as_secs())
    }
}

/// The name of the grant that has this number.
pub(super) fn grant_id(grant: usize) -> GrantId {
    GrantId::from_bytes([u8::try_from(grant).unwrap_or(u8::MAX); 16])
}

/// Reads without a lock: nobody changes a disk.
pub(super) struct Peek<'a>(pub(super) &'a Disk);

impl Read for Peek<'_> {
    type Error = std::convert::Infallible;

    fn read<T: Table>(&mut self, key: &[u8]) -> Result<Option<T>, Self::Error> {
        Ok(self.0.get(key))
    }
}

fn hash_row(row: &Row, hasher: &mut DefaultHasher) {
    match row {
        Row::Mark => {}
        Row::Count(count) => count.hash(hasher),
        Row::Code(row) => row.hash(hasher),
        Row::Grant(row) => row.hash(hasher),
        Row::AccessToken(row) => row.hash(hasher),
        Row::RefreshToken(row) => row.hash(hasher),
        Row::Consent(row) => row.hash(hasher),
        other => format!("{other:?}").hash(hasher),
    }
}

fn hash_of<T: Hash>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl PartialEq for Disk {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.truth == other.truth && self.rows == other.rows
    }
}

impl Eq for Disk {}

impl Hash for Disk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("truth", &self.truth)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.refresh.chars().take(15).collect();
        write!(f, "Tokens({}: {start}..)", self.generation)
    }
}
