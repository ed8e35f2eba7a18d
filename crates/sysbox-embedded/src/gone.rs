//! Containers that nobody will start again: stopped, and their rootfs is no longer there.
//!
//! A client that knows of `remove` tells; Sysbox's own clients do not, and sysbox-mgr watches for the rootfs to go. Here it is
//! looked for when ids have run out, so that nothing need run meanwhile.

use std::{io::ErrorKind, path::Path};

use rusqlite::Connection;

use crate::{
    error::Fault,
    lifecycle,
    record::{ContainerRecord, ContainerState},
    registry,
};

/// Removes such containers, and tells how many there were.
pub(crate) fn remove(db: &Connection) -> Result<usize, Fault> {
    let mut removed = 0;
    for container in registry::list(db)? {
        if is_gone(&container) {
            tracing::info!(container = %container.id, rootfs = %container.rootfs, "its rootfs is gone: its ids are released");
            lifecycle::remove(db, &container.id)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_gone(container: &ContainerRecord) -> bool {
    let rootfs = container.rootfs.as_path();
    container.state == ContainerState::Stopped
        && is_missing(rootfs)
        // Docker removes the mount point `merged` whenever a container stops, and what is around it when it is removed.
        && (!rootfs.ends_with("merged") || rootfs.parent().is_some_and(is_missing))
}

/// Whether it is certain that a path is not there.
fn is_missing(path: &Path) -> bool {
    path.symlink_metadata()
        .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}
