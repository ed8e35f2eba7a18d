//! A container's root file system, ID-mapped and never chowned.

use sysbox_core::{AbsPath, HostError, IdMappings};

use crate::{idmap, overlay, userns::UserNamespace};

/// Attaches the root file system `rootfs` at `target`, ID-mapped: the tree itself, or, where an overlay is mounted exactly at
/// `rootfs`, a second overlay over the same layers and with the same options, each layer ID-mapped, the upper one too.
///
/// What root owns on disk belongs at `target` to the container's root, and what the container's root makes there is root's
/// on disk. Mounts below `rootfs` do not show at `target`, which may be `rootfs` itself. The time taken does not depend on
/// the number of files.
///
/// `scratch` is a directory that may be mounted on, in a mount namespace of this call's own; nothing of that is seen there,
/// or left. Any number of callers may give the same.
///
/// While the second overlay is in use, write through `target` alone (the kernel's `filesystems/overlayfs`, "Sharing and copying
/// layers"). When it is gone, [`tidy_idmapped`] lets the first one see what was written. There is one such overlay at a time.
///
/// # Errors
/// When a file system cannot be ID-mapped, the overlay allows no second one (`index=on`) or came out read-only, a path is
/// missing, the mappings have no root, or the caller is not root.
pub fn attach_idmapped(
    rootfs: &AbsPath,
    target: &AbsPath,
    scratch: &AbsPath,
    uids: &IdMappings,
    gids: &IdMappings,
) -> Result<(), HostError> {
    match overlay::mounted_at(rootfs)? {
        Some(overlay) => overlay.attach_idmapped(target, scratch, uids, gids),
        None => idmap::attach(rootfs, target, &UserNamespace::new(uids, gids)?),
    }
}

/// Lets the overlay mounted exactly at `rootfs` see what was written by way of [`attach_idmapped`], and removes the work directory that
/// was made for that. Does nothing where no overlay is. What was attached must be gone.
///
/// # Errors
/// When the overlay cannot be reconfigured, its layers cannot be found, or the caller is not root.
pub fn tidy_idmapped(rootfs: &AbsPath) -> Result<(), HostError> {
    let Some(overlay) = overlay::mounted_at(rootfs)? else { return Ok(()) };
    overlay.tidy_idmapped()?;
    overlay::refresh(rootfs)
}
