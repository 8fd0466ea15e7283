//! Programs outside this process: the example server, and the clients that talk to it.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

pub(crate) mod rmcp;
pub(crate) mod scripts;
pub(crate) mod server;

use std::{
    io::Write,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

pub(crate) use self::server::Server;

/// Long enough for a loaded machine; a client that hangs fails its test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Says so where the test harness does not swallow it, or fails where nothing may be missing.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{why}; nothing may be skipped where CI is set"
    );
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// Below `target`, so that `cargo clean` takes it along.
fn cache() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("clients");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Runs a command to its end; its standard output, which is the client's summary.
pub(crate) async fn run(mut command: tokio::process::Command) -> String {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::time::timeout(PATIENCE, command.output())
        .await
        .unwrap_or_else(|_| panic!("{command:?} did not end within {PATIENCE:?}"))
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    assert!(
        status.success(),
        "{command:?}: {status}\n{stdout}\n{}",
        String::from_utf8_lossy(&stderr)
    );
    println!("{}", stdout.trim_end());
    stdout
}
