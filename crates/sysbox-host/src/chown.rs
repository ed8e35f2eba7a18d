//! Tree chown: every owner in a tree is shifted from the container's ids to a range of the host's, and back exactly.
//!
//! - **On record.** The tree's root bears a [`TreeRecord`] from before the first change until after the last one back, in
//!   an attribute that no container can see or write. So an interrupted shift is finished or undone by whoever comes next.
//! - **By range.** The tree's own ids, `[0, count)` or as many from another base on, and the host's share none, so each id
//!   tells by itself whether it is shifted: every step may be repeated, and ids of neither range are left alone.
//! - **Whole inodes.** Owners, the ids in ACLs and the root of file capabilities are shifted; set-id bits and
//!   capabilities, which chown(2) drops, are restored, also by the next call after a crash (save those of an inode whose
//!   attributes leave no room to note them). Times of modification stay.
//! - **Never out of the tree.** The walk is on a detached clone of the tree's mount, in which nothing is mounted; no symbolic
//!   link is followed. What other mounts hide is shifted too, what is mounted over the tree is not.
//!
//! A first pass looks at every inode and notes what must change, a second one changes it; each runs in several threads,
//! none of which outlives the call. An inode costs three system calls, a stat, a llistxattr and a chown: no other call tells
//! whether there is an ACL or a capability.
//!
//! Two calls must not work on one tree at the same time, nor may the tree be changed meanwhile: the caller sees to that. (A
//! lock on the tree would not help: a container can lock its own root directory as well.)

pub(crate) mod acl;
mod apply;
pub(crate) mod capability;
mod error;
pub(crate) mod ids;
mod inode;
mod mark;
mod plan;
mod record;
mod survey;
mod tree;

use rustix::fs::fstat;
use sysbox_core::{
    AbsPath, ContainerId, Owner,
    tree::{TreeIds, TreePhase, TreeRecord},
};

pub use self::error::{ChownError, IdKind, IdPlace};
use self::{ids::Direction, survey::Trust, tree::Tree};

/// How far the changes of a call have come. It is told about every 256 inodes, from several threads, and at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Inodes that were dealt with.
    pub done: u64,
    /// Inodes that must be: those of the tree that are not yet as wanted.
    pub total: u64,
}

/// What a call found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShiftReport {
    /// Inodes in the tree, hard-linked ones once; 0 if the record alone told that there is nothing to do.
    pub inodes: u64,
    /// Inodes that were changed.
    pub changed: u64,
}

/// The owner of what the container's root owns in a tree made for containers.
const ROOT: Owner = Owner::new(0, 0);

