//! Overlays: mounting them, on ID-mapped layers too, cloning them, and finding out what a mounted one is made of.

mod again;
pub mod clone;
mod context;
mod mapped;
mod shown;

use std::{fs, path::Path};

use rustix::{
    fs::CWD,
    mount::{FsPickFlags, MountAttrFlags, fsconfig_reconfigure, fspick},
};
use sysbox_core::{AbsPath, HostError, IdMappings, host::OverlayLayers};

use crate::{error::failed, idmap, mountinfo};

pub use again::Again;
use again::Purpose;
pub(crate) use mapped::common_parent;

/// Mounts an overlay of these layers at `target`.
///
/// Names may hold any character. A layer that is relative is taken from the working directory. A path of more than 255 bytes
/// needs Linux 6.13, and lower layers whose paths have more than that together need Linux 6.8.
///
/// # Errors
/// When the kernel does not take the layers or options (its own words are the cause), the overlay has an upper layer and
/// still came out read-only, `target` is no directory, or the caller is not root.
pub fn mount(layers: &OverlayLayers, target: &AbsPath) -> Result<(), HostError> {
    idmap::move_to(context::create(layers, MountAttrFlags::empty())?, target)
}

/// As [`mount`], with every layer ID-mapped, the upper one too: files that root owns on disk belong at `target` to the
/// container's root, and what the container's root makes there is root's on disk.
///
/// `scratch` is a directory that may be mounted on, in a mount namespace of this call's own; nothing of that is seen there,
/// or left. Any number of callers may give the same.
///
/// # Errors
/// As [`mount`], and when a layer's file system cannot be ID-mapped or the mappings have no root.
pub fn mount_idmapped(
    layers: &OverlayLayers,
    target: &AbsPath,
    scratch: &AbsPath,
    uids: &IdMappings,
    gids: &IdMappings,
) -> Result<(), HostError> {
    idmap::move_to(mapped::create(layers, MountAttrFlags::empty(), scratch, uids, gids)?, target)
}

/// Lets the overlay mounted exactly at `path` see what was written to its upper layer by another one, such as the ID-mapped
/// one of [`rootfs::attach_idmapped`](crate::rootfs::attach_idmapped), once that is gone. Does nothing where no overlay is.
///
/// What an overlay has looked up it remembers, missing names too, and it takes its layers to change through itself alone. A
/// reconfiguration that changes nothing makes it forget all that is not in use (`reconfigure_super()` in the kernel's fs/super.c).
///
/// # Errors
/// When the overlay cannot be reconfigured, or the caller is not root.
pub fn refresh(path: &AbsPath) -> Result<(), HostError> {
    let canonical = path.as_path().canonicalize().map_err(failed("resolve", path))?;
    let mount = mountinfo::of_path(&canonical)?;
    if mount.kind != "overlay" || mount.mount_point != canonical {
        return Ok(());
    }
    if shown::parse(&mount.super_options).upper.is_none() {
        // Nothing can be written to it by anybody, and the kernel takes a reconfiguration for a wish to.
        return Ok(());
    }
    fspick(CWD, &canonical, FsPickFlags::FSPICK_CLOEXEC)
        .and_then(|context| fsconfig_reconfigure(&context))
        .map_err(failed("refresh the overlay at", path))
}

/// An overlay that is mounted.
pub(crate) struct Mounted {
    pub(crate) layers: OverlayLayers,
    /// The options of the mount, as against those of the file system.
    attributes: MountAttrFlags,
}

impl Mounted {
    /// Attaches a second overlay of the same layers and options at `target`, ID-mapped.
    pub(crate) fn attach_idmapped(
        &self,
        target: &AbsPath,
        scratch: &AbsPath,
        uids: &IdMappings,
        gids: &IdMappings,
    ) -> Result<(), HostError> {
        let layers = again::with_own_work(&self.layers, Purpose::IdMapped)?;
        idmap::move_to(mapped::create(&layers, self.attributes, scratch, uids, gids)?, target)
    }

    /// Removes what [`attach_idmapped`](Self::attach_idmapped) has made beside the mount.
    pub(crate) fn tidy_idmapped(&self) -> Result<(), HostError> {
        again::remove_own_work(&self.layers, Purpose::IdMapped)
    }
}

/// The overlay whose mount point is exactly this path. Its layers are absolute.
pub(crate) fn mounted_at(path: &AbsPath) -> Result<Option<Mounted>, HostError> {
    let canonical = path.as_path().canonicalize().map_err(failed("resolve", path))?;
    let mount = mountinfo::of_path(&canonical)?;
    // A bind mount of a directory in an overlay is not the overlay.
    if mount.kind != "overlay" || mount.mount_point != canonical || mount.root != Path::new("/") {
        return Ok(None);
    }
    let layers = shown::absolute(shown::parse(&mount.super_options), &mount.mount_point)
        .map_err(failed("find the layers of the overlay at", path))?;
    Ok(Some(Mounted { layers, attributes: mount.attributes() }))
}

/// Whether a feature such as `index` is on in a mounted overlay: the options show only what is not the module's default.
fn is_on(layers: &OverlayLayers, feature: &str) -> bool {
    let default = || fs::read_to_string(format!("/sys/module/overlay/parameters/{feature}"));
    layers.has_option(&format!("{feature}=on"))
        || (!layers.has_option(&format!("{feature}=off")) && default().is_ok_and(|value| value.trim() == "Y"))
}
