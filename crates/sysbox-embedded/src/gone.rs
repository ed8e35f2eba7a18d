//! Containers that nobody will start again: stopped, and their rootfs is no longer there.
//!
//! A client that knows of `remove` tells; Sysbox's own clients do not, and sysbox-mgr watches for the rootfs to go. A daemon
//! watches here too ([`watch`](crate::watch)); without one, each registration looks at a few stopped containers, and when ids
//! have run out at all.

use std::{io::ErrorKind, path::Path};

use sysbox_core::{AbsPath, ContainerId};

use crate::{
    disk::Disk,
    record::{ContainerRecord, ContainerState},
};

/// Those of them.
pub(crate) fn among(containers: Vec<ContainerRecord>) -> Vec<ContainerId> {
    containers.into_iter().filter(is_gone).map(|container| container.id).collect()
}

fn is_gone(container: &ContainerRecord) -> bool {
    container.state == ContainerState::Stopped && rootfs_is_gone(&container.rootfs, container.disk)
}

/// Whether a rootfs is gone for good. `disk` is what holds it: where that is not mounted, it has the rootfs still.
pub(crate) fn rootfs_is_gone(rootfs: &AbsPath, disk: Option<Disk>) -> bool {
    let path = rootfs.as_path();
    is_missing(path)
        // Docker removes the mount point `merged` whenever a container stops, and what is around it when it is removed.
        && (!path.ends_with("merged") || path.parent().is_some_and(is_missing))
        && disk.is_none_or(|known| Disk::that_holds(rootfs).ok() == Some(known))
}

/// Whether it is certain that a path is not there.
fn is_missing(path: &Path) -> bool {
    path.symlink_metadata()
        .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}
