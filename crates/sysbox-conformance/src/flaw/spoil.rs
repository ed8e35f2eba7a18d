//! Flaws that are done to files: beside what the backend did to them, or instead.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use sysbox_core::{
    AbsPath, ContainerId, MgrPort, Mount, MountRequests, MountsToPrepare, PortError, Registration,
};

use super::{
    breaks::{Break, Flawed},
    files::{Before, empty, give_to_root, make_dir, own, owners, set_mode},
};

/// What is done to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoil {
    /// A source stays with the container's root.
    SourceKept,
    /// A source is shifted back with the first container that stops.
    SourceTakenFromUser,
    /// A new volume has no files.
    VolumeEmpty,
    /// A volume has no files when it is asked for after a restart.
    VolumeEmptiedByRestart,
    /// A volume has no files when it is asked for again.
    VolumeEmptiedWhenAsked,
    /// Every volume has this mode.
    VolumeMode(u32),
    /// Every volume is this user's and this group's.
    VolumeOwner(u32),
    /// The files in a volume are root's.
    VolumeFilesOfRoot,
    /// Files that a call added are deleted after it.
    AddedUndone(At),
    /// Files that a call changed are as before after it.
    ChangedUndone(At),
    /// Files that a call deleted are there again after it.
    DeletedUndone(At),
    /// Files that were copied into the rootfs are root's.
    CopiedOutAsRoot,
    /// The directory of a volume is there again after the removal.
    VolumeOutlivesRemoval,
    /// Owners are as before after a call.
    OwnersKept(At),
    /// A clone has no files.
    CloneLosesFiles,
    /// The directory of a clone is there again after the removal.
    CloneOutlivesRemoval,
}

/// A call that changes files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Shift,
    Revert,
    Pause,
    Resume,
    Stop,
    Removal,
}

/// Where files of a container are.
#[derive(Debug, Default)]
pub(super) struct Known {
    rootfs: PathBuf,
    clone: Option<PathBuf>,
    /// The directories of its volumes, and those of the rootfs that they stand for.
    volumes: BTreeMap<PathBuf, PathBuf>,
    /// Its sources, and whose they were.
    sources: BTreeMap<PathBuf, (u32, u32)>,
    has_restarted: bool,
    /// Directories as they were before a call.
    before: BTreeMap<PathBuf, Before>,
}

impl Spoil {
    fn before(self, known: &mut Known, at: At) {
        let clone = known.clone.clone();
        let looked_at = match self {
            // What was written into a clone was written since it was shifted.
            Self::AddedUndone(At::Revert) | Self::DeletedUndone(At::Revert) if at == At::Shift => {
                vec![known.rootfs.clone()]
            }
            Self::AddedUndone(when) | Self::ChangedUndone(when) | Self::DeletedUndone(when)
                if when == at && at != At::Revert =>
            {
                known.volumes.values().cloned().collect()
            }
            Self::OwnersKept(when) if when == at => clone.into_iter().collect(),
            _ => return,
        };
        known.before = looked_at.into_iter().map(|path| (path.clone(), Before::of(&path))).collect();
    }

    fn after(self, known: &mut Known, at: At) {
        let undo = |undo: fn(&Before, &Path)| {
            known.before.iter().for_each(|(directory, before)| undo(before, directory));
        };
        match self {
            Self::AddedUndone(when) if when == at => undo(Before::undo_added),
            Self::ChangedUndone(when) if when == at => undo(Before::undo_changed),
            Self::DeletedUndone(when) if when == at => undo(Before::undo_deleted),
            // The clone may be gone by then.
            Self::OwnersKept(At::Stop) if at == At::Stop => {
                known.before.values().for_each(|before| before.undo_owners(&known.rootfs));
            }
            Self::OwnersKept(when) if when == at => undo(Before::undo_owners),
            Self::CopiedOutAsRoot if at == At::Stop => {
                known.volumes.values().for_each(|path| give_to_root(path))
            }
            Self::VolumeOutlivesRemoval if at == At::Removal => {
                known.volumes.keys().for_each(|path| make_dir(path))
            }
            Self::CloneOutlivesRemoval if at == At::Removal => {
                known.clone.iter().for_each(|path| make_dir(path))
            }
            Self::SourceTakenFromUser if at == At::Stop => {
                known.sources.iter().for_each(|(path, owners)| own(path, *owners));
            }
            _ => {}
        }
    }

