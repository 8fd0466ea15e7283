//! Shared keys, sweeping and importing, each inside one transaction.

use std::time::Duration;

use super::{
    Read, Tx, keys,
    table::{Table, Used},
};
use crate::{
    clock::Timestamp,
    store::record::{
        AccessTokenRecord, ClientRecord, CodeRecord, ConsentRecord, DeviceRecord, GrantRecord,
        KeyRecord, PendingAuthorization, Record, RefreshTokenRecord,
    },
};

type Result<T, X> = std::result::Result<T, <X as Read>::Error>;

/// Adds the next key of a purpose to those that are stored, lowest number first, and returns the
/// unexpired ones.
pub(crate) fn add_key<X: Tx>(
    tx: &mut X,
    stored: &[KeyRecord],
    key: &KeyRecord,
    overlap: Duration,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, X> {
    let mut all = stored.to_vec();
    let next = all.last().map_or(Some(0), |last| last.id.checked_add(1));
    if next == Some(key.id) {
        for old in all.iter_mut().filter(|old| old.retires_at.is_none()) {
            old.retires_at = Some(now);
            old.expires_at = Some(now.plus(overlap));
            tx.put(&keys::key(old.purpose, old.id), old)?;
        }
        tx.put(&keys::key(key.purpose, key.id), key)?;
        all.push(key.clone());
    }
    all.retain(|key| key.expires_at.is_none_or(|at| now < at));
    Ok(all)
}

/// What one transaction of a sweep takes.
#[derive(Default)]
pub(crate) struct Plan {
    /// How many of the rows that may be due, from the first.
    pub(crate) finished: usize,
    /// The consents that go before them.
    pub(crate) consents: Vec<Vec<u8>>,
}

impl Plan {
    /// How many rows that is.
    pub(crate) fn len(&self) -> usize {
        self.finished + self.consents.len()
    }
}

/// Chooses up to `limit` rows of a sweep: of those that may be `due`, and of the consents that
/// `consents_of` finds for such a one, up to a number. The consents to a client that has expired go
/// with it, since nobody can ask for them again.
pub(crate) fn plan<E>(
    due: &[Vec<u8>],
    limit: usize,
    mut consents_of: impl FnMut(&[u8], usize) -> std::result::Result<Vec<Vec<u8>>, E>,
) -> std::result::Result<Plan, E> {
    let mut plan = Plan::default();
    for key in due {
        plan.consents.extend(consents_of(key, limit - plan.len())?);
        // A client waits until the last of its consents is gone.
        if plan.len() == limit {
            break;
        }
        plan.finished += 1;
    }
    Ok(plan)
}

/// Removes those of the rows `due` that have expired, with the `consents` that go with them;
/// others are due again when they expire. Returns how many records it removed.
pub(crate) fn sweep<X: Tx>(
    tx: &mut X,
    due: &[Vec<u8>],
    consents: &[Vec<u8>],
    now: Timestamp,
) -> Result<usize, X> {
    let mut removed = 0;
    for consent in consents {
        removed += usize::from(tx.remove::<ConsentRecord>(consent)?.is_some());
    }
    for key in due {
        let gone = match key.first() {
            Some(&keys::ACCESS_TOKEN) => take_expired::<AccessTokenRecord, X>(tx, key, now)?,
            Some(&keys::CLIENT) => take_expired::<ClientRecord, X>(tx, key, now)?,
            Some(&keys::CODE) => take_expired::<CodeRecord, X>(tx, key, now)?,
            Some(&keys::GRANT) => take_expired::<GrantRecord, X>(tx, key, now)?,
            Some(&keys::REFRESH_TOKEN) => take_expired::<RefreshTokenRecord, X>(tx, key, now)?,
            Some(&keys::KEY) => take_expired::<KeyRecord, X>(tx, key, now)?,
            Some(&keys::USED) => take_expired::<Used, X>(tx, key, now)?,
            Some(&keys::DEVICE) => take_expired::<DeviceRecord, X>(tx, key, now)?,
            Some(&keys::PENDING) => take_expired::<PendingAuthorization, X>(tx, key, now)?,
            _ => false,
        };
        removed += usize::from(gone);
    }
    Ok(removed)
}

fn take_expired<T: Table, X: Tx>(tx: &mut X, key: &[u8], now: Timestamp) -> Result<bool, X> {
    let Some(row) = tx.read::<T>(key)? else {
        return Ok(false);
    };
    match row.expires_at() {
        Some(at) if at <= now => {
            tx.take(key, &row)?;
            Ok(true)
        }
        later => {
            tx.expires(key, None, later)?;
            Ok(false)
        }
    }
}

/// Stores a record as it is.
pub(crate) fn import<X: Tx>(tx: &mut X, record: &Record) -> Result<(), X> {
    match record {
        Record::Client(client) => tx.put(&keys::client(&client.id), client),
        Record::Code { digest, record } => tx.put(&keys::code(digest), record),
        Record::Grant(grant) => tx.put(&keys::grant(&grant.id), grant),
        Record::AccessToken { digest, record } => tx.put(&keys::access_token(digest), record),
        Record::RefreshToken { digest, record } => {
            raise_generation(tx, record)?;
            tx.put(&keys::refresh_token(digest), record)
        }
        Record::Consent(consent) => tx.put(&keys::key_of_consent(consent), consent),
        Record::Key(record) => tx.put(&keys::key(record.purpose, record.id), record),
        Record::Used { digest, expires_at } => {
            let expires_at = *expires_at;
            tx.put(&keys::used(digest), &Used { expires_at })
        }
    }
}

/// Makes a grant know of a generation: grants written before they counted generations do not.
pub(crate) fn raise_generation<X: Tx>(tx: &mut X, token: &RefreshTokenRecord) -> Result<(), X> {
    let key = keys::grant(&token.grant);
    match tx.read::<GrantRecord>(&key)? {
        Some(mut grant) if grant.refresh_generation < token.generation => {
            grant.refresh_generation = token.generation;
            tx.put(&key, &grant)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chooses among rows that are named by how many consents go before them.
    fn plan_of(due: &[u8], limit: usize) -> (usize, usize) {
        let due: Vec<_> = due.iter().map(|consents| vec![*consents]).collect();
        let chosen = plan(&due, limit, |key, room| {
            let found = usize::from(key[0]).min(room);
            Ok::<_, std::convert::Infallible>(vec![key.to_vec(); found])
        });
        let Ok(chosen) = chosen;
        assert_eq!(chosen.len(), chosen.finished + chosen.consents.len());
        (chosen.finished, chosen.consents.len())
    }

    #[test]
    fn no_more_rows_are_chosen_than_may_be() {
        assert_eq!(plan_of(&[], 4), (0, 0));
        assert_eq!(plan_of(&[0, 0, 0], 4), (3, 0));
        assert_eq!(plan_of(&[0, 0, 0], 2), (2, 0));
        assert_eq!(plan_of(&[2, 1, 0], 100), (3, 3));
    }

    #[test]
    fn a_client_waits_until_the_last_of_its_consents_is_gone() {
        assert_eq!(plan_of(&[9], 4), (0, 4));
        assert_eq!(plan_of(&[4], 4), (0, 4));
        assert_eq!(plan_of(&[3], 4), (1, 3));
        assert_eq!(plan_of(&[2, 5, 0], 4), (1, 3));
        assert_eq!(plan_of(&[1, 1, 1], 4), (2, 2));
    }
}
