//! Clones of rootfs: what the port's three calls, a pause and a stop mean for one.
//!
//! How a clone is made and shifted, and how it is brought back from anywhere in the middle, is the matter of [`OverlayClone`].
//! The row of `clone` says that there is one, and to which ids its owners are to be shifted while the container runs.

mod fault;

use rusqlite::{Connection, OptionalExtension};
use sysbox_core::{AbsPath, ContainerId, ErrorKind, IdOffset, IdOffsets, IdRange, Owner, tree::TreeIds};
use sysbox_host::{chown::Progress, overlay::clone::OverlayClone};

use self::fault::clone_fault;
use crate::{
    error::Fault,
    files::{Intent, below},
    ground::{Ground, Turn},
    lifecycle,
    prepared::tree_ids,
    progress::Work,
    record::ContainerState,
    registry::{Container, ContainerNr, columns},
    step::step,
};

pub(crate) use self::fault::chown_fault;

/// Clones the rootfs of a container, or attaches the clone that there is, and gives its path.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when the container has stopped or its rootfs cannot be cloned.
pub(crate) fn clone(ground: &Ground<'_>, id: &ContainerId) -> Result<AbsPath, Fault> {
    let turn = ground.turn(id)?;
    let clone = of(&turn.dir.path)?;
    let begin = |db: &Connection| Ok(lifecycle::alive(db, id, "given a clone of its rootfs")?.rootfs);
    let effects = |rootfs: &AbsPath| {
        clone.attach(rootfs).map_err(clone_fault("cannot have its rootfs cloned"))?;
        step("attach the clone");
        Ok(())
    };
    ground.carry_out(&turn, Intent::CloneRootfs, begin, effects, |db, _, ()| list(db, turn.nr))?;
    Ok(clone.path().clone())
}

/// Shifts the owners in the clone.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when the container has stopped or is paused, has no clone, or has a shifted one;
/// `InvalidArgument` when the offsets do not lead to ids of the host that a container can have.
pub(crate) fn shift(ground: &Ground<'_>, id: &ContainerId, offsets: IdOffsets) -> Result<(), Fault> {
    let turn = ground.turn(id)?;
    let begin = |db: &Connection| {
        let container = lifecycle::alive(db, id, "given other owners in the clone of its rootfs")?;
        let refused = |message| Err(Fault::refused(ErrorKind::FailedPrecondition, message));
        match listed(db, turn.nr)? {
            Listed::Nothing => return refused(NOT_CLONED),
            Listed::Clone { ids: Some(_) } => {
                return refused("has the owners in the clone of its rootfs shifted; revert that first");
            }
            Listed::Clone { ids: None } if container.state == ContainerState::Paused => {
                return refused("is paused; resume it first");
            }
            Listed::Clone { ids: None } => {}
        }
        shifted_by(db, &container, offsets)
    };
    let finish = |db: &Connection, ids: &TreeIds, (): &()| set_ids(db, turn.nr, Some(*ids));
    ground.carry_out(&turn, Intent::ChownClone, begin, |ids| shift_to(ground, &turn, *ids), finish)
}

/// Shifts them back. While the container is paused, they are as made already.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when it has no clone, or none that is shifted.
pub(crate) fn revert(ground: &Ground<'_>, id: &ContainerId) -> Result<(), Fault> {
    let turn = ground.turn(id)?;
    let begin = |db: &Connection| {
        let refused = |message| Err(Fault::refused(ErrorKind::FailedPrecondition, message));
        match listed(db, turn.nr)? {
            Listed::Nothing => refused(NOT_CLONED),
            Listed::Clone { ids: None } => {
                refused("has the owners in the clone of its rootfs as they were made; shift them first")
            }
            Listed::Clone { ids: Some(_) } => Ok(()),
        }
    };
    let effects = |(): &()| unshift(ground, &turn);
    ground.carry_out(&turn, Intent::RevertClone, begin, effects, |db, (), ()| set_ids(db, turn.nr, None))
}

const CANNOT_REVERT: &str = "cannot have the owners in the clone of its rootfs shifted back";
const CANNOT_REMOVE: &str = "cannot have the clone of its rootfs removed";
const NOT_CLONED: &str = "has no clone of its rootfs; clone it first";

/// Removes a clone that no row tells of.
pub(crate) fn discard_unlisted(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    if ground.store.read(|db| find(db, turn.nr))? { Ok(()) } else { remove(ground, turn) }
}

/// Shifts the owners on disk back, if they are shifted at all. What the row says stays.
pub(crate) fn unshift(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let clone = of(&turn.dir.path)?;
    clone.revert(&|progress| tell(ground, turn, &clone, progress)).map_err(clone_fault(CANNOT_REVERT))?;
    step("revert the clone");
    Ok(())
}

