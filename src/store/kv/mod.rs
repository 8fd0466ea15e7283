//! What the engines that keep one ordered map share: the layout of the map, and every operation
//! as one function over a transaction. An engine brings reads, writes and scans.

pub(crate) mod devices;
pub(crate) mod keys;
pub(crate) mod ops;
pub(crate) mod revoke;
pub(crate) mod table;
pub(crate) mod upkeep;

use self::table::{Table, index_keys};
use crate::clock::Timestamp;

/// Reads single rows.
pub(crate) trait Read {
    /// What can go wrong.
    type Error;

    /// The row of that key.
    fn read<T: Table>(&mut self, key: &[u8]) -> Result<Option<T>, Self::Error>;
}

/// One transaction of an engine: all of its writes happen, or none.
///
/// `put` and `remove` keep indexes and counters true; nothing else writes rows.
pub(crate) trait Tx: Read {
    /// Writes a row and nothing else.
    fn write<T: Table>(&mut self, key: &[u8], row: &T) -> Result<(), Self::Error>;
    /// Writes a row whose key says everything.
    fn mark(&mut self, key: &[u8]) -> Result<(), Self::Error>;
    /// Removes a row and nothing else.
    fn erase(&mut self, key: &[u8]) -> Result<(), Self::Error>;
    /// Reads a counter; one that was never written is 0.
    fn count(&mut self, counter: &'static [u8]) -> Result<u64, Self::Error>;
    /// Writes a counter.
    fn set_count(&mut self, counter: &'static [u8], value: u64) -> Result<(), Self::Error>;
    /// Sees to it that a sweep finds the row of that key once it has expired, which is `after`
    /// now and was `before`; `None` for never, or where there is no row.
    fn expires(
        &mut self,
        key: &[u8],
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) -> Result<(), Self::Error>;

    /// Stores a row, whether or not there was one before.
    fn put<T: Table>(&mut self, key: &[u8], row: &T) -> Result<(), Self::Error> {
        let old = self.read::<T>(key)?;
        self.replace(key, old.as_ref(), row)
    }

    /// As [`put`](Self::put), where it is known which row there was.
    fn replace<T: Table>(
        &mut self,
        key: &[u8],
        old: Option<&T>,
        row: &T,
    ) -> Result<(), Self::Error> {
        let before = old.map(|old| index_keys(old, key)).unwrap_or_default();
        let after = index_keys(row, key);
        for stale in before.iter().filter(|index| !after.contains(index)) {
            self.erase(stale)?;
        }
        for fresh in after.iter().filter(|index| !before.contains(index)) {
            self.mark(fresh)?;
        }
        self.expires(key, old.and_then(T::expires_at), row.expires_at())?;
        if old.is_none()
            && let Some(counter) = T::COUNTER
        {
            let count = self.count(counter)?;
            self.set_count(counter, count.saturating_add(1))?;
        }
        self.write(key, row)
    }

    /// Removes a row and returns it.
    fn remove<T: Table>(&mut self, key: &[u8]) -> Result<Option<T>, Self::Error> {
        let old = self.read::<T>(key)?;
        if let Some(old) = &old {
            self.take(key, old)?;
        }
        Ok(old)
    }

    /// As [`remove`](Self::remove), where it is known which row there is.
    fn take<T: Table>(&mut self, key: &[u8], old: &T) -> Result<(), Self::Error> {
        for index in index_keys(old, key) {
            self.erase(&index)?;
        }
        self.expires(key, old.expires_at(), None)?;
        if let Some(counter) = T::COUNTER {
            let count = self.count(counter)?;
            self.set_count(counter, count.saturating_sub(1))?;
        }
        self.erase(key)
    }
}
