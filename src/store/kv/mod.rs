//! What the engines that keep one ordered map share: the layout of the map, and every operation
//! as one function over a transaction. An engine brings reads, writes and scans.

pub(crate) mod devices;
pub(crate) mod keys;
pub(crate) mod ops;
pub(crate) mod revoke;
pub(crate) mod table;
pub(crate) mod upkeep;

use self::table::{Table, index_keys};

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

    /// Stores a row, whether or not there was one before.
    fn put<T: Table>(&mut self, key: &[u8], row: &T) -> Result<(), Self::Error> {
        let old = self.read::<T>(key)?;
        let before = old.as_ref().map(|old| index_keys(old, key));
        let before = before.unwrap_or_default();
        let after = index_keys(row, key);
        for stale in before.iter().filter(|index| !after.contains(index)) {
            self.erase(stale)?;
        }
        for fresh in after.iter().filter(|index| !before.contains(index)) {
            self.mark(fresh)?;
        }
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
        let Some(old) = self.read::<T>(key)? else {
            return Ok(None);
        };
        for index in index_keys(&old, key) {
            self.erase(&index)?;
        }
        if let Some(counter) = T::COUNTER {
            let count = self.count(counter)?;
            self.set_count(counter, count.saturating_sub(1))?;
        }
        self.erase(key)?;
        Ok(Some(old))
    }
}
