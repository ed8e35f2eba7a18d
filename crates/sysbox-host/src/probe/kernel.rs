//! Probes of single features of the kernel.

use std::{fs::OpenOptions, path::Path};

use rustix::mount::{MountFlags, mount};
use sysbox_core::{HostError, host::Support};

use super::{no, probe_mapping};
use crate::{
    LinuxHost, error::failed, linux_host::lists, mount_namespace::on_private_thread, sys,
    userns::UserNamespace,
};

pub(super) const USER_NAMESPACES_CURE: &str =
    "run as root on a kernel with CONFIG_USER_NS and user.max_user_namespaces above 0";

pub(super) fn user_namespaces() -> Result<Support, HostError> {
    let mapping = probe_mapping();
    Ok(match UserNamespace::new(&mapping, &mapping) {
        Ok(_) => Support::Yes,
        Err(error) => no(&error, USER_NAMESPACES_CURE),
    })
}

pub(super) fn seccomp_notify() -> Support {
    match sys::seccomp_notify() {
        Ok(()) => Support::Yes,
        Err(error) => no(
            &failed("ask for", "seccomp user notification")(error),
            "use a kernel from 5.0 on with CONFIG_SECCOMP_FILTER",
        ),
    }
}

pub(super) fn fuse(host: &LinuxHost) -> Result<Support, HostError> {
    const CURE: &str = "run as root, with the module fuse loaded (modprobe fuse)";
    // Where FUSE is a module, opening its device loads it, as mounting would.
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        return Ok(no(&failed("open", "/dev/fuse")(error), CURE));
    }
    if is_known(host, "fuse")? {
        return Ok(Support::Yes);
    }
    let reason = "/dev/fuse can be opened, but /proc/filesystems has no fuse".to_owned();
    Ok(Support::No { reason, cure: Some(CURE.to_owned()) })
}

/// Asking to mount what the kernel does not know makes it look for a module, which has blocked hosts for minutes. So it is
/// tried only where it is there already.
pub(super) fn shiftfs(host: &LinuxHost) -> Result<Support, HostError> {
    if !is_known(host, "shiftfs")? {
        return Ok(Support::no("the kernel has no shiftfs loaded; kernels from 6.2 on have none"));
    }
    on_private_thread(|| {
        let dir = super::overlay::private_tmpfs()?;
        let mark = mount(dir, dir, "shiftfs", MountFlags::empty(), Some(c"mark"));
        Ok(match mark.map_err(failed("mount shiftfs at", Path::new(dir).display())) {
            Ok(()) => Support::Yes,
            Err(error) => Support::no(crate::error::chain(&error)),
        })
    })
}

fn is_known(host: &LinuxHost, file_system: &str) -> Result<bool, HostError> {
    Ok(host.read("proc/filesystems")?.is_some_and(|text| lists(&text, file_system)))
}
