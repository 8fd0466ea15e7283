//! What processes have computed so far.

use std::{fs, time::Duration};

/// Of a process and its children, those that ended and were waited for included. `None` where there
/// is no `/proc`.
pub(crate) fn time(pid: u32) -> Option<Duration> {
    let own = Stat::read(pid)?;
    let others = fs::read_dir("/proc").ok()?.flatten();
    let pids = others.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids
        .filter_map(Stat::read)
        .filter(|stat| stat.parent == pid);
    let children: u64 = children.map(|child| child.ticks).sum();
    // Linux tells every program of hundredths, whatever it counts in.
    Some(Duration::from_millis(
        10 * (own.ticks + own.of_the_dead + children),
    ))
}

struct Stat {
    parent: u32,
    ticks: u64,
    of_the_dead: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may have anything in it.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(1)?).ok()?,
            ticks: number(11)? + number(12)?,
            of_the_dead: number(13)? + number(14)?,
        })
    }
}
