use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::OnceLock,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::PATIENCE;

/// An example as its users run it: a process of its own.
pub(crate) struct Server {
    child: Child,
    /// Kept open: a server that prints more must not meet a closed pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
    log: tempfile::NamedTempFile,
    /// Where it listens: `http://127.0.0.1:PORT`
    pub(crate) origin: String,
}

impl Server {
    /// Starts it on a free port and waits until it accepts connections.
    pub(crate) async fn start(store: &str) -> Self {
        Self::listen("127.0.0.1:0", store, &[]).await
    }

    /// With more flags.
    pub(crate) async fn start_with(store: &str, flags: &[&str]) -> Self {
        Self::listen("127.0.0.1:0", store, flags).await
    }

    /// Another example, which takes `--listen` and says the same when it listens.
    pub(crate) async fn start_example(name: &str) -> Self {
        Self::spawn(&example(name), &["--listen", "127.0.0.1:0"]).await
    }

    /// Under another program, which becomes the server or starts it in its own place: so that its
    /// process is the server's.
    pub(crate) async fn start_under(wrapper: &[&str], store: &str, flags: &[&str]) -> Self {
        let server = binary().to_str().unwrap();
        let usual = [server, "--listen", "127.0.0.1:0", "--store", store];
        let all = [wrapper, &usual, flags].concat();
        Self::spawn(Path::new(all[0]), &all[1..]).await
    }

    async fn listen(address: &str, store: &str, flags: &[&str]) -> Self {
        let flags = [["--listen", address, "--store", store].as_slice(), flags].concat();
        Self::spawn(binary(), &flags).await
    }

    async fn spawn(program: &Path, flags: &[&str]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let stderr = File::options().append(true).open(log.path()).unwrap();
        let mut child = Command::new(program)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        // It prints its address once it listens.
        let first = tokio::time::timeout(PATIENCE, stdout.next_line()).await;
        let Ok(Ok(Some(line))) = first else {
            panic!(
                "the server did not start: {}",
                std::fs::read_to_string(log.path()).unwrap()
            );
        };
        assert!(line.starts_with("MCP server"), "{line}");
        let logged = std::fs::read_to_string(log.path()).unwrap();
        let (_, address) = logged.split_once("address=").unwrap();
        let origin = format!("http://{}", address.lines().next().unwrap());
        Self {
            child,
            _stdout: stdout,
            log,
            origin,
        }
    }

    pub(crate) fn mcp_url(&self) -> String {
        format!("{}/mcp", self.origin)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// `kill -9`
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// `kill -9`, then the same address and store again.
    pub(crate) async fn crash_and_restart(self, store: &str) -> Self {
        let address = self.origin.trim_start_matches("http://").to_owned();
        self.kill().await;
        Self::listen(&address, store, &[]).await
    }

    /// SIGTERM, as a service manager sends it.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.unwrap().success());
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends")
            .unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}", self.log());
        }
    }
}

/// The example server.
pub(crate) fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| example("server"))
}

/// Built by cargo itself, in the profile of the test: with `cargo test --all-features` there is
/// nothing left to build.
fn example(name: &str) -> PathBuf {
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let output = std::process::Command::new(env!("CARGO"))
        .args(["build", "--all-features", "--profile", profile])
        .args(["--example", name])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap_or_else(|| panic!("cargo named no executable: {log}"))
}
