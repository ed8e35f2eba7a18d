//! What the first pass has noted for the second one.
//!
//! A plan holds just the names to be changed and their new owners, so that the second pass needs neither to read the directories
//! nor to look at the inodes again: 12 bytes an inode, and its name.

use std::ffi::CStr;

use rustix::fs::{Gid, Uid};

use crate::walk::{Directories, DirectoryId};

/// At most so many entries are in one batch, so that several threads share a large directory.
const BATCH: usize = 512;

/// What must be changed in a tree.
#[derive(Debug)]
pub(super) struct Plan {
    /// What there is to do, in any order: each inode once.
    pub(super) batches: Vec<Batch>,
    /// What there is to do after that: the further names of hard-linked inodes. They are mostly done by then, but overlayfs
    /// gives a name an inode of its own when it is changed (unless mounted with `index=on`).
    pub(super) further: Vec<Batch>,
    /// The directories that the batches name.
    pub(super) directories: Directories,
    /// How many inodes the tree has.
    pub(super) inodes: u64,
}

/// What must be done to an inode.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// It gets this owner, and has nothing that goes with the owner.
    Owner(Uid, Gid),
    /// More than the owner is at stake.
    Whole,
}

/// What must be changed in one directory, or in a part of it.
#[derive(Debug)]
pub(super) struct Batch {
    /// The directory.
    pub(super) directory: DirectoryId,
    changes: Vec<Change>,
    /// The names, each with its terminator.
    names: Vec<u8>,
}

impl Batch {
    /// How many inodes are to be changed.
    pub(super) const fn len(&self) -> usize {
        self.changes.len()
    }

    /// The names and what is to be done to them.
    #[expect(clippy::expect_used, reason = "the names are written in this file alone")]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&CStr, Change)> {
        let mut names = self.names.as_slice();
        self.changes.iter().map(move |&change| {
            let name = CStr::from_bytes_until_nul(names)
                .expect("a name with its terminator was pushed with each change");
            names = &names[name.count_bytes() + 1..];
            (name, change)
        })
    }
}

/// Batches in the making.
#[derive(Debug, Default)]
pub(super) struct Batches(Vec<Batch>);

impl Batches {
    /// Adds a change. Those of a directory are to be added one after the other.
    pub(super) fn push(&mut self, directory: DirectoryId, name: &CStr, change: Change) {
        if self.0.last().is_none_or(|last| last.directory != directory || last.len() == BATCH) {
            self.0.push(Batch { directory, changes: Vec::new(), names: Vec::new() });
        }
        if let Some(batch) = self.0.last_mut() {
            batch.changes.push(change);
            batch.names.extend_from_slice(name.to_bytes_with_nul());
        }
    }

    /// The batches.
    pub(super) fn into_vec(self) -> Vec<Batch> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    #[test]
    fn a_large_directory_is_cut_into_batches_that_keep_every_name() {
        let mut batches = Batches::default();
        let names: Vec<_> =
            (0..BATCH * 2 + 1).map(|n| CString::new(n.to_string()).expect("no NUL")).collect();
        for name in &names {
            batches.push(Directories::ROOT, name, Change::Whole);
        }
        let batches = batches.into_vec();
        assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), [BATCH, BATCH, 1]);
        assert!(
            batches
                .iter()
                .flat_map(Batch::iter)
                .map(|(name, _)| name)
                .eq(names.iter().map(CString::as_c_str))
        );
    }

    #[test]
    fn each_directory_has_its_own_batch() {
        let mut directories = Directories::default();
        let other = directories.push(Directories::ROOT, c"a".to_owned());
        let mut batches = Batches::default();
        batches.push(Directories::ROOT, c"a", Change::Whole);
        batches.push(other, c"b", Change::Whole);
        let found: Vec<_> = batches.into_vec().iter().map(|batch| (batch.directory, batch.len())).collect();
        assert_eq!(found, [(Directories::ROOT, 1), (other, 1)]);
    }
}
