//! A whole store as JSON lines, and back: nothing is lost and nothing is added. The lines go through
//! pipes that hold next to nothing, so they need not fit into memory.
//!
//! 20,000 records unless `TRANSFER_RECORDS` says otherwise.
#![cfg(feature = "sled")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "common/flow.rs"]
mod flow;

use std::{
    io::{self, BufReader, Write},
    path::Path,
    thread,
    time::Instant,
};

use flow::Flow;
use sha2::{Digest, Sha256};
use tower_mcp_auth::store::{SledStore, export, import};

/// The sum of the lines' digests: the same in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    lines: u64,
    bytes: u64,
    words: [u64; 4],
}

/// Adds up what passes through.
struct Summing<W> {
    inner: W,
    line: Vec<u8>,
    sum: Sum,
}

impl<W> Summing<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            line: Vec::new(),
            sum: Sum::default(),
        }
    }
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.bytes += written as u64;
        for part in bytes[..written].split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let digest = Sha256::digest(&self.line);
                for (word, bytes) in self.sum.words.iter_mut().zip(digest.chunks_exact(8)) {
                    let bytes = bytes.try_into().unwrap();
                    *word = word.wrapping_add(u64::from_be_bytes(bytes));
                }
                self.sum.lines += 1;
                self.line.clear();
            }
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}

/// What comes out of a store, and on into `writer`.
fn out_of(path: &Path, writer: impl Write) -> Sum {
    let store = SledStore::open(path).unwrap();
    let mut summing = Summing::new(writer);
    let count = block_on(export(&store, &mut summing)).unwrap();
    assert_eq!(count, summing.sum.lines);
    summing.sum
}

/// Everything that `make` writes goes into a new store, through a pipe that holds next to nothing.
fn into(path: &Path, make: impl FnOnce(io::PipeWriter) -> Sum + Send) -> Sum {
    let (reader, writer) = io::pipe().unwrap();
    thread::scope(|scope| {
        let making = scope.spawn(|| make(writer));
        let store = SledStore::open(path).unwrap();
        let count = block_on(import(&store, BufReader::new(reader))).unwrap();
        let sum = making.join().unwrap();
        assert_eq!(count, sum.lines);
        sum
    })
}

/// The most memory that this process ever had, in MiB.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib / 1024
}

#[test]
fn a_store_goes_through_lines_into_another_and_is_the_same() {
    let records: usize = match std::env::var("TRANSFER_RECORDS") {
        Ok(number) => number.parse().unwrap(),
        Err(_) => 20_000,
    };
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (
        directory.path().join("first"),
        directory.path().join("second"),
    );
    let began = Instant::now();
    let made = into(&first, |writer| {
        let mut summing = Summing::new(io::BufWriter::new(writer));
        let flows = (0..).map(|number| Flow::new(&number.to_string()));
        for record in flows.flat_map(|flow| flow.records()).take(records) {
            serde_json::to_writer(&mut summing, &record).unwrap();
            summing.write_all(b"\n").unwrap();
        }
        summing.flush().unwrap();
        summing.sum
    });
    assert_eq!(made.lines, records as u64);
    eprintln!("{records} records made and stored: {:?}", began.elapsed());
    let moved = into(&second, |writer| out_of(&first, io::BufWriter::new(writer)));
    assert_eq!(moved, made);
    eprintln!("and moved to another store: {:?}", began.elapsed());
    assert_eq!(out_of(&second, io::sink()), made);
    eprintln!(
        "and read again: {:?}; {} bytes of lines, digest {:016x?}",
        began.elapsed(),
        made.bytes,
        made.words
    );
    #[cfg(target_os = "linux")]
    eprintln!("at most {} MiB of memory", peak());

    let last = Flow::new(&((records / 9).max(1) - 1).to_string());
    let store = SledStore::open(&second).unwrap();
    assert!(block_on(last.is_live(&store)).unwrap());
}
