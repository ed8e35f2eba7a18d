//! Which file system a path is on, told apart from another one that has come into its place: where a disk is not mounted (yet), what
//! it has is not gone.

use std::{io, path::Path};

use rustix::fs::statvfs;
use sysbox_core::AbsPath;

/// The identity of a file system (`f_fsid` of statvfs(3)). Most keep it over a reboot; one that does not looks like another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk(i64);

impl Disk {
    pub(crate) const fn of_number(number: i64) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> i64 {
        self.0
    }

    /// That which holds a path: its parent's, or that of the nearest directory above that is there.
    pub(crate) fn that_holds(path: &AbsPath) -> io::Result<Self> {
        let above = path.as_path().ancestors().skip(1);
        // The root directory is always there.
        let nearest = above.map(Path::to_path_buf).find(|dir| dir.is_dir()).unwrap_or_else(|| "/".into());
        Ok(Self(statvfs(&nearest)?.f_fsid.cast_signed()))
    }
}
