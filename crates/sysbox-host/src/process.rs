//! Signals to a process, the real-time ones too, and what a process would hand on to those it makes.

use std::env;

use rustix::process::{Pid, getpid};
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

/// Leaves the session keyring that this process was started with for a new one, empty and its own.
///
/// A process possesses the keys of its session keyring in whatever namespaces it is, and hands it on to those it makes: a container's
/// could read and revoke the keys of who started it (`session-keyring(7)`). Where the kernel has no keys, or lets this process not use any,
/// there is nothing to hand on, and nothing is done.
///
/// # Errors
/// When the new keyring cannot be made, such as beyond a quota (`keyrings(7)`).
pub fn leave_session_keyring() -> Result<(), HostError> {
    match sys::join_new_session_keyring() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            tracing::debug!(%error, "the session keyring stays as it is");
            Ok(())
        }
        outcome => outcome.map_err(failed("make", "a session keyring".to_owned())),
    }
}

/// Drops the word of descriptors for another process (`sd_listen_fds(3)`) from the environment.
///
/// Who passes descriptors on by `LISTEN_FDS` says by `LISTEN_PID` to whom; a process that came by the variables otherwise would take for
/// passed whatever has these numbers. To be called while the process has one thread.
///
/// # Errors
/// When the process has several threads, or `/proc` is not mounted; then the environment is as before.
pub fn drop_descriptors_for_others() -> Result<(), HostError> {
    let is_ours = |pid: &str| pid.parse() == Ok(getpid().as_raw_nonzero().get());
    if env::var_os("LISTEN_FDS").is_none() || env::var("LISTEN_PID").is_ok_and(|pid| is_ours(&pid)) {
        return Ok(());
    }
    sys::remove_variables(&["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"])
        .map_err(failed("remove", "LISTEN_FDS from the environment".to_owned()))
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
        assert!(send_signal(getpid(), 1000).is_err());
    }

    #[test]
    fn a_process_with_several_threads_keeps_its_environment() {
        // The test's own thread and the harness's are two; nothing is set, so a removal would do no harm either.
        let error = sys::remove_variables(&["SYSBOX_NOT_SET"]).expect_err("refused");
        assert!(error.to_string().contains("several threads"), "{error}");
    }
}
