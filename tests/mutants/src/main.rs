//! Builds the mutants that `cargo mutants` lists together, each switched on by the environment, and
//! meets each with those tests alone that reach it, the quickest first.
//!
//! `mutants-at-once TREE KNOWN SKIP AREA..`: `TREE` is a copy of the crate that may be changed, `KNOWN`
//! has a directory for each area, with `all.json` in it, and takes what is found out, a file of names
//! for each verdict; tests with a word of `SKIP` in their names are left out. `tests/mutants/run` says
//! what becomes of the verdicts.

mod build;
mod known;
mod mutant;
mod rewrite;
mod run;
mod syntax;

use std::{env, path::Path, process::ExitCode};

use known::Known;
use rewrite::Tree;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [tree, known, skip, areas @ ..] = args.as_slice() else {
        eprintln!("usage: mutants-at-once TREE KNOWN SKIP AREA..");
        return ExitCode::FAILURE;
    };
    match at_once(Path::new(tree), Path::new(known), skip, areas) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn at_once(tree: &Path, known: &Path, skip: &str, areas: &[String]) -> Result<(), String> {
    let known = Known::load(known, areas)?;
    let mut tree = Tree::parse(tree, known.open())?;
    for mutant in tree.alone() {
        known.remember(mutant, known::Verdict::Alone)?;
    }
    let programs = build::build(&mut tree, &known)?;
    let skip: Vec<&str> = skip.split_whitespace().collect();
    run::run(&tree, &known, &programs, &skip)
}
