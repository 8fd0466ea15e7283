//! What is known of each mutant, below one directory for each area.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::mutant::{Id, Mutant};

#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Verdict {
    /// A test fails.
    Caught,
    /// A test does not end.
    Timeout,
    /// Does not compile.
    Unviable,
    /// Every test that reaches it passes.
    Alive,
    /// Has to be built by itself.
    Alone,
}

impl Verdict {
    const ALL: [Self; 5] = [
        Self::Caught,
        Self::Timeout,
        Self::Unviable,
        Self::Alive,
        Self::Alone,
    ];

    /// The name of the file that lists them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Timeout => "timeout",
            Self::Unviable => "unviable",
            Self::Alive => "alive",
            Self::Alone => "alone",
        }
    }
}

struct Listed {
    area: usize,
    mutant: Mutant,
    is_decided: bool,
}

pub struct Known {
    areas: Vec<PathBuf>,
    mutants: Vec<Listed>,
}

impl Known {
    pub fn load(directory: &Path, areas: &[String]) -> Result<Self, String> {
        let areas: Vec<PathBuf> = areas.iter().map(|area| directory.join(area)).collect();
        let mut mutants = Vec::new();
        for (area, path) in areas.iter().enumerate() {
            let decided: HashSet<String> = Verdict::ALL
                .iter()
                .filter_map(|verdict| fs::read_to_string(path.join(verdict.name())).ok())
                .flat_map(|names| names.lines().map(str::to_owned).collect::<Vec<_>>())
                .collect();
            let all = fs::read_to_string(path.join("all.json"))
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let all: Vec<Mutant> = serde_json::from_str(&all).map_err(|error| error.to_string())?;
            mutants.extend(all.into_iter().map(|mutant| Listed {
                area,
                is_decided: decided.contains(&mutant.name),
                mutant,
            }));
        }
        Ok(Self { areas, mutants })
    }

    /// Those of which nothing is known yet.
    pub fn open(&self) -> Vec<(Id, Mutant)> {
        (1..)
            .zip(&self.mutants)
            .filter(|(_, listed)| !listed.is_decided)
            .map(|(id, listed)| (id, listed.mutant.clone()))
            .collect()
    }

    pub fn mutant(&self, id: Id) -> &Mutant {
        &self.mutants[id - 1].mutant
    }

    pub fn remember(&self, id: Id, verdict: Verdict) -> Result<(), String> {
        self.append(id, verdict.name(), &self.mutant(id).name)
    }

    /// Which test it was that told.
    pub fn remember_why(&self, id: Id, verdict: Verdict, test: &str) -> Result<(), String> {
        let mut why = String::new();
        let _ = write!(why, "{}\t{}\t{test}", verdict.name(), self.mutant(id).name);
        self.append(id, "why", &why)?;
        self.remember(id, verdict)
    }

    fn append(&self, id: Id, name: &str, line: &str) -> Result<(), String> {
        let path = self.areas[self.mutants[id - 1].area].join(name);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}
