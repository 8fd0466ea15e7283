//! Builds the tree, without those mutants that do not compile.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::{
    known::{Known, Verdict},
    mutant::Id,
    rewrite::{Region, Tree},
};

/// The test programs of the library and of `tests/mutants_all.rs`.
pub fn build(tree: &mut Tree, known: &Known) -> Result<Vec<PathBuf>, String> {
    for id in tree.surely_unviable.clone() {
        known.remember(id, Verdict::Unviable)?;
    }
    build_step(tree, known, &["check", "--lib"])?;
    build_step(
        tree,
        known,
        &["test", "--no-run", "--lib", "--test", "mutants_all"],
    )
}

fn build_step(tree: &mut Tree, known: &Known, what: &[&str]) -> Result<Vec<PathBuf>, String> {
    loop {
        tree.write()?;
        let (errors, programs) = cargo(tree, what)?;
        if errors.is_empty() {
            return Ok(programs);
        }
        let blamed = blame(tree, &errors)?;
        println!(
            "{} mutants, {} of them cannot be built so",
            tree.mutants.len(),
            blamed.len()
        );
        for (id, verdict) in &blamed {
            known.remember(*id, *verdict)?;
        }
        tree.drop(&blamed.into_keys().collect::<Vec<_>>());
    }
}

/// Whose fault the errors are: surely that of a mutant that has one in itself, perhaps that of its
/// neighbour.
fn blame(tree: &Tree, errors: &[Error]) -> Result<BTreeMap<Id, Verdict>, String> {
    let mut blamed = BTreeMap::new();
    let mut regions: BTreeMap<&str, Vec<Region>> = BTreeMap::new();
    for error in errors {
        if let Some(function) = error.called_while_compiling() {
            let within = tree
                .mutants
                .iter()
                .filter(|(_, mutant)| mutant.is_in(function));
            blamed.extend(within.map(|(id, _)| (*id, Verdict::Alone)));
            continue;
        }
        let Some(span) = error.span(tree) else {
            continue;
        };
        let regions = regions
            .entry(&span.file_name)
            .or_insert_with(|| tree.regions(&span.file_name));
        let within = regions.iter().find(|region| {
            region.bytes.start <= span.byte_start && span.byte_end <= region.bytes.end
        });
        let found = match within {
            Some(region) if !tree.mutants[&region.id].has_hidden_type() => {
                Some((region, Verdict::Unviable))
            }
            Some(region) => Some((region, Verdict::Alone)),
            // What a match lacks is told where it begins, before its arms.
            None if error.is_incomplete_match() => regions
                .iter()
                .find(|region| region.bytes.start >= span.byte_start)
                .map(|region| (region, Verdict::Alone)),
            None => regions
                .iter()
                .rfind(|region| region.bytes.start <= span.byte_start)
                .map(|region| (region, Verdict::Alone)),
        };
        if let Some((region, verdict)) = found {
            blamed.insert(region.id, verdict);
        }
    }
    match errors.first() {
        Some(error) if blamed.is_empty() => Err(error.rendered.clone().unwrap_or_default()),
        _ => Ok(blamed),
    }
}

#[derive(Deserialize)]
struct Message {
    message: Option<Error>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Error {
    level: String,
    message: String,
    code: Option<Code>,
    rendered: Option<String>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
    expansion: Option<Box<Expansion>>,
}

#[derive(Deserialize)]
struct Expansion {
    span: Span,
}

impl Error {
    fn is_incomplete_match(&self) -> bool {
        self.code.as_ref().is_some_and(|code| code.code == "E0004")
    }

    /// The name of a function that could be called while compiling before.
    fn called_while_compiling(&self) -> Option<&str> {
        let code = self.code.as_ref()?;
        let path = self.message.split('`').nth(1)?;
        let name = path.split("::<").next()?.rsplit("::").next()?;
        (code.code == "E0015").then_some(name)
    }

    /// Where it is in a file with mutants, out of all macros.
    fn span(&self, tree: &Tree) -> Option<&Span> {
        self.spans
            .iter()
            .filter(|span| span.is_primary)
            .find_map(|span| {
                let mut span = span;
                loop {
                    if tree.has(&span.file_name) {
                        return Some(span);
                    }
                    span = &span.expansion.as_ref()?.span;
                }
            })
    }
}

fn cargo(tree: &Tree, what: &[&str]) -> Result<(Vec<Error>, Vec<PathBuf>), String> {
    let output = Command::new("cargo")
        .args(what)
        .args(["--all-features", "--message-format=json", "--quiet"])
        .current_dir(&tree.root)
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let (mut errors, mut programs) = (Vec::new(), Vec::new());
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Message>(line) else {
            continue;
        };
        programs.extend(message.executable);
        errors.extend(message.message.filter(|error| error.level == "error"));
    }
    if errors.is_empty() && !output.status.success() {
        return Err(format!("cargo {}: {}", what.join(" "), output.status));
    }
    Ok((errors, programs))
}
