//! Whom the files in volumes belong to, on disk.
//!
//! | shift of the rootfs | owners in a volume |
//! |---|---|
//! | ID-mapped | the container's ids: it is mounted ID-mapped |
//! | shiftfs, chown | the host's ids; the volume bears the record of a shifted tree |
//! | none | as in the rootfs, which has the host's ids from whoever made it |
//!
//! What is on disk is known by the records of the two trees. Only a volume of a rootfs that is not shifted may bear the host's
//! ids without one.

#[cfg(test)]
mod tests;

use rusqlite::Connection;
use sysbox_core::{
    ErrorKind, IdMappings, IdRange, Owner, ShiftType,
    tree::{TreeIds, TreePhase, TreeRecord},
};
use sysbox_host::mirror::Owners;

use crate::{
    error::Fault,
    registry::{self, Container},
};

/// Whom the files in the volumes of a run are to belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ownership {
    pub(super) shift: ShiftType,
    /// The container's ids on the host, as far as they are known.
    pub(super) ids: Option<TreeIds>,
}

impl Ownership {
    /// That of a container whose rootfs is shifted like this.
    ///
    /// # Errors
    /// `FailedPrecondition` where owners are to be shifted to ids that are not known.
    pub(super) fn new(shift: ShiftType, ids: Option<TreeIds>) -> Result<Self, Fault> {
        let this = Self { shift, ids };
        if this.is_shifted() && ids.is_none() {
            let message = "cannot be given volumes, for it has no ids yet; ask for ids first";
            return Err(Fault::refused(ErrorKind::FailedPrecondition, message));
        }
        Ok(this)
    }

    /// Whether volumes are shifted trees.
    pub(super) const fn is_shifted(self) -> bool {
        matches!(self.shift, ShiftType::Shiftfs | ShiftType::Chown)
    }

    /// The host's ids that owners are to be on disk; `None` for the container's.
    pub(super) fn on_disk(self) -> Option<TreeIds> {
        match self.shift {
            ShiftType::IdMappedMount | ShiftType::IdMappedMountOrShiftfs => None,
            ShiftType::NoShift | ShiftType::Shiftfs | ShiftType::Chown => self.ids,
        }
    }

    /// The owner of a volume's root directory.
    pub(super) fn root(self, rootfs: Owner) -> Owner {
        match (self.shift, self.on_disk()) {
            (_, Some(ids)) => ids.root(),
            (ShiftType::NoShift, None) => rootfs,
            (_, None) => Owner::new(0, 0),
        }
    }

    /// What becomes of owners on the way from a rootfs into a volume.
    ///
    /// Of a rootfs that is on record only a part may be shifted, as of one whose clone is. Where it is shifted to other ids, the
    /// volume comes to have the container's, and is to be shifted afterwards.
    pub(super) fn sync_in(self, rootfs: Option<&TreeRecord>) -> Owners {
        match (rootfs, self.on_disk()) {
            _ if self.shift == ShiftType::NoShift => Owners::Kept,
            (Some(record), on_disk) if on_disk != Some(record.ids) => Owners::ToContainer(record.ids),
            (_, Some(ids)) => Owners::ToHost(ids),
            (_, None) => Owners::Kept,
        }
    }
}

/// What becomes of owners on the way from a volume that was given for this shift back into the rootfs.
///
/// In a rootfs of which only a part may be shifted, or that is shifted to other ids, files get the container's: whoever shifts
/// it back leaves those alone.
pub(super) fn sync_out(shift: ShiftType, volume: Option<&TreeRecord>, rootfs: Option<&TreeRecord>) -> Owners {
    let rootfs = rootfs.filter(|record| record.phase == TreePhase::Shifted);
    match (volume, rootfs) {
        _ if shift == ShiftType::NoShift => Owners::Kept,
        (None, None) => Owners::Kept,
        (None, Some(rootfs)) => Owners::ToHost(rootfs.ids),
        (Some(volume), Some(rootfs)) if volume.ids == rootfs.ids => match volume.phase {
            TreePhase::Shifted => Owners::Kept,
            TreePhase::Shifting | TreePhase::Reverting => Owners::ToHost(volume.ids),
        },
        (Some(volume), _) => Owners::ToContainer(volume.ids),
    }
}

/// The host's ids of a container: those of its mappings, or else those that it was given.
pub(super) fn ids_of(db: &Connection, container: &Container) -> Result<Option<TreeIds>, Fault> {
    let given = registry::given(db, container.userns)?;
    let of_root = |mappings: &IdMappings, given: Option<IdRange>| {
        let merged = mappings.merged();
        let extent = merged.as_slice().iter().find(|extent| extent.container().first() == 0);
        extent.map(|extent| extent.host()).or(given)
    };
    let uids = of_root(&container.mappings.uids, given.and_then(registry::Given::uids));
    let gids = of_root(&container.mappings.gids, given.and_then(registry::Given::gids));
    Ok(uids.zip(gids).map(|(uids, gids)| TreeIds { uids, gids }))
}
