//! A process, told apart from a later one with the same pid.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process by its pid and the time at which it started (`proc_pid_stat(5)`, field 22, in clock ticks since boot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    start_time: u64,
}

impl ProcessId {
    /// The process that has this pid now, unless it has ended.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_time) = state_and_start_time(&stat)?;
        // A zombie has ended, it only waits to be reaped.
        (!matches!(state, "Z" | "X")).then_some(Self { pid, start_time })
    }

    /// This process.
    pub(crate) fn current() -> Option<Self> {
        Self::of(rustix::process::getpid().as_raw_nonzero().get())
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

fn state_and_start_time(stat: &str) -> Option<(&str, u64)> {
    // The second field, the name, may hold anything, blanks and parentheses too; the last ')' ends it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_shift_the_fields() {
        let stat = "7 (a) R (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 1";
        assert_eq!(state_and_start_time(stat), Some(("S", 4711)));
        assert_eq!(state_and_start_time("7 (a"), None);
    }

    #[test]
    fn this_process_is_alive_and_one_with_another_start_time_is_not_it() {
        let this = ProcessId::current().expect("alive");
        assert!(this.is_alive());
        assert!(!ProcessId { start_time: this.start_time + 1, ..this }.is_alive());
    }
}
