//! How the ids of files are brought in line with a container's user namespace, and which way is taken when.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::{HostGid, HostUid, Owner};

/// A way to make files appear with the ids of a container's user namespace, by the wire contract's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ShiftType {
    /// None: the files have the right owners.
    #[default]
    NoShift = 0,
    /// shiftfs is mounted on them.
    Shiftfs = 1,
    /// Their mount is ID-mapped.
    IdMappedMount = 2,
    /// Their mount is ID-mapped where that works, else shiftfs is mounted on them.
    IdMappedMountOrShiftfs = 3,
    /// Their owners are changed on disk.
    Chown = 4,
}

impl ShiftType {
    /// Every type, by number.
    pub const ALL: [Self; 5] =
        [Self::NoShift, Self::Shiftfs, Self::IdMappedMount, Self::IdMappedMountOrShiftfs, Self::Chown];

    /// The type's number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The type's name in Sysbox.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoShift => "NoShift",
            Self::Shiftfs => "Shiftfs",
            Self::IdMappedMount => "IDMappedMount",
            Self::IdMappedMountOrShiftfs => "IDMappedMountOrShiftfs",
            Self::Chown => "Chown",
        }
    }
}

impl TryFrom<u32> for ShiftType {
    type Error = UnknownShiftType;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        Self::ALL.into_iter().find(|kind| kind.number() == number).ok_or(UnknownShiftType { number })
    }
}

impl fmt::Display for ShiftType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number that names no [`ShiftType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("id shift type {number} is unknown; the types are 0 to 4")]
pub struct UnknownShiftType {
    /// The number.
    pub number: u32,
}

/// Who decides for ID-mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// As Sysbox: a rootfs is ID-mapped on overlayfs only; on any other file system it is chowned.
    Reference,
    /// A rootfs on any file system is ID-mapped if the host says that it can be.
    #[default]
    PreferIdMapped,
}

/// What the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// How the manager says that the rootfs of a restarted container was shifted.
    pub previous: ShiftType,
    /// Who owns the root directory: on record where a shift was recorded, else as the file system says.
    pub rootfs_owner: Owner,
    /// The host's id of user 0 inside.
    pub root_uid: HostUid,
    /// The host's id of group 0 inside.
    pub root_gid: HostGid,
    /// The rootfs is on overlayfs.
    pub rootfs_on_overlayfs: bool,
    /// The host says that this very rootfs can be ID-mapped. [`Policy::Reference`] does not look at it.
    pub rootfs_can_be_idmapped: bool,
    /// The manager says that the host has ID-mapped mounts.
    pub idmap_mount_ok: bool,
    /// The manager says that overlayfs works on ID-mapped layers.
    pub overlayfs_on_idmap_mount_ok: bool,
    /// The manager says that the host has shiftfs.
    pub shiftfs_ok: bool,
    /// The manager says that shiftfs works on overlayfs.
    pub shiftfs_on_overlayfs_ok: bool,
}

impl Facts {
    /// Whether the owners in the rootfs are the host's while the container's are others.
    pub const fn rootfs_needs_shift(&self) -> bool {
        self.rootfs_owner.is_root() && self.root_uid.0 != 0 && self.root_gid.0 != 0
    }
}

/// How rootfs and bind mounts are to be shifted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decision {
    /// The rootfs.
    pub rootfs: ShiftType,
    /// The sources of bind mounts; they are never chowned.
    pub bind_mounts: ShiftType,
}

/// Decides how rootfs and bind mounts are to be shifted.
///
/// ```
/// use sysbox_core::{HostGid, HostUid, Owner, ShiftType, shift::{Facts, Policy, decide}};
///
/// let on_ext4 = Facts {
///     previous: ShiftType::NoShift,
///     rootfs_owner: Owner::new(0, 0),
///     root_uid: HostUid(231_072),
///     root_gid: HostGid(231_072),
///     rootfs_on_overlayfs: false,
///     rootfs_can_be_idmapped: true,
///     idmap_mount_ok: true,
///     overlayfs_on_idmap_mount_ok: true,
///     shiftfs_ok: false,
///     shiftfs_on_overlayfs_ok: false,
/// };
/// assert_eq!(decide(Policy::Reference, &on_ext4).rootfs, ShiftType::Chown);
/// assert_eq!(decide(Policy::PreferIdMapped, &on_ext4).rootfs, ShiftType::IdMappedMount);
/// ```
pub const fn decide(policy: Policy, facts: &Facts) -> Decision {
    Decision { rootfs: rootfs(policy, facts), bind_mounts: bind_mounts(facts) }
}

const fn rootfs(policy: Policy, facts: &Facts) -> ShiftType {
    if !matches!(facts.previous, ShiftType::NoShift) {
        return facts.previous;
    }
    if !facts.rootfs_needs_shift() {
        return ShiftType::NoShift;
    }
    let on_overlayfs = facts.rootfs_on_overlayfs;
    let idmappable = match policy {
        Policy::Reference => on_overlayfs && facts.overlayfs_on_idmap_mount_ok,
        Policy::PreferIdMapped => {
            facts.rootfs_can_be_idmapped && (!on_overlayfs || facts.overlayfs_on_idmap_mount_ok)
        }
    };
    if facts.idmap_mount_ok && idmappable {
        ShiftType::IdMappedMount
    } else if on_overlayfs && facts.shiftfs_ok && facts.shiftfs_on_overlayfs_ok {
        ShiftType::Shiftfs
    } else {
        ShiftType::Chown
    }
}

const fn bind_mounts(facts: &Facts) -> ShiftType {
    match (facts.idmap_mount_ok, facts.shiftfs_ok) {
        (true, true) => ShiftType::IdMappedMountOrShiftfs,
        (true, false) => ShiftType::IdMappedMount,
        (false, true) => ShiftType::Shiftfs,
        (false, false) => ShiftType::NoShift,
    }
}
