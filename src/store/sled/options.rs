//! Settings.

use std::time::Duration;

/// How a [`SledStore`](super::SledStore) runs.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct SledOptions {
    pub(super) cache_capacity: u64,
    background_flush: Duration,
    pub(super) min_free_space: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            cache_capacity: 64 << 20,
            background_flush: Duration::from_millis(250),
            min_free_space: 64 << 20,
        }
    }
}

impl SledOptions {
    /// How many bytes of the database are held in memory; 64 MiB unless told.
    pub fn cache_capacity(mut self, bytes: u64) -> Self {
        self.cache_capacity = bytes;
        self
    }

    /// How often sled writes and tidies up in the background; every 250 ms unless told. What was
    /// acknowledged is durable whatever is set here.
    pub fn background_flush(mut self, every: Duration) -> Self {
        self.background_flush = every;
        self
    }

    /// How many bytes of the disk are left alone; 64 MiB unless told. While no more are free,
    /// whatever adds to the store is answered [`Unavailable`](crate::StoreError::Unavailable);
    /// reading, revoking and sweeping go on, and everything does once there is room again. A disk
    /// that is full to the last byte would leave the store refusing until it is opened anew.
    pub fn min_free_space(mut self, bytes: u64) -> Self {
        self.min_free_space = bytes;
        self
    }

    pub(super) fn background_flush_ms(&self) -> Option<u64> {
        let milliseconds = self.background_flush.as_millis().max(1);
        Some(u64::try_from(milliseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_stays_set() {
        let options = SledOptions::default()
            .cache_capacity(1)
            .background_flush(Duration::from_secs(2))
            .min_free_space(3);
        let SledOptions {
            cache_capacity,
            background_flush,
            min_free_space,
        } = options;
        assert_eq!((cache_capacity, min_free_space), (1, 3));
        assert_eq!(background_flush, Duration::from_secs(2));
        let options = options.cache_capacity(4);
        assert_eq!((options.cache_capacity, options.min_free_space), (4, 3));
        let options = options.min_free_space(5);
        assert_eq!((options.cache_capacity, options.min_free_space), (4, 5));
    }

    /// Told zero, the thread that flushes would never rest.
    #[test]
    fn it_is_flushed_in_whole_milliseconds_and_never_all_the_time() {
        let every = |flush| {
            let options = SledOptions::default().background_flush(flush);
            options.background_flush_ms()
        };
        assert_eq!(SledOptions::default().background_flush_ms(), Some(250));
        assert_eq!(every(Duration::ZERO), Some(1));
        assert_eq!(every(Duration::from_micros(2999)), Some(2));
        assert_eq!(every(Duration::MAX), Some(u64::MAX));
    }
}
