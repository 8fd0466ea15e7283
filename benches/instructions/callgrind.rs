//! Runs one case under callgrind and reads what it counted.

use std::{env, fs, path::PathBuf, process::Command};

#[derive(Default)]
pub struct Counted {
    pub total: f64,
    /// Of it, in SHA-256.
    pub hashing: f64,
}

impl Counted {
    pub fn per(self, requests: usize) -> Self {
        Self {
            total: self.total / requests as f64,
            hashing: self.hashing / requests as f64,
        }
    }
}

/// The profile stays there, for `callgrind_annotate`.
fn profile(case: &str) -> PathBuf {
    let here = env::current_exe().unwrap();
    here.with_file_name(format!("callgrind.{case}.out"))
}

pub fn count(case: &str) -> Counted {
    let profile = profile(case);
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--compress-strings=no",
            "--compress-pos=no",
        ])
        .arg("--toggle-collect=*::measured")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe().unwrap())
        .args(["--case", case])
        .output()
        .expect("valgrind is installed");
    assert!(
        output.status.success(),
        "{case}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    read(&fs::read_to_string(profile).unwrap())
}

/// <https://valgrind.org/docs/manual/cl-format.html>: a line per source line of a function, and one
/// with what its callee took after each `calls=`.
fn read(profile: &str) -> Counted {
    let mut counted = Counted::default();
    let mut is_hashing = false;
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some(function) = line.strip_prefix("fn=") {
            is_hashing = function.contains("sha2::") || function.contains("sha256");
        } else if line.starts_with("calls=") {
            lines.next();
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).unwrap_or("0");
            let cost: f64 = cost.parse().unwrap();
            counted.total += cost;
            counted.hashing += if is_hashing { cost } else { 0.0 };
        }
    }
    counted
}
