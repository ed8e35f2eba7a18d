//! The descriptor of a container's seccomp filter: libcontainer hands it to a socket of ours, and we hand it to sysbox-fs.
//!
//! libcontainer hands it over while it creates the container, in this process, and waits for no answer: what it sends waits in the
//! socket until the container is created.

use std::os::{fd::AsFd, unix::net::UnixListener};

use anyhow::Context;
use oci_spec::runtime::Spec;
use serde::Serialize;
use sysbox::{AbsPath, Sysbox, blocking::wait, syscont::SpecError};

use super::descriptor::receive_one;
use crate::container::ProcessId;

/// As many bytes of what the spec says go into the state that is handed over with it (the runtime specification's
/// `ContainerProcessState`) as fit into the socket, which by default holds 208 KiB with all that belongs
/// to them (`net.core.wmem_default`).
const AT_MOST: usize = 128 * 1024;

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

    /// Checks that libcontainer can hand its state to this listener: who reads it waits until all of it is in the socket.
    ///
    /// # Errors
    /// When the spec says more than the socket holds.
    pub(crate) fn check(&self, spec: &Spec) -> Result<(), SpecError> {
        if !self.is_named_in(spec) {
            return Ok(());
        }
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata().as_ref());
        let length = json_length(spec.annotations()) + json_length(&metadata);
        if length <= AT_MOST {
            return Ok(());
        }
        let found = format!("{length} bytes as JSON, with linux.seccomp.listenerMetadata");
        let rule = format!("at most {AT_MOST} bytes can be handed to the listener of a seccomp filter");
        Err(SpecError::new("annotations", found, rule))
    }

    /// Hands the descriptor of a container that was created to sysbox-fs, and waits until it was taken.
    pub(crate) fn hand_over(self, sysbox: &Sysbox, init: ProcessId) -> anyhow::Result<()> {
        let (stream, _) = self.socket.accept().context("libcontainer handed no seccomp descriptor out")?;
        let descriptor = receive_one(&stream, "seccomp descriptor")?;
        Ok(wait(sysbox.fs.send_seccomp_init(init.pid, descriptor.as_fd()))?)
    }
}

fn json_length(value: &impl Serialize) -> usize {
    // Texts can always be written as JSON.
    serde_json::to_string(value).map_or(0, |text| text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A spec with an annotation and metadata of these lengths, whose filter notifies a listener there.
    fn spec(listener: &AbsPath, annotation: usize, metadata: usize) -> Spec {
        let seccomp = json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": listener.as_path(), "listenerMetadata": "x".repeat(metadata),
        });
        let annotations = json!({ "a": "x".repeat(annotation) });
        let spec =
            json!({ "ociVersion": "1.0.2", "annotations": annotations, "linux": { "seccomp": seccomp } });
        serde_json::from_value(spec).expect("a spec")
    }

    #[test]
    fn a_state_that_the_socket_does_not_hold_is_refused_where_it_would_be_handed_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name| AbsPath::new(dir.path().join(name)).expect("absolute");
        let listener = SeccompListener::listen(at("socket")).expect("listens");
        let check = |annotation, metadata| listener.check(&spec(listener.path(), annotation, metadata));
        check(60 << 10, 60 << 10).expect("it fits");
        for (annotation, metadata) in [(128 << 10, 0), (0, 128 << 10), (65 << 10, 65 << 10)] {
            assert_eq!(check(annotation, metadata).expect_err("it does not fit").field, "annotations");
        }
        listener.check(&spec(&at("other"), 1 << 20, 0)).expect("another listener reads it");
    }
}
