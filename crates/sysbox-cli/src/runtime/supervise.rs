//! Waits for a container, with its terminal and its signals.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, WaitOptions, waitpid},
};
use signal_hook::consts::signal::{SIGCONT, SIGKILL, SIGWINCH};
use sysbox::linux::process::send_signal;

use super::{
    Cgroup, Signals,
    signals::{is_ending as is_to_end, is_forwarded},
    terminal::Terminal,
};
use crate::exit::code_of_signal;

/// How long it is waited for at most before it is looked what goes on.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Passes signals and terminal input on until the init process ends, and gives its exit code: the program's own, or 128 and
/// the signal that ended it.
pub(crate) fn supervise(
    init: i32,
    cgroup: &Cgroup,
    mut terminal: Option<Terminal>,
    signals: &mut Signals,
) -> anyhow::Result<std::process::ExitCode> {
    let init = Pid::from_raw(init).context("the init process has no pid")?;
    if let Some(terminal) = &mut terminal {
        // Signals that told of another size, or of a stop, were taken while the container was made.
        terminal.resize()?;
        terminal.go_on();
    }
    let mut looked = Instant::now();
    let mut sent = signal_set(SIGKILL);
    loop {
        // Before signals are passed on, so that those have had time to be taken when it is looked for them.
        if looked.elapsed() >= LIMIT {
            // A frozen process neither ends nor takes signals, and one that ends waits for all the others.
            if is_ending(init) || has_not_taken(init, sent) {
                cgroup.thaw()?;
            }
            looked = Instant::now();
        }
        let came = signals.pending();
        if let Some(code) = exit_code(init)? {
            if let Some(terminal) = &mut terminal {
                terminal.drain(signals, came.into_iter().any(is_to_end))?;
            }
            return Ok(code);
        }
        for signal in came {
            if let Some(terminal) = &mut terminal {
                match signal {
                    SIGWINCH => terminal.resize()?,
                    SIGCONT => terminal.go_on(),
                    _ => {}
                }
            }
            if is_forwarded(signal) {
                send_signal(init, signal)?;
                sent |= signal_set(signal);
            }
        }
        match &mut terminal {
            Some(terminal) => terminal.pass_on(signals.descriptor())?,
            None => wait_for_signal(signals)?,
        }
    }
}

fn wait_for_signal(signals: &Signals) -> io::Result<()> {
    // Bounded, so that a signal that was consumed between looking at the child and waiting cannot be missed for long.
    let limit = Timespec::try_from(LIMIT).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(signals.descriptor(), PollFlags::IN)], Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Whether a process is about to end (`proc_pid_stat(5)`; PF_EXITING of the kernel).
fn is_ending(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| says_ending(&stat))
}

fn says_ending(stat: &str) -> bool {
    const PF_EXITING: u32 = 4;
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    // A zombie has ended; or it is one thread of many that has.
    let is_zombie = fields.next() == Some("Z");
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u32>().ok()).unwrap_or_default();
    !is_zombie && flags & PF_EXITING != 0
}

/// Whether one of these signals waits for a process that does not block it (`proc_pid_status(5)`).
fn has_not_taken(process: Pid, signals: u64) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
    status.is_ok_and(|status| waiting(&status) & signals != 0)
}

/// The signals that wait and are not blocked.
fn waiting(status: &str) -> u64 {
    let set = |name| {
        let set = status.lines().find_map(|line| line.strip_prefix(name));
        set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or_default()
    };
    (set("SigPnd:") | set("ShdPnd:")) & !set("SigBlk:")
}

/// A set of one signal, as the kernel shows it.
fn signal_set(signal: i32) -> u64 {
    u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or_default()
}

/// How the init process ended, if it has.
fn exit_code(init: Pid) -> anyhow::Result<Option<std::process::ExitCode>> {
    let ended =
        waitpid(Some(init), WaitOptions::NOHANG).context("cannot wait for the container's init process")?;
    let Some((_, status)) = ended else { return Ok(None) };
    if let Some(signal) = status.terminating_signal() {
        return Ok(Some(code_of_signal(signal)));
    }
    Ok(status.exit_status().map(|code| u8::try_from(code).unwrap_or(u8::MAX).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_begun_to_end_and_is_no_zombie_is_ending() {
        let stat = |state: &str, flags: u32| format!("7 (a) b) {state} 1 7 7 0 -1 {flags} 99 0 0 0\n");
        assert!(says_ending(&stat("S", 4_194_564)));
        assert!(
            !says_ending(&stat("S", 4_194_560)) && !says_ending(&stat("Z", 4_194_564)) && !says_ending("7 (")
        );
        assert!(!is_ending(rustix::process::getpid()));
    }

    #[test]
    fn a_signal_waits_for_the_process_or_its_thread_unless_it_is_blocked() {
        let status = |own: &str, shared: &str, blocked: &str| {
            format!("Name:\tSigBlk\nSigQ:\t1/2\nSigPnd:\t{own}\nShdPnd:\t{shared}\nSigBlk:\t{blocked}\n")
        };
        assert_eq!(signal_set(SIGKILL), 0x100);
        assert_eq!(signal_set(64), 1 << 63);
        assert_eq!(waiting(&status("0", "0000000000000100", "0")), signal_set(SIGKILL));
        assert_eq!(waiting(&status("4000", "2", "4000")), signal_set(2));
        assert_eq!(waiting("State:\tD\n"), 0);
    }
}
