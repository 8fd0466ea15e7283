//! What the server says of its own memory, at start: whether it keeps on disk what it acknowledges.

use std::collections::HashMap;

use super::{keys::Keys, link::Link};
use crate::store::StoreError;

/// What is wrong with a server's settings, in the words of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    /// Nothing is written to disk.
    NothingKept,
    /// The disk has what was there minutes ago.
    OnlySnapshots,
    /// A power cut takes along what was acknowledged just before.
    SyncedLater,
    /// Nobody but the system says when the disk has it.
    SyncedAtLast,
    /// Where memory is short, keys go before their time.
    MayEvict,
    /// The server does not say.
    Unknown,
}

/// Writes down what whoever runs the server ought to know.
pub(super) async fn check(link: &Link, keys: &Keys) {
    match settings(link, keys).await {
        Ok(settings) => concerns(&settings).into_iter().for_each(tell),
        Err(_) => tell(Concern::Unknown),
    }
}

async fn settings(link: &Link, keys: &Keys) -> Result<HashMap<String, String>, StoreError> {
    let mut settings = HashMap::new();
    for name in [
        "appendonly",
        "appendfsync",
        "save",
        "maxmemory",
        "maxmemory-policy",
    ] {
        // One by one: not every version takes several.
        let mut command = ::redis::cmd("CONFIG");
        command.arg("GET").arg(name);
        let found: HashMap<String, String> = link.query_at(&keys.schema(), &command).await?;
        settings.extend(found);
    }
    Ok(settings)
}

fn concerns(settings: &HashMap<String, String>) -> Vec<Concern> {
    let setting = |name| settings.get(name).map(String::as_str);
    let mut concerns = Vec::new();
    match (setting("appendonly"), setting("appendfsync")) {
        (Some("yes"), Some("always")) => {}
        (Some("yes"), Some("no")) => concerns.push(Concern::SyncedAtLast),
        (Some("yes"), _) => concerns.push(Concern::SyncedLater),
        (Some(_), _) if setting("save") == Some("") => concerns.push(Concern::NothingKept),
        (Some(_), _) => concerns.push(Concern::OnlySnapshots),
        (None, _) => concerns.push(Concern::Unknown),
    }
    let is_bounded = setting("maxmemory") != Some("0");
    if is_bounded && setting("maxmemory-policy").is_some_and(|policy| policy != "noeviction") {
        concerns.push(Concern::MayEvict);
    }
    concerns
}

#[cfg(feature = "tracing")]
fn tell(concern: Concern) {
    match concern {
        Concern::NothingKept => tracing::warn!(
            "this Redis keeps nothing on disk: when it stops, all sign-ins, revocations and \
             registrations are forgotten (set appendonly yes and appendfsync always)"
        ),
        Concern::OnlySnapshots => tracing::warn!(
            "this Redis keeps only snapshots on disk: when it stops, minutes of sign-ins, \
             revocations and registrations are forgotten (set appendonly yes and appendfsync always)"
        ),
        Concern::SyncedLater => tracing::info!(
            "this Redis syncs its disk later than it answers: a power cut takes along about a \
             second of sign-ins and revocations (set appendfsync always)"
        ),
        Concern::SyncedAtLast => tracing::warn!(
            "this Redis leaves it to the system when its disk is synced: a power cut takes along half \
             a minute of sign-ins and revocations (set appendfsync always)"
        ),
        Concern::MayEvict => tracing::warn!(
            "this Redis may evict keys when its memory is full, revocations among them \
             (set maxmemory-policy noeviction)"
        ),
        Concern::Unknown => tracing::info!(
            "this Redis does not say what it keeps on disk: see to it that it is persistent and \
             evicts nothing"
        ),
    }
}

#[cfg(not(feature = "tracing"))]
fn tell(_: Concern) {}

#[cfg(test)]
mod tests {
    use super::{Concern::*, *};

    fn of(settings: &[(&str, &str)]) -> Vec<Concern> {
        let settings = settings.iter();
        let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        concerns(&settings.collect())
    }

    #[test]
    fn whatever_keeps_less_than_was_acknowledged_is_a_concern() {
        let never = [("save", ""), ("maxmemory", "0")];
        let with = |appendonly, appendfsync| {
            of(&[
                &never[..],
                &[("appendonly", appendonly), ("appendfsync", appendfsync)],
            ]
            .concat())
        };
        assert_eq!(with("yes", "always"), []);
        assert_eq!(with("yes", "everysec"), [SyncedLater]);
        assert_eq!(with("yes", "no"), [SyncedAtLast]);
        assert_eq!(with("no", "always"), [NothingKept]);
        let snapshots = [("appendonly", "no"), ("save", "3600 1"), ("maxmemory", "0")];
        assert_eq!(of(&snapshots), [OnlySnapshots]);
        assert_eq!(of(&[]), [Unknown]);
    }

    #[test]
    fn a_full_memory_is_a_concern_where_something_would_be_evicted() {
        let safe = [("appendonly", "yes"), ("appendfsync", "always")];
        let with = |maxmemory, policy| {
            of(&[
                &safe[..],
                &[("maxmemory", maxmemory), ("maxmemory-policy", policy)],
            ]
            .concat())
        };
        assert_eq!(with("100000", "volatile-lru"), [MayEvict]);
        assert_eq!(with("100000", "noeviction"), []);
        assert_eq!(with("0", "allkeys-lru"), [], "it has no bound");
    }
}
