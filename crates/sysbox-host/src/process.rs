//! Signals to a process, the real-time ones too.

use rustix::process::Pid;
use sysbox_core::HostError;

use crate::{error::failed, sys};

/// Sends a signal to one process. That it has ended already is no error.
///
/// Unlike the safe interfaces there are, it takes real-time signals, by which systemd is told to halt.
///
/// # Errors
/// When there is no such signal, or the caller may not send it (`kill(2)`).
pub fn send_signal(process: Pid, signal: i32) -> Result<(), HostError> {
    match sys::kill(process, signal) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            Err(failed("send", format!("signal {signal} to process {}", process.as_raw_nonzero()))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::Command};

    use super::*;

    #[test]
    fn a_real_time_signal_reaches_the_process_and_one_that_has_ended_needs_none() {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("started");
        let pid = Pid::from_child(&child);
        send_signal(pid, 37).expect("sent");
        assert_eq!(child.wait().expect("ended").signal(), Some(37));
        send_signal(pid, 37).expect("ended already");
    }

    #[test]
    fn a_signal_that_does_not_exist_is_refused() {
        assert!(send_signal(rustix::process::getpid(), 1000).is_err());
    }
}
