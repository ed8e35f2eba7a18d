//! Whom a source belongs to, while containers use it and after.

use std::{fs, os::unix::fs::MetadataExt};

use sysbox_core::{
    AbsPath, ErrorKind, Owner,
    host::Feature,
    tree::{TreeIds, TreePhase, TreeRecord},
};
use sysbox_host::chown::{self, ChownError, Progress};

use super::{
    SourcesLock,
    rows::{self, User},
    source::Source,
};
use crate::{
    clone::chown_fault,
    error::Fault,
    ground::{Ground, Turn},
    progress::Work,
    step::step,
};

/// Gives a source to the root of a container, unless it can be ID-mapped or another container uses it.
pub(super) fn give(ground: &Ground<'_>, turn: &Turn, source: &Source, ids: TreeIds) -> Result<(), Fault> {
    if !source.is_directory {
        tracing::trace!(container = %turn.id, source = %source.path, "a single file keeps its owner");
        return Ok(());
    }
    let wanted = if can_be_mapped(ground, &source.path)? { None } else { Some(ids) };
    if is_in_line(ground, source, wanted)? {
        warn_of_strangers(turn, source, wanted);
        return Ok(());
    }
    let _lock = SourcesLock::wait(ground)?;
    let record = record_of(&source.path)?;
    let users = ground.store.read(|db| rows::users(db, source.inode, turn.nr, &source.path))?;
    // Of several that come at once, the first that has the lock gets it.
    let has_it = |user: &&User| {
        !user.is_pending || record.as_ref().is_some_and(|record| record.container == user.container)
    };
    if let Some(User { container: other, .. }) = users.iter().find(has_it) {
        let (container, source) = (&turn.id, &source.path);
        tracing::info!(%container, %source, %other, "a source stays as it is, for another container uses it");
        return Ok(());
    }
    if let Some(other) = ground.store.read(|db| rows::user_around(db, turn.nr, &source.path))? {
        let (container, source) = (&turn.id, &source.path);
        tracing::warn!(%container, %source, %other, "a source stays as it is, for another container uses what is above or below it");
        return Ok(());
    }
    bring_in_line(ground, turn, source, record, wanted)
}

/// Ends a container's use of a source: it is shifted back if nobody else uses it.
pub(super) fn take_back(ground: &Ground<'_>, turn: &Turn, path: &AbsPath) -> Result<(), Fault> {
    let forget = || ground.store.write(|db| rows::forget(db, turn.nr, path));
    let Some(source) = Source::now(path)? else {
        if ground.store.read(|db| rows::is_on_its_disk(db, turn.nr, path))? {
            return forget();
        }
        tracing::warn!(container = %turn.id, source = %path, "a source is out of reach, its owners are shifted back when it is there");
        return Ok(());
    };
    if !source.is_directory {
        return forget();
    }
    if record_of(&source.path)?.is_none() {
        return forget();
    }
    // Forgotten under the lock as well: who waits for it is to find either the use or the owners as made.
    let _lock = SourcesLock::wait(ground)?;
    let is_used = !ground.store.read(|db| rows::users(db, source.inode, turn.nr, path))?.is_empty();
    match record_of(&source.path)? {
        // Those who use it took it as it was. Half shifted it is of use to nobody.
        Some(record) if !is_used || record.phase != TreePhase::Shifted => {
            revert(ground, turn, &source.path)?;
        }
        _ => {}
    }
    forget()
}

/// Whether an ID-mapped mount of it can be given to the container.
fn can_be_mapped(ground: &Ground<'_>, path: &AbsPath) -> Result<bool, Fault> {
    for feature in [Feature::IdMappedMount(path.clone()), Feature::OverlayOnIdMapped] {
        let support = ground.host.probe(&feature).map_err(|source| Fault::Host {
            kind: ErrorKind::Internal,
            message: format!("cannot be given {path}: the host cannot be tried"),
            source,
        })?;
        if !support.is_yes() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the owners are as made, and as they are to be: if they are to be shifted, the container's root has it already.
///
/// A tree on record is not, even with the right ids: who has shifted it may be about to shift it back.
fn is_in_line(ground: &Ground<'_>, source: &Source, wanted: Option<TreeIds>) -> Result<bool, Fault> {
    if record_of(&source.path)?.is_some() {
        return Ok(false);
    }
    match wanted {
        Some(ids) => Ok(owner(ground, &source.path)? == ids.root()),
        None => Ok(true),
    }
}

/// Shifts the owners to these ids, or back to those as made.
fn bring_in_line(
    ground: &Ground<'_>,
    turn: &Turn,
    source: &Source,
    record: Option<TreeRecord>,
    wanted: Option<TreeIds>,
) -> Result<(), Fault> {
    let path = &source.path;
    match (record, wanted) {
        (Some(record), Some(ids)) if record.ids == ids => return shift(ground, turn, path, record.from, ids),
        (Some(record), _) => {
            tracing::warn!(source = %path, left_by = %record.container, "owners that were left shifted are shifted back");
            revert(ground, turn, path)?;
        }
        (None, _) => {}
    }
    let Some(ids) = wanted else { return Ok(()) };
    let owner = owner(ground, path)?;
    if owner == ids.root() { Ok(()) } else { shift(ground, turn, path, owner, ids) }
}

fn shift(ground: &Ground<'_>, turn: &Turn, path: &AbsPath, from: Owner, ids: TreeIds) -> Result<(), Fault> {
    let tell = |progress: Progress| ground.tell(turn, Work::Chown, path, progress.done, progress.total);
    chown::shift_tree_from(path, &turn.id, from, ids, &tell).map_err(|error| chown_fault(path, error))?;
    step("shift a source");
    Ok(())
}

fn revert(ground: &Ground<'_>, turn: &Turn, path: &AbsPath) -> Result<(), Fault> {
    let tell = |progress: Progress| ground.tell(turn, Work::Chown, path, progress.done, progress.total);
    chown::revert_tree(path, &tell).map_err(|error| chown_fault(path, error))?;
    step("shift a source back");
    Ok(())
}

/// What a tree says of itself. One of which it cannot be known was not shifted by us: the record is written first.
fn record_of(path: &AbsPath) -> Result<Option<TreeRecord>, Fault> {
    match chown::record(path) {
        Ok(record) => Ok(record),
        Err(ChownError::NotPrivileged | ChownError::NoTrustedAttributes { .. }) => Ok(None),
        Err(error) => Err(chown_fault(path, error)),
    }
}

fn owner(ground: &Ground<'_>, path: &AbsPath) -> Result<Owner, Fault> {
    ground.host.owner(path).map_err(|source| Fault::files(format!("cannot be given {path}"), source))
}

/// Tells of a directory of the container's root in which nothing is its own. There is no way back from a shift of it, for its
/// owner is one of those that others are to be shifted to.
fn warn_of_strangers(turn: &Turn, source: &Source, wanted: Option<TreeIds>) {
    let Some(ids) = wanted else { return };
    let owners = fs::read_dir(&source.path).into_iter().flatten().flatten().filter_map(|entry| {
        let found = entry.metadata().ok()?;
        Some(Owner::new(found.uid(), found.gid()))
    });
    let mut owners = owners.peekable();
    if owners.peek().is_some() && owners.all(|owner| owner != ids.root()) {
        tracing::warn!(
            container = %turn.id, source = %source.path,
            "a source belongs to the container's root and what is in it does not; chown the source to the owner of that"
        );
    }
}
