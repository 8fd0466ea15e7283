use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::{cache, skip};

/// `node SCRIPT`, with the packages it imports installed.
pub(crate) fn node(script: &str) -> Option<tokio::process::Command> {
    command(packages(), Path::new("node"), script)
}

/// The same with Node.js 22.19 or newer, which some packages need: the one that is installed among
/// the packages, where the system's own is older.
pub(crate) fn node_22(script: &str) -> Option<tokio::process::Command> {
    const NEW_ENOUGH: &str = "const [major, minor] = process.versions.node.split('.').map(Number); \
                              process.exit(+(major * 1000 + minor < 22019))";
    static NODE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let node = NODE.get_or_init(|| {
        let dir = packages().as_ref().map_err(String::clone)?;
        let packaged = std::fs::read_dir(dir.join("node_modules"))
            .map_err(|error| error.to_string())?
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("node-"))
            .map(|entry| entry.path().join("bin/node"));
        std::iter::once(PathBuf::from("node"))
            .chain(packaged)
            .find(|node| probe(node, NEW_ENOUGH, "").is_ok())
            .ok_or_else(|| "Node.js 22.19 or newer is needed".to_owned())
    });
    match node {
        Ok(node) => command(packages(), node, script),
        Err(why) => {
            skip(why);
            None
        }
    }
}

fn packages() -> &'static Result<PathBuf, String> {
    static READY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    READY.get_or_init(|| node_packages("node", &sources()))
}

/// `node SCRIPT`, for the scripts that are issuers: with packages of their own.
pub(crate) fn issuer(script: &str) -> Option<tokio::process::Command> {
    static READY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let dir = READY.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/issuers");
        node_packages("issuers", &sources)
    });
    command(dir, Path::new("node"), script)
}

/// A directory with the scripts of `sources` and the packages that they import.
fn node_packages(name: &str, sources: &Path) -> Result<PathBuf, String> {
    probe(
        Path::new("node"),
        "process.exit(+(process.versions.node.split('.')[0] < 20))",
        "Node.js 20 or newer",
    )?;
    let files = ["package.json", "package-lock.json"];
    let dir = installed(name, sources, &files, |dir| {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(dir);
        vec![npm]
    })?;
    copy_scripts(sources, &dir, "mjs");
    Ok(dir)
}

/// `python SCRIPT`, in an environment with the packages it imports.
pub(crate) fn python(script: &str) -> Option<tokio::process::Command> {
    static READY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let dir = READY.get_or_init(|| {
        probe(
            Path::new("python3"),
            "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))",
            "Python 3.10 or newer, with venv",
        )?;
        let dir = installed("python", &sources(), &["requirements.txt"], |dir| {
            let mut venv = Command::new("python3");
            venv.args(["-m", "venv"]).arg(dir.join("venv"));
            let mut pip = Command::new(dir.join("venv/bin/python"));
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .arg("--requirement")
            .arg(dir.join("requirements.txt"));
            vec![venv, pip]
        })?;
        copy_scripts(&sources(), &dir, "py");
        Ok(dir)
    });
    let interpreter = dir
        .as_ref()
        .map_or_else(|_| PathBuf::new(), |dir| dir.join("venv/bin/python"));
    command(dir, &interpreter, script)
}

fn command(
    dir: &Result<PathBuf, String>,
    program: &Path,
    script: &str,
) -> Option<tokio::process::Command> {
    match dir {
        Ok(dir) => {
            let mut command = tokio::process::Command::new(program);
            command.arg(dir.join(script));
            Some(command)
        }
        Err(why) => {
            skip(why);
            None
        }
    }
}

/// Whether the program is there and new enough: `program -e|-c CHECK` ends with 0.
fn probe(program: &Path, check: &str, wanted: &str) -> Result<(), String> {
    let flag = if program.ends_with("node") {
        "-e"
    } else {
        "-c"
    };
    let output = Command::new(program).args([flag, check]).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(format!("{wanted} is needed")),
    }
}

/// A directory where `files` are installed, made once per state of these files. It is filled under
/// another name and then renamed, so that whoever finds it finds it complete.
fn installed(
    name: &str,
    sources: &Path,
    files: &[&str],
    steps: impl FnOnce(&Path) -> Vec<Command>,
) -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    let read = |file: &str| std::fs::read(sources.join(file)).unwrap();
    files.iter().for_each(|file| read(file).hash(&mut hasher));
    let dir = cache().join(format!("{name}-{:016x}", hasher.finish()));
    if dir.exists() {
        return Ok(dir);
    }
    let unfinished = tempfile::tempdir_in(cache()).unwrap();
    for file in files {
        std::fs::write(unfinished.path().join(file), read(file)).unwrap();
    }
    for mut step in steps(unfinished.path()) {
        let output = step
            .output()
            .map_err(|error| format!("{step:?}: {error}"))?;
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{step:?}: {}: {log}", output.status));
        }
    }
    // Another process may have been faster; its directory is as good.
    match std::fs::rename(unfinished.path(), &dir) {
        Ok(()) => drop(unfinished.keep()),
        Err(error) => assert!(dir.exists(), "{error}"),
    }
    Ok(dir)
}

/// Beside the packages: that is where Node.js looks for what a script imports.
fn copy_scripts(sources: &Path, dir: &Path, extension: &str) {
    for entry in std::fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|found| found == extension) {
            let copy = tempfile::NamedTempFile::new_in(dir).unwrap();
            std::fs::copy(&path, copy.path()).unwrap();
            copy.persist(dir.join(path.file_name().unwrap())).unwrap();
        }
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}
