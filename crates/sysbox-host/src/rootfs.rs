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
/// As the second overlay takes over the upper layer and work directory, the first one is for reading only from then on
/// (the kernel's `filesystems/overlayfs`, "Sharing and copying layers"): write through `target`.
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
