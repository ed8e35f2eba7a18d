//! The descriptor of a container's seccomp filter: libcontainer hands it to a socket of ours, and we hand it to sysbox-fs.
//!
//! libcontainer hands it over while it creates the container, in this process, and waits for no answer: what it sends waits in the
//! socket until the container is created.

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
};

use anyhow::{Context, bail};
use oci_spec::runtime::Spec;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use sysbox::{AbsPath, Sysbox, blocking::wait};

use crate::container::ProcessId;

/// More than the state of a container process (the runtime specification's `ContainerProcessState`) takes.
const STATE: usize = 64 * 1024;

/// The socket that a container's spec names as `linux.seccomp.listenerPath`.
#[derive(Debug)]
pub(crate) struct SeccompListener {
    path: AbsPath,
    socket: UnixListener,
}

impl SeccompListener {
    /// Listens at a path.
    pub(crate) fn listen(path: AbsPath) -> anyhow::Result<Self> {
        let socket = UnixListener::bind(&path).with_context(|| format!("cannot listen at {path}"))?;
        socket.set_nonblocking(true).with_context(|| format!("cannot listen at {path}"))?;
        Ok(Self { path, socket })
    }

    /// Where it listens.
    pub(crate) const fn path(&self) -> &AbsPath {
        &self.path
    }

    /// Whether the filter of this spec notifies it: a profile may deny all that would be trapped.
    pub(crate) fn is_named_in(&self, spec: &Spec) -> bool {
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let listener = seccomp.and_then(|seccomp| seccomp.listener_path().as_deref());
        listener == Some(self.path.as_path())
    }

    /// Hands the descriptor of a container that was created to sysbox-fs, and waits until it was taken.
    pub(crate) fn hand_over(self, sysbox: &Sysbox, init: ProcessId) -> anyhow::Result<()> {
        let (stream, _) = self.socket.accept().context("libcontainer handed no seccomp descriptor out")?;
        let descriptor = receive(&stream)?;
        Ok(wait(sysbox.fs.send_seccomp_init(init.pid, descriptor.as_fd()))?)
    }
}

/// Receives exactly one descriptor. The state that comes with it says what is known here.
fn receive(stream: &UnixStream) -> anyhow::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut state = vec![0; STATE];
    recvmsg(stream, &mut [IoSliceMut::new(&mut state)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .context("cannot receive the container's seccomp descriptor")?;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    match (descriptors.pop(), descriptors.is_empty()) {
        (Some(descriptor), true) => Ok(descriptor),
        _ => bail!("libcontainer did not hand out exactly one seccomp descriptor"),
    }
}
