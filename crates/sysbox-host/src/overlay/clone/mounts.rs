//! What is mounted where. Two paths show the same overlay if their device is the same: each overlay has one of its own.

use rustix::{
    fs::{CWD, stat},
    mount::{MountAttrFlags, MountPropagationFlags, OpenTreeFlags, mount_change, open_tree},
};
use sysbox_core::{AbsPath, host::OverlayLayers};

use super::{CloneError, OverlayClone, error::abs};
use crate::{
    error::failed,
    idmap::move_to,
    mount_namespace::detach_below,
    mountinfo,
    overlay::{self, Mounted},
};

/// The overlay that is cloned.
pub(super) struct Rootfs {
    path: AbsPath,
    mounted: Mounted,
}

impl Rootfs {
    /// Finds it at this path, and checks that it can be cloned.
    pub(super) fn find(rootfs: &AbsPath) -> Result<Self, CloneError> {
        let path = abs(rootfs.as_path().canonicalize().map_err(failed("resolve", rootfs))?)?;
        let mounted =
            overlay::mounted_at(&path)?.ok_or_else(|| CloneError::NotAnOverlay { rootfs: rootfs.clone() })?;
        let Mounted { layers, attributes } = &mounted;
        let read_only = layers.has_option("ro") || attributes.contains(MountAttrFlags::MOUNT_ATTR_RDONLY);
        if layers.upper.is_none() || layers.work.is_none() || read_only {
            return Err(CloneError::NotWritable { rootfs: rootfs.clone() });
        }
        if overlay::is_on(layers, "index") {
            return Err(CloneError::Indexed { rootfs: rootfs.clone() });
        }
        if layers.has_option("userxattr") {
            return Err(CloneError::UserAttributes { rootfs: rootfs.clone() });
        }
        Ok(Self { path, mounted })
    }

    /// Its mount point, without symbolic links.
    pub(super) const fn path(&self) -> &AbsPath {
        &self.path
    }

    pub(super) const fn layers(&self) -> &OverlayLayers {
        &self.mounted.layers
    }

    /// The options of the mount.
    pub(super) const fn attributes(&self) -> MountAttrFlags {
        self.mounted.attributes
    }
}

impl OverlayClone {
    /// Shows the mount at `source` where the clone is attached, in place of what is there.
    pub(super) fn show(&self, source: &AbsPath) -> Result<(), CloneError> {
        let path = &self.path;
        if !is_mount_point(path)? || device(path)? != device(source)? {
            detach_below(path)?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let mount =
                open_tree(CWD, source.as_path(), flags).map_err(failed("clone the mount at", source))?;
            move_to(mount, path)?;
        }
        // Else what is mounted below the source later would show here too, and be unmounted there when it is here.
        mount_change(path.as_path(), MountPropagationFlags::PRIVATE)
            .map_err(failed("keep mounts apart at", path))?;
        Ok(())
    }
}

/// Whether something is mounted exactly here.
pub(super) fn is_mount_point(path: &AbsPath) -> Result<bool, CloneError> {
    let Ok(canonical) = path.as_path().canonicalize() else { return Ok(false) };
    Ok(mountinfo::of_path(&canonical)?.mount_point == canonical)
}

fn device(path: &AbsPath) -> Result<u64, CloneError> {
    Ok(stat(path.as_path()).map_err(failed("look at", path))?.st_dev)
}
