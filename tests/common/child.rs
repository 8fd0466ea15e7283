//! The test program started anew, as a process that can be watched and killed.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Tells this program, started anew, which of the helpers below to be, and where.
const CHILD: &str = "TOWER_MCP_AUTH_TEST_CHILD";

/// What this process is to be, and where, if it was started by [`start`].
pub(crate) fn role() -> Option<(String, String)> {
    let role = std::env::var(CHILD).ok()?;
    let (role, directory) = role.split_once(':').unwrap();
    Some((role.to_owned(), directory.to_owned()))
}

/// Says something to the parent.
pub(crate) fn say(what: &str) {
    // One write each, so that a line stands in the trace, and in the pipe, whole or not at all.
    let line = format!("{what}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// Runs the test `child` of a module, which is this program or, where programs are put together,
/// a part of it.
pub(crate) fn itself(module_path: &str) -> Command {
    let child = match module_path.split_once("::") {
        Some((_, module)) => format!("{module}::child"),
        None => "child".to_owned(),
    };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&child, "--exact", "--nocapture"]);
    command
}

/// Starts `command`, which ends up as the test `child`, in a role.
pub(crate) fn start(mut command: Command, role: &str, directory: &Path) -> Child {
    command
        .env(CHILD, format!("{role}:{}", directory.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}