    /// Spoils a volume that was asked for, `is_new` if for the first time.
    fn volume(self, path: &Path, is_new: bool, has_restarted: bool) {
        match self {
            Self::VolumeEmpty if is_new => empty(path),
            Self::VolumeEmptiedByRestart if !is_new && has_restarted => empty(path),
            Self::VolumeEmptiedWhenAsked if !is_new && !has_restarted => empty(path),
            Self::VolumeMode(mode) => set_mode(path, mode),
            Self::VolumeOwner(id) => own(path, (id, id)),
            Self::VolumeFilesOfRoot => give_to_root(path),
            _ => {}
        }
    }
}

impl Flawed<dyn MgrPort> {
    const fn spoil(&self) -> Option<Spoil> {
        match self.breaks {
            Break::Spoil(spoil) => Some(spoil),
            _ => None,
        }
    }

    fn with_known<T>(&self, id: &ContainerId, work: impl FnOnce(&mut Known) -> T) -> T {
        work(self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default())
    }

    /// Notes where the rootfs is.
    pub(super) fn know(&self, request: &Registration) {
        self.with_known(&request.id, |known| {
            known.has_restarted = known.rootfs != PathBuf::new();
            known.rootfs = request.rootfs.as_path().to_owned();
        });
    }

    /// Notes where the clone is, and spoils it.
    pub(super) fn know_clone(&self, id: &ContainerId, path: &AbsPath) {
        self.with_known(id, |known| known.clone = Some(path.as_path().to_owned()));
        if self.spoil() == Some(Spoil::CloneLosesFiles) {
            empty(path.as_path());
        }
    }

    /// Makes a call, and spoils what it did.
    pub(super) async fn spoiled(
        &self,
        id: &ContainerId,
        at: At,
        call: impl Future<Output = Result<(), PortError>> + Send,
    ) -> Result<(), PortError> {
        let Some(spoil) = self.spoil() else { return call.await };
        self.with_known(id, |known| spoil.before(known, at));
        call.await?;
        self.with_known(id, |known| spoil.after(known, at));
        Ok(())
    }

    /// Spoils the volumes that were given.
    pub(super) fn spoil_volumes(&self, request: &MountRequests, mounts: &[Mount]) {
        let Some(spoil) = self.spoil() else { return };
        self.with_known(&request.id, |known| {
            for wish in &request.mounts {
                let given = mounts.iter().find(|mount| mount.destination == wish.destination);
                let Some(source) = given.map(|mount| PathBuf::from(&mount.source)) else { continue };
                let inside = wish.destination.as_path().strip_prefix("/").unwrap_or_else(|_| Path::new(""));
                let inside = known.rootfs.join(inside);
                let is_new = known.volumes.insert(source.clone(), inside).is_none();
                spoil.volume(&source, is_new, known.has_restarted);
            }
        });
    }

    /// Prepares sources, and spoils that.
    pub(super) async fn spoiled_preparation(&self, request: &MountsToPrepare) -> Result<(), PortError> {
        self.port.prep_mounts(request).await?;
        if let Some(Spoil::SourceKept | Spoil::SourceTakenFromUser) = self.spoil() {
            self.with_known(&request.id, |known| {
                for source in request.mounts.iter().map(|mount| mount.source.as_path()) {
                    let Some(owner) = owners(source) else { continue };
                    // Another container may have been given it before; that one knows whose it was.
                    if owner != (request.uid.0, request.gid.0) {
                        known.sources.insert(source.to_owned(), owner);
                        own(source, (request.uid.0, request.gid.0));
                    }
                }
            });
        }
        Ok(())
    }
}