/// Shifts the owners as the row says.
pub(crate) fn shift_again(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    match ground.store.read(|db| listed(db, turn.nr))? {
        Listed::Clone { ids: Some(ids) } => shift_to(ground, turn, ids),
        Listed::Clone { ids: None } | Listed::Nothing => Ok(()),
    }
}

/// Notes that the owners are not shifted.
pub(crate) fn note_unshifted(db: &Connection, container: ContainerNr) -> Result<(), Fault> {
    set_ids(db, container, None)
}

/// Unmounts the clone. It can be attached again.
pub(crate) fn detach(_ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    of(&turn.dir.path)?.detach().map_err(clone_fault(CANNOT_REMOVE))
}

/// Removes the clone.
pub(crate) fn remove(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    unshift(ground, turn)?;
    of(&turn.dir.path)?.discard().map_err(clone_fault(CANNOT_REMOVE))?;
    step("discard the clone");
    Ok(())
}

/// Whether a container has a clone.
pub(crate) fn find(db: &Connection, container: ContainerNr) -> Result<bool, Fault> {
    Ok(matches!(listed(db, container)?, Listed::Clone { .. }))
}

/// Reverts and removes the clone in a container's directory, whatever is on record of it.
pub(crate) fn discard(dir: &AbsPath) -> Result<(), Fault> {
    let clone = of(dir)?;
    clone.revert(&|_| ()).and_then(|()| clone.discard()).map_err(clone_fault(CANNOT_REMOVE))
}

/// The clone in a container's directory, if there is one.
fn of(dir: &AbsPath) -> Result<OverlayClone, Fault> {
    OverlayClone::new(below(dir, "clone")?).map_err(clone_fault("cannot have a clone of its rootfs"))
}

fn shift_to(ground: &Ground<'_>, turn: &Turn, ids: TreeIds) -> Result<(), Fault> {
    let clone = of(&turn.dir.path)?;
    let shifted = clone.shift(&turn.id, ids, &|progress| tell(ground, turn, &clone, progress));
    shifted.map_err(clone_fault("cannot have the owners in the clone of its rootfs shifted"))?;
    step("shift the owners in the clone");
    Ok(())
}

fn tell(ground: &Ground<'_>, turn: &Turn, clone: &OverlayClone, progress: Progress) {
    ground.tell(turn, Work::Chown, clone.path(), progress.done, progress.total);
}

/// The ids that offsets lead to.
fn shifted_by(db: &Connection, container: &Container, offsets: IdOffsets) -> Result<TreeIds, Fault> {
    let first = |kind: &str, offset: IdOffset| {
        let first = u32::try_from(offset.get()).ok().filter(|&first| first > 0);
        first.ok_or_else(|| {
            let message = format!(
                "cannot have {kind} ids shifted by {offset}; give the first of its ids on the host, above 0"
            );
            Fault::refused(ErrorKind::InvalidArgument, message)
        })
    };
    let root = Owner::new(first("user", offsets.uid)?, first("group", offsets.gid)?);
    let ids = tree_ids(db, container, root)?;
    let checked = |kind: &str, range: IdRange| {
        if range.first() >= range.count() {
            return Ok(());
        }
        let (first, count) = (range.first(), range.count());
        let message = format!(
            "cannot have its {count} {kind} ids shifted by {first}, to ids that it has itself; shift by {count} or more"
        );
        Err(Fault::refused(ErrorKind::InvalidArgument, message))
    };
    checked("user", ids.uids)?;
    checked("group", ids.gids)?;
    Ok(ids)
}

/// What the table says.
enum Listed {
    Nothing,
    /// There is a clone; its owners are to be shifted to these ids, if any, while the container runs.
    Clone {
        ids: Option<TreeIds>,
    },
}

fn listed(db: &Connection, container: ContainerNr) -> Result<Listed, Fault> {
    let mut statement = db.prepare_cached("SELECT ids FROM clone WHERE container = ?1")?;
    let ids = statement.query_row([container], |row| columns::tree_ids_of(row, 0)).optional()?;
    Ok(ids.map_or(Listed::Nothing, |ids| Listed::Clone { ids }))
}

fn list(db: &Connection, container: ContainerNr) -> Result<(), Fault> {
    db.prepare_cached("INSERT OR IGNORE INTO clone (container) VALUES (?1)")?.execute([container])?;
    Ok(())
}

fn set_ids(db: &Connection, container: ContainerNr, ids: Option<TreeIds>) -> Result<(), Fault> {
    let statement = "UPDATE clone SET ids = ?2 WHERE container = ?1";
    db.prepare_cached(statement)?.execute((container, ids.map(columns::tree_ids)))?;
    Ok(())
}
