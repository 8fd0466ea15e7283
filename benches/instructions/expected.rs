//! What was counted when somebody last looked and found it right.

use std::{collections::BTreeMap, fs};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions/expected.txt");

pub struct Expected(BTreeMap<String, f64>);

impl Expected {
    pub fn read() -> Self {
        let text = fs::read_to_string(FILE).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Self(
            pairs
                .map(|(case, count)| (case.to_owned(), count.trim().parse().unwrap()))
                .collect(),
        )
    }

    pub fn get(&self, case: &str) -> Option<f64> {
        self.0.get(case).copied()
    }

    pub fn set(&mut self, case: &str, count: f64) {
        self.0.insert(case.to_owned(), count);
    }

    pub fn write(&self) {
        let lines = self
            .0
            .iter()
            .map(|(case, count)| format!("{case} {count:.0}\n"));
        fs::write(FILE, lines.collect::<String>()).unwrap();
    }
}
