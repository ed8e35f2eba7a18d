//! The sockets of the daemon: handed over by systemd, or made.

use std::os::unix::net::UnixListener;

use anyhow::Context;
use listenfd::ListenFd;
use sysbox::{AbsPath, Backend, transport::Listener};

/// What is served on.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) mgr: Listener,
    pub(crate) fs: Listener,
    pub(crate) seccomp: Option<Listener>,
}

impl Sockets {
    /// Takes those that were handed over (sd_listen_fds(3)), known by the names of their files; the others are made in `dir`.
    pub(crate) fn take_or_bind(dir: &AbsPath, with_seccomp: bool) -> anyhow::Result<Self> {
        let mut handed_over = handed_over()?;
        let mut socket = |name| match handed_over.iter().position(|listener| has_name(listener, name)) {
            Some(found) => Ok(handed_over.swap_remove(found)),
            None => Listener::bind(dir, name).with_context(|| format!("cannot serve on {name}")),
        };
        let sockets = Self {
            mgr: socket(Backend::MGR_SOCKET)?,
            fs: socket(Backend::FS_SOCKET)?,
            seccomp: if with_seccomp { Some(socket(Backend::SECCOMP_SOCKET)?) } else { None },
        };
        for listener in handed_over {
            tracing::warn!(socket = %listener.path(), "a socket was handed over that is not served");
        }
        Ok(sockets)
    }
}

fn has_name(listener: &Listener, name: &str) -> bool {
    listener.path().as_path().file_name().is_some_and(|found| found == name)
}

fn handed_over() -> anyhow::Result<Vec<Listener>> {
    let mut fds = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..fds.len() {
        let taken: Option<UnixListener> =
            fds.take_unix_listener(index).context("what systemd handed over is no listening unix socket")?;
        listeners.extend(taken.map(Listener::adopt).transpose()?);
    }
    Ok(listeners)
}
