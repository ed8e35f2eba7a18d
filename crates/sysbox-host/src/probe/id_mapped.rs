//! Probes of ID-mapped mounts: a detached clone of the very path is mapped, and never attached.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{CWD, statfs, statvfs},
    io::Errno,
};
use sysbox_core::{
    AbsPath, HostError,
    host::{OverlayLayers, Support},
};

use super::{kernel, no, probe_mapping};
use crate::{
    LinuxHost,
    error::{Advised, failed},
    idmap::{Depth, mapped_clone},
    mountinfo, overlay,
    userns::UserNamespace,
};

/// What was found of each file system: the name of its type if it cannot be ID-mapped.
#[derive(Debug, Default)]
pub(crate) struct IdMappedCache(Mutex<HashMap<FileSystemId, Option<String>>>);

/// Its type and id (`f_type`, `f_fsid`; `statfs(2)`). The id alone is not enough: an overlay may give its upper layer's.
type FileSystemId = (i64, u64);

impl IdMappedCache {
    fn get(&self, id: FileSystemId) -> Option<Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Some file systems have no id of their own, but 0.
    fn keep(&self, id: FileSystemId, kind: Option<String>) {
        if id.1 != 0 {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, kind);
        }
    }
}

/// Whether a mount of this path can be ID-mapped.
pub(super) fn mount(host: &LinuxHost, path: &Path) -> Result<Support, HostError> {
    let look = || failed("look at the file system of", path.display());
    let id = (statfs(path).map_err(look())?.f_type, statvfs(path).map_err(look())?.f_fsid);
    if let Some(kind) = host.id_mapped().get(id) {
        return Ok(answer(path, kind));
    }
    let mapping = probe_mapping();
    let userns = match UserNamespace::new(&mapping, &mapping) {
        Ok(userns) => userns,
        Err(error) => return Ok(no(&error, kernel::USER_NAMESPACES_CURE)),
    };
    let kind = match mapped_clone(CWD, path, &userns, Depth::One) {
        Ok(_) => None,
        Err(Advised { source: Errno::INVAL, .. }) => Some(mountinfo::of_path(path)?.kind),
        // That is so of this mount, or of this caller, and not of the file system.
        Err(error) => return Ok(no(&failed("ID-map", path.display())(error), "give a plain mount, to root")),
    };
    host.id_mapped().keep(id, kind.clone());
    Ok(answer(path, kind))
}

fn answer(path: &Path, kind: Option<String>) -> Support {
    let Some(kind) = kind else { return Support::Yes };
    Support::No {
        reason: format!("{} is on {kind}, which this kernel does not ID-map", path.display()),
        cure: Some(
            "use ext4, xfs, btrfs or another file system that can be ID-mapped, or a later kernel".to_owned(),
        ),
    }
}

/// Whether a rootfs can be given ID-mapped: by itself, or, where an overlay is mounted at it, by its layers.
pub(super) fn rootfs(host: &LinuxHost, path: &AbsPath) -> Result<Support, HostError> {
    let Some(mounted) = overlay::mounted_at(path)? else { return mount(host, path.as_path()) };
    if has_index(host, &mounted.layers)? {
        return Ok(Support::No {
            reason: format!(
                "the overlay at {path} has index=on, and so no second one may use its upper layer"
            ),
            cure: Some("mount it with index=off".to_owned()),
        });
    }
    let OverlayLayers { lower, data, .. } = &mounted.layers;
    let upper = overlay::common_parent(&mounted.layers)?.map(|common| common.parent);
    for layer in lower.iter().chain(data).chain(&upper) {
        if let no @ Support::No { .. } = mount(host, layer)? {
            return Ok(no);
        }
    }
    super::overlay::on_id_mapped()
}

/// An option that is as the module was told is not shown.
fn has_index(host: &LinuxHost, layers: &OverlayLayers) -> Result<bool, HostError> {
    if layers.upper.is_none() || layers.has_option("index=off") {
        return Ok(false);
    }
    let default = host.read("sys/module/overlay/parameters/index")?;
    let nfs_export = layers.has_option("nfs_export=on");
    Ok(nfs_export || layers.has_option("index=on") || default.is_some_and(|value| value.starts_with('Y')))
}