/// Shifts the owners of a tree to these ids of the host, for this container.
///
/// It finishes what an interrupted call, a revert as well, has begun; a tree that is on record as shifted is not walked. Needs
/// `CAP_SYS_ADMIN`, `CAP_CHOWN`, `CAP_FOWNER`, `CAP_FSETID` and `CAP_SETFCAP` in the initial user namespace, and `/proc`.
///
/// # Errors
/// - [`ChownError::RangeTooLow`], [`ChownError::RangesOverlap`], [`ChownError::NoOwnRange`], [`ChownError::NotPrivileged`],
///   [`ChownError::NoTrustedAttributes`], [`ChownError::Record`], [`ChownError::OtherIds`], [`ChownError::IdInRange`],
///   [`ChownError::StrayMark`], [`ChownError::Attribute`]: nothing was changed.
/// - [`ChownError::Refused`], [`ChownError::System`]: the kernel refused a step; see [`record()`] for whether owners may have
///   changed, and call [`revert_tree`] to undo it or this function again to go on.
pub fn shift_tree(
    root: &AbsPath,
    container: &ContainerId,
    ids: TreeIds,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<ShiftReport, ChownError> {
    shift_tree_from(root, container, ROOT, ids, progress)
}

/// As [`shift_tree`], of a tree whose own ids begin at those of `from`, who comes to be the container's root: user ids
/// `[from.uid, from.uid + count)` are shifted, and group ids likewise.
///
/// # Errors
/// As [`shift_tree`].
pub fn shift_tree_from(
    root: &AbsPath,
    container: &ContainerId,
    from: Owner,
    ids: TreeIds,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<ShiftReport, ChownError> {
    let direction = Direction::to_host_from(from, ids)?;
    let tree = Tree::open(root)?;
    let mut record = TreeRecord { container: container.clone(), from, ids, phase: TreePhase::Shifting };
    let trust = match record::read(&tree)? {
        None => Trust::Fresh,
        Some(found) if (found.from, found.ids) != (from, ids) => {
            return Err(ChownError::OtherIds { root: root.as_path().to_owned(), record: found });
        }
        Some(found) if found.phase == TreePhase::Shifted => {
            record::write(&tree, &TreeRecord { container: container.clone(), ..found })?;
            return Ok(ShiftReport::default());
        }
        Some(_) => Trust::OnRecord,
    };
    let plan = survey::survey(&tree, direction, trust)?;
    record::write(&tree, &record)?;
    let changed = apply::apply(&tree, direction, &plan, progress)?;
    record.phase = TreePhase::Shifted;
    record::write(&tree, &record)?;
    tracing::debug!(%root, inodes = plan.inodes, changed, "shifted");
    Ok(ShiftReport { inodes: plan.inodes, changed })
}

/// Shifts the owners of a tree back to the ones it was made with, as its record says; without a record there is nothing to do.
///
/// It undoes an interrupted shift, and finishes an interrupted revert. What a container has made in the meantime is shifted
/// back as well. Needs the same privileges as [`shift_tree`].
///
/// # Errors
/// As [`shift_tree`]; after [`ChownError::Refused`] or [`ChownError::System`] call it again to go on.
pub fn revert_tree(root: &AbsPath, progress: &(dyn Fn(Progress) + Sync)) -> Result<ShiftReport, ChownError> {
    let tree = Tree::open(root)?;
    let Some(record) = record::read(&tree)? else { return Ok(ShiftReport::default()) };
    let direction = Direction::to_host_from(record.from, record.ids)?.inverse();
    let plan = survey::survey(&tree, direction, Trust::OnRecord)?;
    match record::write(&tree, &TreeRecord { phase: TreePhase::Reverting, ..record }) {
        // tmpfs takes the room of the new value before it frees that of the old one, and the container may have taken all.
        Err(error) if error.is_want_of_room() => {
            tracing::warn!(%root, "no room to put on record that it is being reverted; if that is broken off, revert it again");
        }
        written => written?,
    }
    let changed = apply::apply(&tree, direction, &plan, progress)?;
    record::remove(&tree)?;
    tracing::debug!(%root, inodes = plan.inodes, changed, "reverted");
    Ok(ShiftReport { inodes: plan.inodes, changed })
}

/// Puts a tree on record as shifted from 0:0 to these ids that somebody else has shifted, such as another runtime by a plain
/// chown, so that [`revert_tree`] shifts it back. No owner is changed; a tree with the same record stays as it is.
///
/// Needs `CAP_SYS_ADMIN` in the initial user namespace.
///
/// # Errors
/// [`ChownError::NotShifted`] when the root directory does not belong to the container's root, [`ChownError::OtherIds`] when
/// the tree has another record, and as [`shift_tree`]. Nothing was changed.
pub fn adopt(root: &AbsPath, container: &ContainerId, ids: TreeIds) -> Result<(), ChownError> {
    Direction::to_host(ids)?;
    let tree = Tree::open(root)?;
    let path = || root.as_path().to_owned();
    let stat = fstat(tree.root()).map_err(|errno| ChownError::system("look at", path(), errno))?;
    let owner = Owner::new(stat.st_uid, stat.st_gid);
    let record = TreeRecord { container: container.clone(), from: ROOT, ids, phase: TreePhase::Shifted };
    match record::read(&tree)? {
        Some(found) if found == record => Ok(()),
        Some(found) => Err(ChownError::OtherIds { root: path(), record: found }),
        None if owner != ids.root() => {
            Err(ChownError::NotShifted { root: path(), found: owner, wanted: ids.root() })
        }
        None => record::write(&tree, &record),
    }
}

/// What a tree says of itself; `None` if its owners are as they were made.
///
/// Needs `CAP_SYS_ADMIN` in the initial user namespace.
///
/// # Errors
/// [`ChownError::NotPrivileged`], [`ChownError::NoTrustedAttributes`], [`ChownError::Record`], or [`ChownError::System`]
/// when `root` is not a directory that can be opened.
pub fn record(root: &AbsPath) -> Result<Option<TreeRecord>, ChownError> {
    record::read(&Tree::open(root)?)
}

/// The same of a tree that may be on a file system without trusted attributes: no tree there was ever shifted.
///
/// # Errors
/// As [`record`], save [`ChownError::NoTrustedAttributes`].
pub fn record_if_any(root: &AbsPath) -> Result<Option<TreeRecord>, ChownError> {
    match record(root) {
        Err(ChownError::NoTrustedAttributes { .. }) => Ok(None),
        found => found,
    }
}
