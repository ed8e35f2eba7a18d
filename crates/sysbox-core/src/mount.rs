//! Mounts that a manager gives to a container, and those it prepares.

use std::fmt;

use crate::path::AbsPath;

/// A directory inside a system container that needs one of the host's behind it, by the wire contract's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MountKind {
    /// Docker's data root.
    VarLibDocker = 0,
    /// The kubelet's state.
    VarLibKubelet = 1,
    /// k0s's data.
    VarLibK0s = 2,
    /// k3s's data.
    VarLibRancherK3s = 3,
    /// rke2's data.
    VarLibRancherRke2 = 4,
    /// BuildKit's data.
    VarLibBuildkit = 5,
    /// containerd's overlayfs snapshots.
    VarLibContainerdOvfs = 6,
    /// The headers of the host's kernel.
    UsrSrcLinuxHdr = 7,
}

impl MountKind {
    /// Every kind, by number.
    pub const ALL: [Self; 8] = [
        Self::VarLibDocker,
        Self::VarLibKubelet,
        Self::VarLibK0s,
        Self::VarLibRancherK3s,
        Self::VarLibRancherRke2,
        Self::VarLibBuildkit,
        Self::VarLibContainerdOvfs,
        Self::UsrSrcLinuxHdr,
    ];

    /// The kind's number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The kind's name in Sysbox.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VarLibDocker => "var-lib-docker",
            Self::VarLibKubelet => "var-lib-kubelet",
            Self::VarLibK0s => "var-lib-k0s",
            Self::VarLibRancherK3s => "var-lib-rancher-k3s",
            Self::VarLibRancherRke2 => "var-lib-rancher-rke2",
            Self::VarLibBuildkit => "var-lib-buildkit",
            Self::VarLibContainerdOvfs => "var-lib-containerd-ovfs",
            Self::UsrSrcLinuxHdr => "usr-src-linux-header",
        }
    }
}

impl TryFrom<u32> for MountKind {
    type Error = UnknownMountKind;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        Self::ALL.into_iter().find(|kind| kind.number() == number).ok_or(UnknownMountKind { number })
    }
}

impl fmt::Display for MountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number that names no [`MountKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mount kind {number} is unknown; the kinds are 0 to 7")]
pub struct UnknownMountKind {
    /// The number.
    pub number: u32,
}

/// A mount to be made in the container (OCI `mounts`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mount {
    /// What is mounted; for a bind mount a path of the host.
    pub source: String,
    /// Where it is mounted, inside.
    pub destination: AbsPath,
    /// The type of file system, `bind` for a bind mount.
    pub kind: String,
    /// The options of `mount(8)`.
    pub options: Vec<String>,
}

/// A directory that shiftfs is to be marked on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShiftfsMark {
    /// The directory.
    pub source: AbsPath,
    /// Whether the mark is read-only.
    pub readonly: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_mount_kinds_are_the_wire_contracts() {
        let table: Vec<_> = MountKind::ALL.iter().map(|kind| (kind.number(), kind.name())).collect();
        assert_eq!(
            table,
            [
                (0, "var-lib-docker"),
                (1, "var-lib-kubelet"),
                (2, "var-lib-k0s"),
                (3, "var-lib-rancher-k3s"),
                (4, "var-lib-rancher-rke2"),
                (5, "var-lib-buildkit"),
                (6, "var-lib-containerd-ovfs"),
                (7, "usr-src-linux-header"),
            ]
        );
        assert!(MountKind::ALL.iter().all(|kind| MountKind::try_from(kind.number()) == Ok(*kind)));
        assert_eq!(MountKind::try_from(8), Err(UnknownMountKind { number: 8 }));
    }
}
