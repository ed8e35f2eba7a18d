//! A rootfs on overlayfs whose owners can be shifted cheaply, for kernels that take no overlay on ID-mapped layers.
//!
//! Two overlays are stacked. The **bottom** one is over the lower layers of the rootfs, with `metacopy=on` and an upper layer
//! of the clone's own: there the owners are shifted, by copies of inodes without their data. The **top** one has the bottom
//! as its lower layer, and the upper layer of the rootfs as its own: so all that a container writes lands in the rootfs
//! itself, whose few files are shifted where they are. What reads the rootfs later, as to commit it, sees it all.
//!
//! - **Nothing of the container is in the clone.** When it is not shifted, it can be discarded at any time.
//! - **Back is cheap.** Only the upper layer of the rootfs is shifted back; the bottom stays shifted for the next time, until
//!   other ids are asked for or the rootfs has other layers.
//! - **On record.** The clone remembers, before its first mount, which layers it is about, and before the first change of an
//!   owner in the rootfs, for whom; the rest is in the records of the two upper layers (see [`chown`]). So after a kill at
//!   any point, or a loss of power, [`OverlayClone::revert`] and [`OverlayClone::discard`] leave the rootfs as it was.
//!
//! Two overlays are as many as the kernel stacks: in the container no overlay can have a directory of the rootfs as a lower
//! layer. What is mounted there from elsewhere can be one.
//!
//! While a clone is shifted, write through it alone. The rootfs itself can be read all the time, with owners half shifted.

mod bottom;
mod error;
mod memory;
mod mounts;
mod top;

use std::{fs, os::unix::fs::DirBuilderExt};

use sysbox_core::{
    AbsPath, ContainerId, Owner,
    tree::{TreeIds, TreePhase, TreeRecord},
};

pub use self::error::CloneError;
use self::{bottom::Layers, error::child, memory::Memory, mounts::Rootfs};
use crate::{
    chown::{self, ChownError, Progress, ShiftReport},
    error::failed,
    mount_namespace::detach_below,
    remove::remove_tree,
};

/// A rootfs that is an overlay, attached elsewhere with owners that can be shifted.
///
/// What it is lies in its directory alone: two of the same directory are the same, also in another process or after a reboot.
/// Two calls must not work on one directory, or on clones of one rootfs, at the same time: the caller sees to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayClone {
    dir: AbsPath,
    /// Where it is attached.
    path: AbsPath,
    layers: Layers,
    /// Layers on their way out.
    discarded: AbsPath,
}

impl OverlayClone {
    /// The clone that lies in this directory, which should hold nothing else. Nothing is done yet.
    ///
    /// The directory is best on a file system with room for an inode of each file in the rootfs, and none of its data.
    ///
    /// # Errors
    /// [`CloneError::Host`] when the paths in it would be longer than a path can be.
    pub fn new(dir: AbsPath) -> Result<Self, CloneError> {
        let (path, discarded) = (child(&dir, "rootfs")?, child(&dir, "discarded")?);
        Ok(Self { path, layers: Layers::new(child(&dir, "layers")?)?, discarded, dir })
    }

    /// Where the clone is attached: the directory `rootfs` in its own.
    pub const fn path(&self) -> &AbsPath {
        &self.path
    }

    /// Attaches the clone of this rootfs in the mount namespace of the calling thread, or brings in line what is attached
    /// there: shifted, if it is on record as that, and otherwise the rootfs itself.
    ///
    /// It may be called again at any time, after a reboot too.
    ///
    /// # Errors
    /// [`CloneError::NotAnOverlay`], [`CloneError::NotWritable`], [`CloneError::Indexed`], [`CloneError::UserAttributes`],
    /// [`CloneError::TooDeep`], [`CloneError::NoMetacopy`], [`CloneError::InUse`], [`CloneError::LayersChanged`], or a
    /// [`CloneError::Host`] with the words of the kernel when it takes no overlay over these layers: the rootfs is as it was.
    pub fn attach(&self, rootfs: &AbsPath) -> Result<(), CloneError> {
        let rootfs = Rootfs::find(rootfs)?;
        let memory = self.remember(&rootfs)?;
        self.mount_bottom(&memory)?;
        if self.is_shifted(&memory)? { self.show_top(&rootfs, &memory) } else { self.show(rootfs.path()) }
    }

