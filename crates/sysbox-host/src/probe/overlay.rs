//! Probes of overlayfs, each on a tmpfs of its own in a mount namespace that ends with the probe.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, getxattr},
    io::Errno,
    mount::{MountFlags, mount},
};
use sysbox_core::{
    AbsPath, HostError, IdMappings, Owner,
    host::{OverlayLayers, Support},
};

use super::{PROBE_ROOT, no, probe_mapping};
use crate::{
    error::{Advised, failed},
    fs_identity,
    idmap::{Depth, mapped_clone},
    mount_namespace::on_private_thread,
    overlay,
    userns::UserNamespace,
};

/// Where probes mount their tmpfs: a directory that every host has and no probe needs.
const PLACE: &str = "/sys";

/// Directories of root's that every host has.
const HOST_DIRS: [&str; 2] = ["/etc", "/usr"];

const CURE: &str = "use a kernel from 5.19 on, from 6.3 on if the file system is a tmpfs";

/// Mounts a tmpfs that only this thread sees, and gives its path. To be called on a private thread.
pub(super) fn private_tmpfs() -> Result<&'static str, HostError> {
    mount("tmpfs", PLACE, "tmpfs", MountFlags::empty(), None).map_err(failed("mount a tmpfs at", PLACE))?;
    Ok(PLACE)
}

/// Mounts an overlay on ID-mapped layers and looks at owners: a directory of root's must be the mapped root's on the overlay,
/// and a file that the mapped root makes there must be root's on the upper layer.
pub(super) fn on_id_mapped() -> Result<Support, HostError> {
    on_private_thread(|| {
        let trial = Trial::new()?;
        let mapping = probe_mapping();
        if !tmpfs_is_id_mapped(&mapping)? {
            return on_id_mapped_lowers(&trial, &mapping);
        }
        let mounted =
            overlay::mount_idmapped(&trial.layers, &trial.merged, &trial.scratch, &mapping, &mapping);
        if let Err(error) = mounted {
            return Ok(no(&error, CURE));
        }
        let root = Owner::new(PROBE_ROOT, PROBE_ROOT);
        let seen = owner(&trial.merged.as_path().join("dir"))?;
        if seen != root {
            let reason = format!("a directory of root's belongs on the overlay to {seen} instead of {root}");
            return Ok(Support::No { reason, cure: Some(CURE.to_owned()) });
        }
        let made = trial.merged.as_path().join("dir/made");
        if let Err(error) =
            fs_identity::with(root, || fs::write(&made, "").map_err(failed("make", "a file on the overlay")))
        {
            return Ok(no(&error, CURE));
        }
        let on_disk = owner(&trial.upper().join("dir/made"))?;
        if !on_disk.is_root() {
            let reason =
                format!("a file made by the mapped root belongs on disk to {on_disk} instead of root");
            return Ok(Support::No { reason, cure: Some(CURE.to_owned()) });
        }
        Ok(Support::Yes)
    })
}

/// Whether the tmpfs of a trial can be ID-mapped, which it can from Linux 6.3 on.
fn tmpfs_is_id_mapped(mapping: &IdMappings) -> Result<bool, HostError> {
    match mapped_clone(CWD, Path::new(PLACE), &UserNamespace::new(mapping, mapping)?, Depth::One) {
        Ok(_) => Ok(true),
        Err(Advised { source: Errno::INVAL, .. }) => Ok(false),
        Err(error) => Err(failed("ID-map", PLACE)(error)),
    }
}

