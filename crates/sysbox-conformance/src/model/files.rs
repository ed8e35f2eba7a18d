//! What calls about files answer: mounts, marks, and the clone of a rootfs. No file is ever touched.

use std::num::NonZeroU32;

use sysbox_core::{
    AbsPath, ContainerId, ErrorKind, IdOffset, IdOffsets, IdRange, Mount, MountKind, MountRequest,
    MountRequests, ShiftfsMark, ShiftfsMarks,
};

use super::{
    container::{RootfsClone, State},
    ids::Kind,
    manager::Manager,
    refusal::Refusal,
};

/// Below it are the sources of mounts and the clones of rootfs. It is never made.
const DATA_ROOT: &str = "/var/lib/sysbox-model";

/// How many ids a container has of which no more is known than the first.
const SIZE: NonZeroU32 = NonZeroU32::new(65_536).unwrap();

impl Manager {
    /// Each request is answered by the mount that the container has there; it is given one if it has none. Headers are given
    /// unasked, and here are none.
    pub(super) fn mounts(&mut self, request: &MountRequests) -> Result<Vec<Mount>, Refusal> {
        self.alive(&request.id, "given mounts")?;
        let container = self.known_mut(&request.id)?;
        let wishes = request.mounts.iter().filter(|wish| wish.kind != MountKind::UsrSrcLinuxHdr);
        let mounts = wishes.map(|MountRequest { kind, destination }| {
            let nth = container.mounts.len();
            let place = (kind.number(), destination.clone());
            let mount =
                container.mounts.entry(place).or_insert_with(|| mount(&request.id, *kind, nth, destination));
            mount.clone()
        });
        Ok(mounts.collect())
    }

    /// Marks what is not marked yet, and tells which that were.
    pub(super) fn mark(&mut self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, Refusal> {
        self.alive(&request.id, "given marks of shiftfs")?;
        let marks = &mut self.known_mut(&request.id)?.marks;
        let new = request.marks.iter().filter(|mark| marks.insert(mark.source.clone()));
        Ok(new.cloned().collect())
    }

    /// Clones its rootfs, which it keeps until it is removed.
    pub(super) fn clone_rootfs(&mut self, id: &ContainerId) -> Result<AbsPath, Refusal> {
        self.alive(id, "given a clone of its rootfs")?;
        let container = self.known_mut(id)?;
        if let Some(clone) = &container.clone {
            return Ok(clone.path.clone());
        }
        let path = AbsPath::new(format!("{DATA_ROOT}/rootfs/{id}"));
        let path = path.map_err(|invalid| Refusal::new(ErrorKind::Internal, invalid.to_string()))?;
        container.clone = Some(RootfsClone { path: path.clone(), shifted: false });
        Ok(path)
    }

    /// Shifts the owners of its clone, once.
    pub(super) fn chown_clone(&mut self, id: &ContainerId, offsets: IdOffsets) -> Result<(), Refusal> {
        let container = self.alive(id, "given other owners in its cloned rootfs")?;
        let clone = container.clone.as_ref().ok_or_else(not_cloned)?;
        if clone.shifted {
            let message = "has a cloned rootfs whose owners are shifted already; revert that first";
            return Err(Refusal::new(ErrorKind::FailedPrecondition, message));
        }
        if container.state == State::Paused {
            return Err(container.wrong_state("given other owners in its cloned rootfs", "resume it first"));
        }
        self.refuse_elsewhere(id, Kind::User, offsets.uid)?;
        self.refuse_elsewhere(id, Kind::Group, offsets.gid)?;
        self.clone_of(id)?.shifted = true;
        Ok(())
    }

    /// Shifts the owners of its clone back.
    pub(super) fn revert_clone(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let clone = self.clone_of(id)?;
        if !clone.shifted {
            let message = "has a cloned rootfs whose owners are not shifted; there is nothing to revert";
            return Err(Refusal::new(ErrorKind::FailedPrecondition, message));
        }
        clone.shifted = false;
        Ok(())
    }

    fn clone_of(&mut self, id: &ContainerId) -> Result<&mut RootfsClone, Refusal> {
        self.known_mut(id)?.clone.as_mut().ok_or_else(not_cloned)
    }

    /// Refuses an offset that does not lead from the container's ids to others of the host.
    fn refuse_elsewhere(&self, id: &ContainerId, kind: Kind, offset: IdOffset) -> Result<(), Refusal> {
        let first = u32::try_from(offset.get()).unwrap_or_default();
        let size = self.known_size(id, kind, first)?.unwrap_or(SIZE.get());
        if first >= size && IdRange::new(first, size).is_ok() {
            return Ok(());
        }
        let kind = kind.name();
        let message = format!(
            "cannot have its {size} {kind} ids shifted by {offset}; give its first {kind} id on the host"
        );
        Err(Refusal::new(ErrorKind::InvalidArgument, message))
    }
}

fn not_cloned() -> Refusal {
    Refusal::new(ErrorKind::FailedPrecondition, "has no cloned rootfs; clone it first")
}

/// The `nth` mount of a container.
fn mount(id: &ContainerId, kind: MountKind, nth: usize, destination: &AbsPath) -> Mount {
    Mount {
        source: format!("{DATA_ROOT}/{id}/{nth}-{kind}"),
        destination: destination.clone(),
        kind: "bind".to_owned(),
        options: vec!["rbind".to_owned(), "rprivate".to_owned()],
    }
}