    /// Shifts the owners to these ids of the host, for this container, and shows them at [`path`](Self::path).
    ///
    /// The clone must have been attached once. It finishes what an interrupted call has begun. `progress` is told of two
    /// walks: through the lower layers, unless the ids are those of the last time, and then through the upper one.
    ///
    /// # Errors
    /// As [`attach`](Self::attach); [`CloneError::NotAttached`]; [`CloneError::Chown`] as from
    /// [`shift_tree`](chown::shift_tree). Call it again to go on, or [`revert`](Self::revert) to undo it.
    pub fn shift(
        &self,
        container: &ContainerId,
        ids: TreeIds,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<ShiftReport, CloneError> {
        let remembered = self.memory()?.ok_or_else(|| CloneError::NotAttached { dir: self.dir.clone() })?;
        let rootfs = Rootfs::find(&remembered.rootfs)?;
        let mut memory = self.remember(&rootfs)?;
        let upper = memory.upper()?;
        if let Some(record) = chown::record(&upper)? {
            if record.container != *container {
                return Err(CloneError::InUse { upper, record });
            }
            if record.ids != ids || !record.from.is_root() {
                return Err(ChownError::OtherIds { root: upper.into(), record }.into());
            }
        }
        let below = self.shift_bottom(&memory, container, ids, progress)?;
        memory.shifted_for = Some(container.clone());
        memory.write(&self.dir)?;
        let above = chown::shift_tree(&upper, container, ids, progress)?;
        self.show_top(&rootfs, &memory)?;
        super::refresh(rootfs.path())?;
        Ok(ShiftReport { inodes: below.inodes + above.inodes, changed: below.changed + above.changed })
    }

    /// Shifts the owners of the rootfs back, and shows it at [`path`](Self::path) if the clone is attached.
    ///
    /// It undoes an interrupted shift and finishes an interrupted revert, and needs nothing to be mounted. Where nothing is
    /// shifted there is nothing to do. Where the upper layer of the rootfs is not there, it stays on record as shifted: its
    /// disk may be mounted later, and then another call shifts it back.
    ///
    /// # Errors
    /// [`CloneError::Chown`] as from [`revert_tree`](chown::revert_tree), or [`CloneError::Host`]; call it again to go on.
    pub fn revert(&self, progress: &(dyn Fn(Progress) + Sync)) -> Result<(), CloneError> {
        let Some(mut memory) = self.memory()?.filter(|memory| memory.shifted_for.is_some()) else {
            return Ok(());
        };
        let attached = mounts::is_mount_point(&self.path)?;
        if attached {
            detach_below(&self.path)?;
        }
        let upper = memory.upper()?;
        // Asked once, and first: one that comes meanwhile was not looked at.
        let is_there = upper.as_path().exists();
        if self.record(&memory)?.is_some() {
            chown::revert_tree(&upper, progress)?;
        }
        if memory.rootfs.as_path().exists() {
            super::refresh(&memory.rootfs)?;
        }
        if attached && super::mounted_at(&memory.rootfs).is_ok_and(|mounted| mounted.is_some()) {
            self.show(&memory.rootfs)?;
        }
        if is_there {
            memory.shifted_for = None;
            memory.write(&self.dir)?;
        }
        Ok(())
    }

    /// Unmounts all of the clone in the mount namespace of the calling thread. It can be attached again.
    ///
    /// # Errors
    /// [`CloneError::Host`] when a mount cannot be detached.
    pub fn detach(&self) -> Result<(), CloneError> {
        detach_below(&self.dir)?;
        Ok(())
    }

    /// Detaches the clone and removes its directory; the rootfs is as if there had never been one.
    ///
    /// # Errors
    /// [`CloneError::Shifted`] when it is to be reverted first, or [`CloneError::Host`]; call it again to go on.
    pub fn discard(&self) -> Result<(), CloneError> {
        let memory = self.memory()?;
        if let Some(memory) = &memory
            && self.record(memory)?.is_some()
        {
            return Err(CloneError::Shifted { dir: self.dir.clone() });
        }
        self.discard_layers()?;
        if let Some(memory) = memory {
            remove_tree(&memory.works()?)?;
        }
        remove_tree(&self.dir)?;
        Ok(())
    }

    fn memory(&self) -> Result<Option<Memory>, CloneError> {
        Memory::read(&self.dir)
    }

    /// What there is to remember of this rootfs. What was made for other layers is discarded first.
    fn remember(&self, rootfs: &Rootfs) -> Result<Memory, CloneError> {
        let found = self.memory()?;
        if let Some(memory) = found.as_ref().filter(|memory| memory.is_of(rootfs)) {
            self.check_unused(memory)?;
            return Ok(memory.clone());
        }
        if found.as_ref().is_some_and(|memory| memory.shifted_for.is_some()) {
            return Err(CloneError::LayersChanged { rootfs: rootfs.path().clone() });
        }
        let new = Memory::new(rootfs)?;
        self.check_unused(&new)?;
        if let Some(memory) = found {
            self.discard_layers()?;
            remove_tree(&memory.works()?)?;
        }
        make_dir(&self.dir, 0o755)?;
        new.write(&self.dir)?;
        Ok(new)
    }

    /// Checks that nobody but this clone has shifted the upper layer of the rootfs.
    fn check_unused(&self, memory: &Memory) -> Result<(), CloneError> {
        let upper = memory.upper()?;
        match chown::record(&upper)? {
            Some(record) if memory.shifted_for.as_ref() != Some(&record.container) => {
                Err(CloneError::InUse { upper, record })
            }
            _ => Ok(()),
        }
    }

    /// The record of the upper layer of the rootfs, if the layer is there and the record is of this clone's making.
    fn record(&self, memory: &Memory) -> Result<Option<TreeRecord>, CloneError> {
        let upper = memory.upper()?;
        if memory.shifted_for.is_none() || !upper.as_path().exists() {
            return Ok(None);
        }
        Ok(chown::record(&upper)?.filter(|record| memory.shifted_for.as_ref() == Some(&record.container)))
    }

    /// Whether the owners of both upper layers are shifted, to the same ids.
    fn is_shifted(&self, memory: &Memory) -> Result<bool, CloneError> {
        let Some(above) = self.record(memory)? else { return Ok(false) };
        let below = chown::record(&self.layers.upper)?;
        let is_done =
            |record: &TreeRecord| record.phase == TreePhase::Shifted && record.from == Owner::new(0, 0);
        Ok(is_done(&above) && below.is_some_and(|below| is_done(&below) && below.ids == above.ids))
    }
}

/// Makes a directory that may be there already, with those above it.
fn make_dir(path: &AbsPath, mode: u32) -> Result<(), CloneError> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    Ok(made.map_err(failed("make the directory", path))?)
}
