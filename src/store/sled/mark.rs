//! How far the store had come, noted beside the database.
//!
//! sled takes a log that ends early for one that was torn by a crash, and opens what is left. So
//! it does with a file that was cut short or damaged in the middle: without a word, revoked tokens
//! and redeemed codes are back. Therefore each change carries a number, and the last number that
//! was made durable is written to a small file after each sync: a database that is behind it has
//! lost what was acknowledged.
//!
//! That file is not synced itself. After a power cut it may say less than the database, which
//! raises no alarm; it never says more.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
};

const NAME: &str = "acknowledged";

pub(super) struct Mark(File);

impl Mark {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(NAME))
            .map(Self)
    }

    /// The number noted last; 0 where there is none that can be made out.
    pub(super) fn read(&mut self) -> io::Result<u64> {
        let mut bytes = Vec::new();
        self.0.rewind()?;
        self.0.read_to_end(&mut bytes)?;
        let words = bytes.split_first_chunk().map(|(number, check)| {
            let check = check.try_into().map(u64::from_be_bytes);
            (u64::from_be_bytes(*number), check)
        });
        Ok(match words {
            Some((number, Ok(check))) if check == !number => number,
            _ => 0,
        })
    }

    pub(super) fn write(&mut self, number: u64) -> io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes[8..].copy_from_slice(&(!number).to_be_bytes());
        self.0.rewind()?;
        self.0.write_all(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_garbage_is_no_mark() {
        let directory = tempfile::tempdir().unwrap();
        let mut mark = Mark::open(directory.path()).unwrap();
        assert_eq!(mark.read().unwrap(), 0);
        for number in [7, u64::MAX, 3] {
            mark.write(number).unwrap();
            let mut again = Mark::open(directory.path()).unwrap();
            assert_eq!(again.read().unwrap(), number);
        }
        for garbage in [&[0; 16][..], &[0; 3], &[9; 16], &[9; 40]] {
            std::fs::write(directory.path().join(NAME), garbage).unwrap();
            assert_eq!(mark.read().unwrap(), 0);
        }
    }
}
