//! Meets each mutant with the tests that reach it.

use std::{
    collections::{HashMap, HashSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    known::{Known, Verdict},
    mutant::Id,
    rewrite::Tree,
};

struct Test {
    program: PathBuf,
    name: String,
    took: Duration,
    reached: HashSet<Id>,
}

enum Outcome {
    Passed,
    Failed,
    Endless,
}

/// Without the tests that have a text of `skip` in their names.
pub fn run(tree: &Tree, known: &Known, programs: &[PathBuf], skip: &[&str]) -> Result<(), String> {
    let mut tests = Vec::new();
    for program in programs {
        tests.extend(list(program)?);
    }
    tests.retain(|test| !skip.iter().any(|text| test.name.contains(text)));
    let unmutated = each(&tests, |test| measure(&tree.root, test));
    let mut tests = unmutated
        .into_iter()
        .collect::<Result<Vec<Test>, String>>()?;
    tests.sort_by_key(|test| test.took);
    println!("{} tests pass without a mutant", tests.len());

    let places = tree.places();
    let ids: Vec<Id> = tree.mutants.keys().copied().collect();
    let done = AtomicUsize::new(0);
    let told = each(&ids, |id| {
        let done = done.fetch_add(1, Relaxed);
        if done.is_multiple_of(100) {
            println!("{done} of {}", ids.len());
        }
        meet(&tree.root, known, &tests, &places, *id)
    });
    told.into_iter().collect()
}

fn meet(
    root: &Path,
    known: &Known,
    tests: &[Test],
    places: &HashMap<Id, Id>,
    id: Id,
) -> Result<(), String> {
    for test in tests
        .iter()
        .filter(|test| test.reached.contains(&places[&id]))
    {
        let verdict = match start(root, test, id, None)? {
            Outcome::Passed => continue,
            Outcome::Endless => Verdict::Timeout,
            // Once may be chance.
            Outcome::Failed => match start(root, test, id, None)? {
                Outcome::Passed => continue,
                Outcome::Failed | Outcome::Endless => Verdict::Caught,
            },
        };
        return known.remember_why(id, verdict, &test.name);
    }
    known.remember(id, Verdict::Alive)
}

/// What comes of each, some at a time.
fn each<T: Sync, R: Send>(all: &[T], one: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, usize::from) + 1;
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(item) = all.get(next.fetch_add(1, Relaxed)) {
                    let result = one(item);
                    results
                        .lock()
                        .expect("no thread panics with it")
                        .push(result);
                }
            });
        }
    });
    results.into_inner().expect("no thread panicked with it")
}

fn list(program: &Path) -> Result<Vec<Test>, String> {
    let output = Command::new(program)
        .args(["--list", "--format", "terse"])
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(|name| Test {
            program: program.to_owned(),
            name: name.to_owned(),
            took: Duration::ZERO,
            reached: HashSet::new(),
        })
        .collect())
}

/// How long a test takes without a mutant, and what it reaches.
fn measure(root: &Path, test: &Test) -> Result<Test, String> {
    let noted = env::temp_dir().join(format!("reached-{}", test.name.replace("::", "-")));
    for _ in 0..2 {
        let _ = fs::remove_file(&noted);
        let began = Instant::now();
        if let Outcome::Passed = start(root, test, 0, Some(&noted))? {
            let reached = fs::read_to_string(&noted).unwrap_or_default();
            let _ = fs::remove_file(&noted);
            return Ok(Test {
                program: test.program.clone(),
                name: test.name.clone(),
                took: began.elapsed(),
                reached: reached.lines().filter_map(|id| id.parse().ok()).collect(),
            });
        }
    }
    Err(format!("{} fails without a mutant", test.name))
}

fn start(root: &Path, test: &Test, id: Id, noted: Option<&Path>) -> Result<Outcome, String> {
    // A test that was never measured has as long as any needs.
    let patience = if noted.is_some() {
        300
    } else {
        20 + 10 * test.took.as_secs()
    };
    // With what the test starts, which is why the command does it.
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=2", &patience.to_string()])
        .arg(&test.program)
        .args(["--exact", &test.name])
        .current_dir(root)
        .env("MUTANT", id.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(noted) = noted {
        command.env("MUTANTS_REACHED", noted);
    }
    let status = command
        .status()
        .map_err(|error| format!("timeout: {error}"))?;
    Ok(match status.code() {
        Some(0) => Outcome::Passed,
        // 137: it had to be killed.
        Some(124 | 137) => Outcome::Endless,
        // What `timeout` says of a program that is not there, or is being written.
        Some(125..=127) => return Err(format!("{} cannot be run", test.program.display())),
        _ => Outcome::Failed,
    })
}
