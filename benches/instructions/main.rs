//! Instructions of one request, counted by callgrind.
//!
//! They hardly depend on the machine and not at all on what else it does, so this is what guards
//! the hit path against growing. `cargo run --release --bin instructions` in `benches/` prints them
//! and fails where one has grown by more than 3%; with `-- --record` what it counted becomes what is
//! expected from then on. Needs `valgrind`.
//!
//! What callgrind runs has no SHA instructions, so the one block of SHA-256 that every token takes
//! is more than half of it here, and a tenth where the processor does it. It is shown on its own.

mod callgrind;
mod cases;
#[path = "../everybody.rs"]
mod everybody;
mod expected;

use std::{env, process::ExitCode};

use callgrind::Counted;
use expected::Expected;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (None, _) => report(false),
        (Some("--record"), _) => report(true),
        (Some("--case"), Some(case)) => {
            cases::run(&case);
            ExitCode::SUCCESS
        }
        (Some(other), _) => {
            eprintln!("there is no {other}");
            ExitCode::FAILURE
        }
    }
}

/// Counts everything, and compares.
fn report(record: bool) -> ExitCode {
    println!("instructions per request       all  over bare  of it SHA-256  recorded");
    let mut expected = Expected::read();
    let mut bare = 0.0;
    let mut grown = false;
    for case in cases::ALL {
        let Counted { total, hashing } = callgrind::count(case).per(cases::requests(case));
        if *case == "bare" {
            bare = total;
            println!("{case:24} {total:9.0}");
            continue;
        }
        let over = total - bare;
        let before = expected.get(case);
        let verdict = match before {
            Some(before) if over > before * 1.03 => {
                grown = true;
                "GROWN"
            }
            Some(before) if over < before * 0.97 => "less: record it",
            Some(_) => "",
            None => "new",
        };
        let before = before.map_or_else(String::new, |before| format!("{before:.0}"));
        println!("{case:24} {total:9.0} {over:10.0} {hashing:14.0} {before:>9} {verdict}");
        expected.set(case, over);
    }
    if record {
        expected.write();
        return ExitCode::SUCCESS;
    }
    ExitCode::from(u8::from(grown))
}
