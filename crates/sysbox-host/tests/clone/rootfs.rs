//! A rootfs to be cloned: an overlay over two furnished lower layers, with something in its upper layer already.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::fs::FileType;
use sysbox_core::{AbsPath, IdRange, host::OverlayLayers, tree::TreeIds};
use sysbox_host::{
    chown::ShiftReport,
    overlay::{
        self,
        clone::{CloneError, OverlayClone},
    },
};

use crate::{
    place::{GID, Place, UID},
    support::{
        ACCESS_ACL, CAPABILITY, DEFAULT_ACL, Snapshot, acl, capability, node, own, set_attribute, snapshot,
    },
};

/// The ids of the container, as the user namespace of [`crate::place::userns`] has them.
pub(crate) fn ids() -> TreeIds {
    shifted_by(UID, GID)
}

pub(crate) fn shifted_by(uid: u32, gid: u32) -> TreeIds {
    let range = |first| IdRange::new(first, 65_536).expect("valid");
    TreeIds { uids: range(uid), gids: range(gid) }
}

/// A rootfs and its clone.
pub(crate) struct Rootfs {
    pub(crate) layers: OverlayLayers,
    /// Where the overlay is mounted.
    pub(crate) path: AbsPath,
    pub(crate) clone: OverlayClone,
}

impl Rootfs {
    /// With these options, in the directory `name` of the place.
    pub(crate) fn new(place: &Place, name: &str, options: &[&str]) -> Self {
        let layers = Self::layers(place, name, options);
        let path = place.dir(&format!("{name}/merged"));
        overlay::mount(&layers, &path).expect("mounted");
        Self::at(layers, path, place.at(&format!("{name}-clone")))
    }

    pub(crate) fn at(layers: OverlayLayers, path: AbsPath, dir: AbsPath) -> Self {
        Self { layers, path, clone: OverlayClone::new(dir).expect("short enough") }
    }

    /// Furnished layers that are not mounted.
    pub(crate) fn layers(place: &Place, name: &str, options: &[&str]) -> OverlayLayers {
        let dir = |layer: &str| place.dir(&format!("{name}/{layer}")).as_path().to_owned();
        let (above, below, upper) = (dir("above"), dir("below"), dir("upper"));
        furnish(&below);
        fs::write(above.join("etc-of-above"), "above").expect("written");
        fs::create_dir(above.join("usr")).expect("made");
        node(&above.join("usr/hidden"), FileType::CharacterDevice, 0, 0o600, (0, 0));
        fs::write(upper.join("own"), "upper").expect("written");
        own(&upper.join("own"), 0o4755, (3, 4));
        OverlayLayers {
            lower: vec![above, below],
            data: Vec::new(),
            upper: Some(upper),
            work: Some(dir("work")),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        }
    }

    pub(crate) fn upper(&self) -> &Path {
        self.layers.upper.as_deref().expect("given")
    }

    pub(crate) fn work(&self) -> &Path {
        self.layers.work.as_deref().expect("given")
    }

    pub(crate) fn attach(&self) {
        self.clone.attach(&self.path).expect("attached");
    }

    pub(crate) fn shift(&self) -> ShiftReport {
        self.shift_to(ids()).expect("shifted")
    }

    pub(crate) fn shift_to(&self, ids: TreeIds) -> Result<ShiftReport, CloneError> {
        self.clone.shift(&"c1".parse().expect("valid"), ids, &|_| ())
    }

    pub(crate) fn revert(&self) {
        self.clone.revert(&|_| ()).expect("reverted");
    }

    /// What is below the place where the clone is attached.
    pub(crate) fn shown(&self, name: &str) -> std::path::PathBuf {
        self.clone.path().as_path().join(name)
    }

    /// All that is on disk of the rootfs: its layers, and what stands beside them.
    pub(crate) fn on_disk(&self) -> Snapshot {
        let dirs = self.layers.lower.iter().map(std::path::PathBuf::as_path).chain([self.upper()]);
        dirs.flat_map(snapshot).collect()
    }

    /// The names in the work directory; the kernel's own ones are always there.
    pub(crate) fn works(&self) -> usize {
        fs::read_dir(self.work()).expect("there").count()
    }
}

/// Furnishes a layer with all that an owner matters to.
fn furnish(layer: &Path) {
    let dir = |name: &str, mode, owner| {
        fs::create_dir(layer.join(name)).expect("made");
        own(&layer.join(name), mode, owner)
    };
    let file = |name: &str, mode, owner| {
        fs::write(layer.join(name), name.repeat(1000)).expect("written");
        own(&layer.join(name), mode, owner)
    };
    dir("usr", 0o755, (0, 0));
    dir("usr/deep", 0o2775, (0, 5));
    dir("home", 0o700, (1000, 1000));
    file("usr/hidden", 0o644, (0, 0));
    file("usr/sudo", 0o4755, (0, 0));
    file("usr/deep/group", 0o2755, (0, 5));
    file("usr/deep/plain", 0o644, (0, 0));
    file("usr/removed", 0o644, (0, 0));
    file("home/mine", 0o600, (1000, 1000));
    file("foreign", 0o644, (70_000, 70_000));
    set_attribute(&file("usr/ping", 0o755, (0, 0)), CAPABILITY, &capability(0));
    set_attribute(&file("usr/shared", 0o644, (0, 0)), ACCESS_ACL, &acl(&[7], &[8]));
    set_attribute(&layer.join("home"), DEFAULT_ACL, &acl(&[7], &[8]));
    fs::hard_link(layer.join("usr/sudo"), layer.join("usr/sudoedit")).expect("same file system");
    symlink("usr/sudo", layer.join("link")).expect("made");
    node(&layer.join("fifo"), FileType::Fifo, 0, 0o644, (9, 9));
}
