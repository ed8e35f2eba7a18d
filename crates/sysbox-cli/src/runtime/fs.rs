//! The calls to sysbox-fs in the life of a container. Without an fs daemon each does nothing.

use std::time::SystemTime;

use oci_spec::runtime::Spec;
use sysbox::{AbsPath, FsRegInfo, HostGid, HostUid, Sysbox, blocking::wait};

use super::{Prepared, PrivateMounts, SeccompListener};
use crate::container::ProcessId;

/// Asks where the emulated files are. A daemon that says it emulates none is not asked for anything more.
pub(crate) fn get_config(sysbox: &mut Sysbox) -> anyhow::Result<()> {
    match wait(sysbox.fs.find_mountpoint())? {
        Some(mountpoint) => tracing::debug!(%mountpoint, "sysbox-fs emulates /proc and /sys"),
        None => tracing::debug!("there is no sysbox-fs: the container sees the kernel's own /proc and /sys"),
    }
    Ok(())
}

/// Listens for the descriptor of the seccomp filter by which sysbox-fs traps system calls, where there is somebody to take it.
pub(crate) fn listen_for_seccomp(
    sysbox: &Sysbox,
    mounts: &PrivateMounts,
) -> anyhow::Result<Option<SeccompListener>> {
    if !(sysbox.fs.enabled() && sysbox.fs.takes_seccomp()) {
        return Ok(None);
    }
    Ok(Some(SeccompListener::listen(mounts.path("seccomp.sock")?)?))
}

/// Makes the container known before it has a process.
pub(crate) fn pre_register(sysbox: &mut Sysbox, spec: &Spec) -> anyhow::Result<()> {
    if sysbox.fs.enabled() {
        wait(sysbox.fs.pre_register(spec))?;
    }
    Ok(())
}

/// Tells of the container that was created.
pub(crate) fn register(sysbox: &mut Sysbox, prepared: &Prepared, init: ProcessId) -> anyhow::Result<()> {
    if sysbox.fs.enabled() {
        wait(sysbox.fs.register(&info(prepared, init)))?;
        wait(sysbox.fs.send_creation_time(SystemTime::now()))?;
    }
    Ok(())
}

fn info(prepared: &Prepared, init: ProcessId) -> FsRegInfo {
    let Prepared { spec, ids, .. } = prepared;
    let linux = spec.linux().as_ref();
    FsRegInfo {
        hostname: spec.hostname().clone().filter(|name| !name.is_empty()),
        pid: init.pid,
        uid: HostUid(ids.uids.first()),
        gid: HostGid(ids.gids.first()),
        id_size: ids.uids.count(),
        proc_ro_paths: below_proc(linux.and_then(|linux| linux.readonly_paths().as_deref())),
        proc_mask_paths: below_proc(linux.and_then(|linux| linux.masked_paths().as_deref())),
    }
}

/// Only what sysbox-fs may have mounted over is its business.
fn below_proc(paths: Option<&[String]>) -> Vec<AbsPath> {
    let paths = paths.unwrap_or_default().iter().filter(|path| path.starts_with("/proc/"));
    paths.filter_map(|path| AbsPath::new(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_proc_are_told() {
        let paths = ["/proc/sys", "/sys/firmware", "/procfs/x", "/proc/kcore"].map(str::to_owned);
        let told = below_proc(Some(&paths));
        let expected = ["/proc/sys", "/proc/kcore"].map(|path| AbsPath::new(path).expect("absolute"));
        assert_eq!(told, expected);
        assert!(below_proc(None).is_empty());
    }
}
