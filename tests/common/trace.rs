//! System calls, as `strace` saw them.

use std::process::Command;

/// One finished system call: between which lines of the trace, and what it was.
pub(crate) struct Call {
    pub(crate) began: usize,
    pub(crate) ended: usize,
    pub(crate) text: String,
}

/// Reads what `strace -f` wrote, with interrupted lines put together.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: Vec<(&str, Call)> = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let (thread, text) = line.split_once(' ').unwrap();
        let text = text.trim_start();
        if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            let call = Call {
                began: number,
                ended: number,
                text: begun.to_owned(),
            };
            open.push((thread, call));
        } else if text.starts_with("<... ") {
            let mine = open.iter().position(|(other, _)| *other == thread);
            let (_, mut call) = open.remove(mine.unwrap());
            call.ended = number;
            call.text.push_str(text.split_once("resumed>").unwrap().1);
            calls.push(call);
        } else {
            calls.push(Call {
                began: number,
                ended: number,
                text: text.to_owned(),
            });
        }
    }
    calls
}

/// Whether `strace` can be used here. Where tests count it must be.
pub(crate) fn can_trace() -> bool {
    let works = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        let missing = "strace is missing or may not trace: system calls were not checked";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
    }
    works
}
