//! rmcp's own client, which is a crate of its own (`tests/rmcp`).

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The program, built.
pub(crate) fn built() -> PathBuf {
    let output = cargo("build").output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    target().join("debug/rmcp-client")
}

/// Cargo, for that crate.
pub(crate) fn cargo(command: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([command, "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rmcp/Cargo.toml"))
        .env("CARGO_TARGET_DIR", target());
    cargo
}

/// The directory that holds this test's own artifacts.
fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap().to_owned()
}