/// The same where there is no tmpfs to write to: overlayfs learned of all ID-mapped layers at once (Linux 5.19), so two
/// directories of the host tell by how they look as lower layers. Whether an upper layer can be written is looked at
/// whenever one is mounted.
fn on_id_mapped_lowers(trial: &Trial, mapping: &IdMappings) -> Result<Support, HostError> {
    let lower = HOST_DIRS.map(PathBuf::from).to_vec();
    let layers = OverlayLayers { lower, data: Vec::new(), upper: None, work: None, options: Vec::new() };
    if let Err(error) = overlay::mount_idmapped(&layers, &trial.merged, &trial.scratch, mapping, mapping) {
        return Ok(no(&error, CURE));
    }
    let (on_disk, seen) = (owner(Path::new(HOST_DIRS[0]))?, owner(trial.merged.as_path())?);
    let root = Owner::new(PROBE_ROOT, PROBE_ROOT);
    if on_disk.is_root() && seen == root {
        return Ok(Support::Yes);
    }
    let reason = format!("{} of {on_disk} belongs on the overlay to {seen} instead of {root}", HOST_DIRS[0]);
    Ok(Support::No { reason, cure: Some(CURE.to_owned()) })
}

/// Changes an owner on an overlay with `metacopy=on`, and looks that the upper layer has the mark and not the data.
pub(super) fn metacopy() -> Result<Support, HostError> {
    const CURE: &str = "use a kernel from 4.19 on with overlayfs, whose upper layers take trusted xattrs";
    on_private_thread(|| {
        let mut trial = Trial::new()?;
        trial.layers.options.push("metacopy=on".to_owned());
        if let Err(error) = overlay::mount(&trial.layers, &trial.merged) {
            return Ok(no(&error, CURE));
        }
        let file = trial.merged.as_path().join("dir/file");
        chown(&file, Some(1), Some(1)).map_err(failed("change the owner of", file.display()))?;
        let copy = trial.upper().join("dir/file");
        let marked = getxattr(&copy, "trusted.overlay.metacopy", &mut [0u8; 64][..]).is_ok();
        let blocks = fs::metadata(&copy).map_err(failed("look at", copy.display()))?.blocks();
        if marked && blocks == 0 {
            return Ok(Support::Yes);
        }
        let reason = format!("a change of owner copied the data too ({blocks} blocks of 512 bytes)");
        Ok(Support::No { reason, cure: Some(CURE.to_owned()) })
    })
}

/// Layers on a tmpfs; the lower one has the directory `dir` with a `file` in it, both root's.
struct Trial {
    layers: OverlayLayers,
    merged: AbsPath,
    scratch: AbsPath,
}

impl Trial {
    fn new() -> Result<Self, HostError> {
        let place = Path::new(private_tmpfs()?);
        Self::lay_out(place).map_err(failed("lay out layers below", place.display()))
    }

    fn lay_out(place: &Path) -> io::Result<Self> {
        let dir = |name: &str| -> io::Result<PathBuf> {
            let path = place.join(name);
            fs::create_dir(&path).map(|()| path)
        };
        let at = |name: &str| AbsPath::new(dir(name)?).map_err(io::Error::other);
        let lower = dir("lower")?;
        fs::create_dir(lower.join("dir"))?;
        fs::write(lower.join("dir/file"), [1; 4096])?;
        let layers = OverlayLayers {
            lower: vec![lower],
            data: Vec::new(),
            upper: Some(dir("upper")?),
            work: Some(dir("work")?),
            options: Vec::new(),
        };
        Ok(Self { layers, merged: at("merged")?, scratch: at("scratch")? })
    }

    fn upper(&self) -> PathBuf {
        self.layers.upper.clone().unwrap_or_default()
    }
}

fn owner(path: &Path) -> Result<Owner, HostError> {
    let metadata = fs::symlink_metadata(path).map_err(failed("look at", path.display()))?;
    Ok(Owner::new(metadata.uid(), metadata.gid()))
}

#[cfg(all(test, feature = "root-tests"))]
mod tests {
    use super::*;

    #[test]
    fn directories_of_the_host_tell_as_much_as_a_tmpfs_does() {
        let (by_tmpfs, by_dirs) =
            (on_id_mapped(), on_private_thread(|| on_id_mapped_lowers(&Trial::new()?, &probe_mapping())));
        assert_eq!(by_tmpfs.expect("run as root"), by_dirs.expect("run as root"));
    }
}
