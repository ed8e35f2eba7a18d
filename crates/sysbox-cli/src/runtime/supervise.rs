//! Waits for a container, with its terminal and its signals.

use std::{io, time::Duration};

use anyhow::Context;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, WaitOptions, waitpid},
};
use signal_hook::consts::signal::SIGWINCH;
use sysbox::linux::process::send_signal;

use super::{Signals, signals::is_forwarded, terminal::Terminal};
use crate::exit::code_of_signal;

/// Passes signals and terminal input on until the init process ends, and gives its exit code: the program's own, or 128 and
/// the signal that ended it.
pub(crate) fn supervise(
    init: i32,
    mut terminal: Option<Terminal>,
    signals: &mut Signals,
) -> anyhow::Result<std::process::ExitCode> {
    let init = Pid::from_raw(init).context("the init process has no pid")?;
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
        match &mut terminal {
            Some(terminal) => terminal.pass_on(signals.descriptor())?,
            None => wait_for_signal(signals)?,
        }
    }
}

fn wait_for_signal(signals: &Signals) -> io::Result<()> {
    // Bounded, so that a signal that was consumed between looking at the child and waiting cannot be missed for long.
    let limit = Timespec::try_from(Duration::from_secs(5)).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(signals.descriptor(), PollFlags::IN)], Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
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
