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
use signal_hook::consts::signal::SIGWINCH;
use sysbox::linux::process::send_signal;

use super::{Cgroup, Signals, signals::is_forwarded, terminal::Terminal};
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
    let mut looked = Instant::now();
    loop {
        for signal in signals.pending() {
            match (signal, &terminal) {
                (SIGWINCH, Some(terminal)) => terminal.resize()?,
                (signal, _) if is_forwarded(signal) => send_signal(init, signal)?,
                _ => {}
            }
        }
        if let Some(code) = exit_code(init)? {
            if let Some(terminal) = &mut terminal {
                terminal.drain()?;
            }
            return Ok(code);
        }
        if looked.elapsed() >= LIMIT {
            // It waits for all the others to end, which a frozen one does not do.
            if is_ending(init) {
                cgroup.thaw()?;
            }
            looked = Instant::now();
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
}
