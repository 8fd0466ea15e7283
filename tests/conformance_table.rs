//! `docs/conformance.md` names code and tests: they exist, and no item is left out.

use std::{collections::BTreeSet, fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// What stands between backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn everything_named_exists() {
    let table = read("docs/conformance.md").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let mut tests = 0;
    for name in rows.flat_map(quoted) {
        let found = if let Some((file, test)) = name.split_once("::") {
            tests += 1;
            read(&format!("tests/{file}.rs")).is_some_and(|text| {
                // Some stand in a list of a macro.
                text.contains(&format!("fn {test}(")) || text.contains(&format!(" {test} => "))
            })
        } else if let Some((file, test)) = name.split_once(".rs:") {
            tests += 1;
            let text = read(&format!("src/{file}.rs"));
            text.is_some_and(|text| text.contains(&format!("fn {test}(")))
        } else if name.ends_with(".rs") {
            read(&format!("src/{name}")).is_some()
        } else {
            true
        };
        assert!(found, "{name}");
    }
    assert!(tests > 100, "the table is read");
}

#[test]
fn no_item_is_left_out() {
    let table = read("docs/conformance.md").unwrap();
    let items: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .collect();
    for (group, count) in [
        ("RS", 27),
        ("AS", 45),
        ("DV", 4),
        ("DP", 8),
        ("JB", 11),
        ("TX", 1),
        ("CM", 11),
        ("OI", 7),
        ("SE", 9),
        ("CL", 19),
    ] {
        for number in 1..=count {
            let item = format!("{group}-{number}");
            assert!(items.contains(item.as_str()), "{item}");
        }
    }
    assert!(items.contains("WIF"));
}

/// Each code that the endpoints can answer with has a row.
#[test]
fn no_error_code_is_left_out() {
    let table = read("docs/conformance.md").unwrap();
    let (_, codes) = table.split_once("## Error codes").unwrap();
    let known = read("src/grant/refusal.rs").unwrap();
    let mut checked = 0;
    for line in known.lines().filter(|line| line.contains("=> \"")) {
        let code = line.split('"').nth(1).unwrap();
        let mut rows = codes.lines().filter(|row| !row.contains("not used"));
        assert!(rows.any(|row| row.contains(&format!("`{code}`"))), "{code}");
        checked += 1;
    }
    assert!(checked >= 20, "the codes are read");
}
