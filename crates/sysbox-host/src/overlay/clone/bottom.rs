//! The bottom overlay: the lower layers of the rootfs, with owners that are shifted in an upper layer of the clone's own.
//!
//! All of it lies in the directory `layers` of the clone, which root alone may enter: there are the set-id files of the rootfs
//! with other owners. It goes away as a whole, by one rename, and so never by halves.

use std::fs;

use rustix::mount::MountAttrFlags;
use sysbox_core::{AbsPath, ContainerId, host::OverlayLayers, tree::TreeIds};

use super::{CloneError, Memory, OverlayClone, error::child, make_dir};
use crate::{
    chown::{self, Progress, ShiftReport},
    error::failed,
    mount_namespace::detach_below,
    overlay::{self, context},
    remove::remove_tree,
};

/// What lies in the directory `layers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layers {
    dir: AbsPath,
    /// The upper layer of the bottom.
    pub(super) upper: AbsPath,
    work: AbsPath,
    /// Where the bottom is mounted.
    pub(super) bottom: AbsPath,
    /// Where the top is mounted.
    pub(super) top: AbsPath,
    empty: AbsPath,
}

impl Layers {
    pub(super) fn new(dir: AbsPath) -> Result<Self, CloneError> {
        let child = |name| child(&dir, name);
        let (upper, work) = (child("upper")?, child("work")?);
        let (bottom, top, empty) = (child("bottom")?, child("top")?, child("empty")?);
        Ok(Self { dir, upper, work, bottom, top, empty })
    }

    fn make(&self) -> Result<(), CloneError> {
        let Self { dir, upper, work, bottom, top, empty } = self;
        make_dir(dir, 0o700)?;
        [upper, work, bottom, top, empty].into_iter().try_for_each(|dir| make_dir(dir, 0o755))
    }
}

impl OverlayClone {
    /// Mounts the bottom if it is not mounted here, and checks that another overlay can be stacked on it.
    pub(super) fn mount_bottom(&self, memory: &Memory) -> Result<(), CloneError> {
        remove_tree(&self.discarded)?;
        make_dir(&self.path, 0o755)?;
        self.layers.make()?;
        let bottom = &self.layers.bottom;
        if overlay::mounted_at(bottom)?.is_some() {
            // It may have been shifted by way of another mount of it.
            return Ok(overlay::refresh(bottom)?);
        }
        overlay::mount(&self.bottom_layers(memory), bottom)?;
        self.check_bottom(memory).inspect_err(|_| drop(detach_below(bottom)))
    }

    fn check_bottom(&self, memory: &Memory) -> Result<(), CloneError> {
        // The kernel goes on without, where the upper layer keeps no attributes.
        let mounted = overlay::mounted_at(&self.layers.bottom)?;
        if !mounted.is_some_and(|mounted| overlay::is_on(&mounted.layers, "metacopy")) {
            return Err(CloneError::NoMetacopy { dir: self.dir.clone() });
        }
        self.check_depth(memory)
    }

    fn bottom_layers(&self, memory: &Memory) -> OverlayLayers {
        let own = ["metacopy=on", "redirect_dir=on", "index=off"].map(str::to_owned);
        OverlayLayers {
            upper: Some(self.layers.upper.clone().into()),
            work: Some(self.layers.work.clone().into()),
            options: own.into_iter().chain(memory.layers.options.iter().cloned()).collect(),
            ..memory.layers.clone()
        }
    }

    /// Tries an overlay on the bottom, which the kernel refuses if there are two below it already. (It is not the top one,
    /// for that would write to the work directory of the rootfs.)
    fn check_depth(&self, memory: &Memory) -> Result<(), CloneError> {
        let lower = [&self.layers.bottom, &self.layers.empty].map(|dir| dir.clone().into()).to_vec();
        let layers = OverlayLayers { lower, data: Vec::new(), upper: None, work: None, options: Vec::new() };
        let too_deep = |source| CloneError::TooDeep { rootfs: memory.rootfs.clone(), source };
        context::create(&layers, MountAttrFlags::empty()).map(drop).map_err(too_deep)
    }

    /// Shifts the owners in the bottom. If they are shifted to other ids, its layers are made anew.
    pub(super) fn shift_bottom(
        &self,
        memory: &Memory,
        container: &ContainerId,
        ids: TreeIds,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<ShiftReport, CloneError> {
        if chown::record(&self.layers.upper)?.is_some_and(|record| record.ids != ids) {
            self.discard_layers()?;
        }
        self.mount_bottom(memory)?;
        Ok(chown::shift_tree(&self.layers.bottom, container, ids, progress)?)
    }

    /// Removes the layers of the clone, and what is mounted of them.
    pub(super) fn discard_layers(&self) -> Result<(), CloneError> {
        self.detach()?;
        remove_tree(&self.discarded)?;
        let layers = &self.layers.dir;
        if layers.as_path().exists() {
            fs::rename(layers, &self.discarded).map_err(failed("rename", layers))?;
        }
        remove_tree(&self.discarded)?;
        Ok(())
    }
}
