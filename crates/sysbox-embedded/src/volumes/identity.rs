//! Which rootfs it is, told apart from another one that has come to its path.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
};

use rustix::fs::statfs;
use sysbox_core::AbsPath;

use super::rows::nanoseconds;

/// The type of overlayfs (`OVERLAYFS_SUPER_MAGIC`, `linux/magic.h`).
const OVERLAYFS_MAGIC: i64 = 0x794c_7630;

/// The identity of a rootfs: that of its root directory, which moves with it.
///
/// Numbers of devices are others after a reboot, and a number of an inode is given again when that is gone. The two that are here stay,
/// and no other directory has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) inode: u64,
    /// When it was made, in nanoseconds since 1970; `None` where the file system does not tell.
    pub(super) born: Option<i64>,
}

impl Identity {
    /// That of the rootfs at this path; `None` if nothing is to be found there.
    pub(super) fn of(rootfs: &AbsPath) -> Option<Self> {
        let found = fs::metadata(rootfs).ok()?;
        Some(Self { inode: found.ino(), born: born(rootfs, &found) })
    }

    /// Whether it is certain that this is another one. A later kernel may tell when a directory was made that an earlier one did not.
    pub(super) fn is_other(self, than: Self) -> bool {
        self.inode != than.inode || self.born.zip(than.born).is_some_and(|(own, other)| own != other)
    }
}

/// A directory that overlayfs copies up is born anew, and keeps its number.
fn born(rootfs: &AbsPath, found: &Metadata) -> Option<i64> {
    let is_overlay = statfs(rootfs.as_path()).is_ok_and(|found| found.f_type == OVERLAYFS_MAGIC);
    found.created().ok().filter(|_| !is_overlay).map(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_another_one_by_its_number_or_by_its_birth_if_both_are_known() {
        let identity = |inode, born| Identity { inode, born };
        let own = identity(1, Some(5));
        for (other, is_other) in [
            (own, false),
            (identity(1, None), false),
            (identity(1, Some(6)), true),
            (identity(2, Some(5)), true),
            (identity(2, None), true),
        ] {
            assert_eq!((own.is_other(other), other.is_other(own)), (is_other, is_other), "{other:?}");
        }
    }

    #[test]
    fn a_directory_that_is_made_in_the_place_of_another_one_is_not_the_same() {
        let place = tempfile::tempdir().expect("a directory");
        let rootfs = AbsPath::new(place.path().join("rootfs")).expect("absolute");
        assert_eq!(Identity::of(&rootfs), None);
        let make = || {
            fs::create_dir(&rootfs).expect("made");
            Identity::of(&rootfs).expect("it is there")
        };
        let first = make();
        fs::rename(&rootfs, place.path().join("moved")).expect("there");
        assert!(make().is_other(first));
        let moved = AbsPath::new(place.path().join("moved")).expect("absolute");
        assert_eq!(Identity::of(&moved), Some(first), "it moves with it");
    }
}
