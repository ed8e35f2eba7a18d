//! Creates the container's processes, with youki's libcontainer.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::PermissionsExt,
    },
};

use anyhow::{Context, anyhow};
use libcontainer::{
    container::{Container, builder::ContainerBuilder},
    syscall::syscall::SyscallType,
};
use oci_spec::runtime::Process;
use rustix::{
    fs::{Gid, Uid, fchown, fstatfs},
    io::Errno,
};
use sysbox::linux::process::{drop_descriptors_for_others, leave_session_keyring};

use super::{
    Cgroup, Console, Prepared,
    delegate::{delegate, within},
};
use crate::container::{Claim, ProcessId};

/// The file system of pipes without a name (`statfs(2)`).
const PIPEFS_MAGIC: i64 = 0x5049_5045;

/// A container whose init process waits to be started.
pub(crate) struct Created {
    container: Container,
    /// Its init process, a child of this one.
    pub(crate) init: ProcessId,
}

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created").field("id", &self.container.id()).field("init", &self.init).finish()
    }
}

/// Creates the container. This process must have one thread.
pub(crate) fn create(
    claim: &Claim,
    prepared: &Prepared,
    console: Option<&Console>,
) -> anyhow::Result<Created> {
    let bundle = claim.shadow_bundle();
    fs::create_dir(&bundle)
        .and_then(|()| fs::set_permissions(&bundle, fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("cannot make {}", bundle.display()))?;
    let config = bundle.join("config.json");
    fs::write(&config, serde_json::to_vec(&prepared.spec)?)
        .with_context(|| format!("cannot write {}", config.display()))?;
    if console.is_none() {
        give_pipes(prepared);
    }
    // What the container's processes would have of this one's, and no namespace keeps from them.
    leave_session_keyring()?;
    drop_descriptors_for_others()?;
    let cgroup = Cgroup::of(&claim.id, &prepared.spec)?;
    let container = within(&cgroup, || {
        ContainerBuilder::new(claim.id.to_string(), SyscallType::default())
            .with_root_path(claim.libcontainer_root())
            .map(|builder| builder.with_console_socket(console.map(|console| console.socket().to_owned())))
            .and_then(|builder| builder.as_init(bundle).with_systemd(false).build())
            .with_context(|| format!("cannot create container {}", claim.id))
    })?;
    delegate(&cgroup, prepared.ids, &prepared.spec)?;
    let pid = container.pid().ok_or_else(|| anyhow!("container {} has no init process", claim.id))?;
    let init = ProcessId::of(pid.as_raw()).ok_or_else(|| {
        anyhow!("the init process of container {} has ended before it was started", claim.id)
    })?;
    Ok(Created { container, init })
}

/// Makes the container's user the owner of the pipes that its program gets from us: who opens `/dev/stdout` inside needs the
/// permission of the pipe, which belongs to who made it. What has a name on the host is left alone.
fn give_pipes(prepared: &Prepared) {
    let Some(user) = prepared.spec.process().as_ref().map(Process::user) else { return };
    let (uids, gids) = (prepared.ids.uids, prepared.ids.gids);
    if user.uid() >= uids.count() || user.gid() >= gids.count() {
        return;
    }
    let owner = (Uid::from_raw(uids.first() + user.uid()), Gid::from_raw(gids.first() + user.gid()));
    let give = |fd: BorrowedFd<'_>| match fstatfs(fd)?.f_type {
        PIPEFS_MAGIC => fchown(fd, Some(owner.0), Some(owner.1)),
        _ => Ok::<_, Errno>(()),
    };
    for given in [give(io::stdin().as_fd()), give(io::stdout().as_fd()), give(io::stderr().as_fd())] {
        if let Err(error) = given {
            tracing::warn!(%error, "the program may not open /dev/stdin, /dev/stdout or /dev/stderr");
        }
    }
}

impl Created {
    /// Lets the init process run the container's program.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.container.start().with_context(|| format!("cannot start container {}", self.container.id()))
    }
}
