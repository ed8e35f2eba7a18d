//! Sources of bind mounts: who uses them, and whom they belong to meanwhile.
//!
//! A source whose file system takes no ID-mapping is given to the root of the one container that uses it, by a shift of the
//! owners on disk, and back when the last container that uses it stops. What is used by another already stays as it is.
//!
//! Two containers can have the same source, so whether it is shifted or shifted back is decided and done under one lock
//! ([`SourcesLock`]), which is always taken after the lock of a container. The tree's own record says how its owners are; a
//! row of `prepared` says only who uses it, and counts as long as its container has not stopped.

mod ids;
mod lock;
mod owners;
mod rows;
mod source;

use rusqlite::Connection;
use sysbox_core::{AbsPath, MountToPrepare, MountsToPrepare, Owner, tree::TreeIds};

use self::rows::User;
use crate::{
    error::Fault,
    files::Intent,
    ground::{Ground, Turn},
    lifecycle,
    registry::ContainerNr,
    step::step,
};

pub(crate) use self::{ids::tree_ids, lock::SourcesLock, source::Source};

/// Gives sources of bind mounts to the container's root where they cannot be ID-mapped, and tracks who uses them.
///
/// A source that others use is left to them; where one of them or this container is to have it alone, that is warned of.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when the container has stopped or a tree cannot be shifted; `InvalidArgument` when a
/// source is missing. All sources are as they were then.
pub(crate) fn prepare(ground: &Ground<'_>, request: &MountsToPrepare) -> Result<(), Fault> {
    let alive = |db: &Connection| lifecycle::alive(db, &request.id, "given mounts");
    if request.mounts.is_empty() {
        return ground.store.read(|db| alive(db).map(drop));
    }
    let turn = ground.turn(&request.id)?;
    let wishes = wishes(&request.mounts);
    let root = Owner { uid: request.uid, gid: request.gid };
    let begin = |db: &Connection| {
        let container = alive(db)?;
        Plan::new(db, &turn, &wishes?, tree_ids(db, &container, root)?)
    };
    let effects = |plan: &Plan| {
        plan.shared.iter().for_each(|shared| shared.warn(&turn));
        for source in &plan.sources {
            owners::give(ground, &turn, source, plan.ids)?;
            step("prepare a source");
        }
        Ok(())
    };
    ground.carry_out(&turn, Intent::PrepMounts, begin, effects, |db, _, ()| rows::confirm(db, turn.nr))
}

/// Undoes what a call has begun that did not come to its end.
pub(crate) fn take_back_pending(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let pending = ground.store.read(|db| rows::pending(db, turn.nr))?;
    pending.iter().try_for_each(|path| owners::take_back(ground, turn, path))
}

/// Ends the use of all sources, and shifts those back that nobody uses any more.
pub(crate) fn take_back(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let all = ground.store.read(|db| rows::all(db, turn.nr))?;
    all.iter().try_for_each(|path| owners::take_back(ground, turn, path))
}

/// The sources that a container uses.
pub(crate) fn list(db: &Connection, container: ContainerNr) -> Result<Vec<AbsPath>, Fault> {
    rows::all(db, container)
}

/// A source, each once, and whether it is to be used by one container only.
struct Wish {
    source: Source,
    exclusive: bool,
}

fn wishes(mounts: &[MountToPrepare]) -> Result<Vec<Wish>, Fault> {
    let mut wishes: Vec<Wish> = Vec::new();
    for mount in mounts {
        let source = Source::named(&mount.source)?;
        match wishes.iter_mut().find(|wish| wish.source.inode == source.inode) {
            Some(same) => same.exclusive |= mount.exclusive,
            None => wishes.push(Wish { source, exclusive: mount.exclusive }),
        }
    }
    Ok(wishes)
}

/// What is to be done.
struct Plan {
    ids: TreeIds,
    /// The sources that the container did not use before.
    sources: Vec<Source>,
    shared: Vec<Shared>,
}

impl Plan {
    /// Writes down which sources are to be prepared, and who else uses them.
    fn new(db: &Connection, turn: &Turn, wishes: &[Wish], ids: TreeIds) -> Result<Self, Fault> {
        let mut plan = Self { ids, sources: Vec::new(), shared: Vec::new() };
        for Wish { source, exclusive } in wishes {
            let users = rows::users(db, source.inode, turn.nr, &source.path)?;
            let too_many = |user: &User| user.container != turn.id && (*exclusive || user.exclusive);
            let shared = users.into_iter().filter(too_many);
            plan.shared.extend(shared.map(|user| Shared { source: source.path.clone(), user }));
            if rows::plan(db, turn.nr, source, *exclusive)? {
                plan.sources.push(source.clone());
            }
        }
        Ok(plan)
    }
}

/// A source that another container uses too, though one of the two is to have it alone.
struct Shared {
    source: AbsPath,
    user: User,
}

impl Shared {
    fn warn(&self, turn: &Turn) {
        let Self { source, user } = self;
        tracing::warn!(
            container = %turn.id, %source, other = %user.container,
            "a mount source for one container only is used by two; stop one of them, or mount something else"
        );
    }
}
