//! A database server of the test's own, which can be killed.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{net::TcpStream, process::Child, time::sleep};

use crate::outside::skip;

/// A database takes that long to come back at the most.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Redis,
}

pub(crate) struct Engine {
    kind: Kind,
    /// Kept until the server is gone.
    directory: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Engine {
    /// An empty database; `None`, loudly, where there is no such program.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let program = program(kind);
        let Some(program) = program else {
            skip(&format!("{kind:?} is not installed"));
            return None;
        };
        if kind == Kind::Postgres {
            create(&program.with_file_name("initdb"), directory.path());
        }
        let mut engine = Self {
            kind,
            directory,
            port: free_port(),
            child: None,
        };
        engine.restart().await;
        Some(engine)
    }

    pub(crate) fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// Its URL by another port, behind which it is.
    pub(crate) fn url_by(&self, port: u16) -> String {
        match self.kind {
            Kind::Postgres => format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            Kind::Redis => format!("redis://127.0.0.1:{port}"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again with what it kept.
    pub(crate) async fn restart(&mut self) {
        self.spawn();
        let answers = async {
            while !self.answers().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answers).await.unwrap();
    }

    /// Starts it again, and kills it before it has got far.
    pub(crate) async fn die_young(&mut self, age: Duration) {
        self.spawn();
        sleep(age).await;
        self.kill().await;
    }

    fn spawn(&mut self) {
        let (program, port) = (program(self.kind).unwrap(), self.port.to_string());
        let directory = self.directory.path();
        let mut command = match self.kind {
            Kind::Postgres => {
                // What a server that was killed leaves behind.
                let _ = std::fs::remove_file(directory.join("data/postmaster.pid"));
                let mut command = unprivileged(&program);
                command.args(["-p", &port, "-h", "127.0.0.1", "-N", "1000", "-D"]);
                command.arg(directory.join("data"));
                command.arg("-k").arg(directory);
                command
            }
            Kind::Redis => {
                let mut command = Command::new(program);
                command.args(["--bind", "127.0.0.1", "--port", &port, "--save", ""]);
                command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]);
                command.arg(directory);
                command
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        self.child = Some(command.kill_on_drop(true).spawn().unwrap());
    }

    /// `kill -9`, all of its processes.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        let parent = child.id().unwrap().to_string();
        // The children of PostgreSQL would go on serving, and one that was born meanwhile too.
        for (program, arguments) in [
            ("kill", ["-STOP", &parent].as_slice()),
            ("pkill", &["-KILL", "-P", &parent]),
        ] {
            let _ = Command::new(program).args(arguments).status();
        }
        child.kill().await.unwrap();
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it takes requests, which it does some time after it takes connections.
    async fn answers(&self) -> bool {
        let port = self.port.to_string();
        let mut probe = match self.kind {
            Kind::Postgres => {
                let isready = program(self.kind).unwrap().with_file_name("pg_isready");
                let mut command = tokio::process::Command::new(isready);
                command.args(["-q", "-h", "127.0.0.1", "-p", &port]);
                command
            }
            Kind::Redis => {
                let mut command = tokio::process::Command::new("redis-cli");
                command.args(["-p", &port, "-e", "ping"]);
                command
            }
        };
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().await.is_ok_and(|status| status.success())
    }
}

fn program(kind: Kind) -> Option<PathBuf> {
    let found = |command: &mut Command| {
        let output = command.output().ok().filter(|out| out.status.success())?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    match kind {
        Kind::Postgres => {
            let bin = found(Command::new("pg_config").arg("--bindir"));
            let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter();
            let debian = debian.flatten().flatten().map(|dir| dir.path().join("bin"));
            bin.into_iter()
                .chain(debian)
                .map(|bin| bin.join("postgres"))
                .find(|program| program.is_file() && program.with_file_name("initdb").is_file())
        }
        Kind::Redis => found(Command::new("sh").args(["-c", "command -v redis-server"])),
    }
}

fn create(initdb: &Path, directory: &Path) {
    if am_root() {
        let owner = Command::new("chown")
            .arg("postgres")
            .arg(directory)
            .status();
        assert!(owner.unwrap().success());
    }
    let output = unprivileged(initdb)
        .args(["-A", "trust", "-U", "postgres", "--no-sync"])
        .args(["--encoding", "UTF8", "-D"])
        .arg(directory.join("data"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// PostgreSQL does not run as root.
fn unprivileged(program: &Path) -> Command {
    if !am_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.arg(program);
    command
}

fn am_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
