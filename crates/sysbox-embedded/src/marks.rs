//! Directories that shiftfs is marked on, for as long as any container needs it.
//!
//! A mark is a mount of the host, and containers can share one: it is made for the first that asks and removed with the last.
//! A row of `mark` says who needs it, and is written before the mark is made; so a crash leaves no mark that no row tells of.
//! Marks are made and removed under the lock on what containers share ([`SourcesLock`]).

#[cfg(test)]
mod tests;

use std::fmt::Debug;

use rusqlite::Connection;
use sysbox_core::{AbsPath, ErrorKind, HostError, HostPort, ShiftfsMark, ShiftfsMarks, host::Feature};
use sysbox_host::shiftfs::{self, Access};

use crate::{
    error::Fault,
    files::Intent,
    ground::{Ground, Turn},
    lifecycle,
    prepared::{Source, SourcesLock},
    record::ContainerState,
    registry::{ContainerNr, columns},
    step::step,
};

/// Marks directories that are not marked for the container yet, and gives those.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` when the container has stopped, or the kernel has no shiftfs; `InvalidArgument` when a
/// directory is missing.
pub(crate) fn mark(ground: &Ground<'_>, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, Fault> {
    mark_by(&Kernel, ground, request)
}

/// Forgets marks that a call has written down and not made.
pub(crate) fn forget_unmarked(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    forget_unmarked_by(&Kernel, ground, turn)
}

/// Removes the marks that no other container has.
pub(crate) fn take_back(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    take_back_by(&Kernel, ground, turn)
}

/// Who makes marks. Each call may be repeated.
trait Marker: Debug {
    fn mark(&self, source: &AbsPath, access: Access) -> Result<(), HostError>;
    fn unmark(&self, source: &AbsPath) -> Result<(), HostError>;
    fn is_marked(&self, source: &AbsPath) -> Result<bool, HostError>;
}

/// The kernel of the host.
#[derive(Debug)]
struct Kernel;

impl Marker for Kernel {
    fn mark(&self, source: &AbsPath, access: Access) -> Result<(), HostError> {
        shiftfs::mark(source, access)
    }

    fn unmark(&self, source: &AbsPath) -> Result<(), HostError> {
        shiftfs::unmark(source)
    }

    fn is_marked(&self, source: &AbsPath) -> Result<bool, HostError> {
        shiftfs::is_marked(source)
    }
}

fn mark_by(
    marker: &dyn Marker,
    ground: &Ground<'_>,
    request: &ShiftfsMarks,
) -> Result<Vec<ShiftfsMark>, Fault> {
    let alive = |db: &Connection| lifecycle::alive(db, &request.id, "given marks of shiftfs").map(drop);
    ground.store.read(alive)?;
    if request.marks.is_empty() {
        return Ok(Vec::new());
    }
    require_shiftfs(ground.host)?;
    let wishes = wishes(&request.marks)?;
    let turn = ground.turn(&request.id)?;
    let begin = |db: &Connection| {
        alive(db)?;
        let mut new = Vec::new();
        for (source, mark) in wishes {
            if note(db, turn.nr, &source, mark.readonly)? {
                new.push((source, mark));
            }
        }
        Ok(new)
    };
    let effects = |new: &Vec<(AbsPath, ShiftfsMark)>| {
        let _lock = SourcesLock::wait(ground)?;
        for (source, mark) in new {
            let access = if mark.readonly { Access::ReadOnly } else { Access::ReadWrite };
            marker.mark(source, access).map_err(|error| marker_fault(source, error))?;
            step("mark");
        }
        Ok(new.iter().map(|(_, mark)| mark.clone()).collect())
    };
    ground.carry_out(&turn, Intent::Mark, begin, effects, |_, _, _| Ok(()))
}

fn forget_unmarked_by(marker: &dyn Marker, ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let _lock = SourcesLock::wait(ground)?;
    for source in ground.store.read(|db| sources(db, turn.nr))? {
        if !marker.is_marked(&source).map_err(|error| marker_fault(&source, error))? {
            ground.store.write(|db| forget(db, turn.nr, &source))?;
        }
    }
    Ok(())
}

fn take_back_by(marker: &dyn Marker, ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let all = ground.store.read(|db| sources(db, turn.nr))?;
    if all.is_empty() {
        return Ok(());
    }
    let _lock = SourcesLock::wait(ground)?;
    for source in all {
        if !ground.store.read(|db| is_needed(db, turn.nr, &source))? {
            marker.unmark(&source).map_err(|error| marker_fault(&source, error))?;
            step("unmark a source");
        }
        ground.store.write(|db| forget(db, turn.nr, &source))?;
    }
    Ok(())
}

fn require_shiftfs(host: &dyn HostPort) -> Result<(), Fault> {
    let support = host.probe(&Feature::Shiftfs).map_err(|source| Fault::Host {
        kind: ErrorKind::Internal,
        message: "cannot be given marks of shiftfs: the host cannot be tried".to_owned(),
        source,
    })?;
    if support.is_yes() {
        return Ok(());
    }
    let message = "cannot be given marks of shiftfs: the kernel has no shiftfs; use ID-mapped mounts";
    Err(Fault::refused(ErrorKind::FailedPrecondition, message))
}

/// The marks that are asked for, each directory once, by their paths without symbolic links.
fn wishes(marks: &[ShiftfsMark]) -> Result<Vec<(AbsPath, ShiftfsMark)>, Fault> {
    let mut wishes: Vec<(AbsPath, ShiftfsMark)> = Vec::new();
    for mark in marks {
        let Source { path, .. } = Source::named(&mark.source)?;
        if wishes.iter().all(|(source, _)| *source != path) {
            wishes.push((path, mark.clone()));
        }
    }
    Ok(wishes)
}

fn marker_fault(source: &AbsPath, error: HostError) -> Fault {
    Fault::files(format!("cannot have the shiftfs mark of {source} changed"), error)
}

/// Writes down that a container needs a mark, and tells whether it did not before.
fn note(db: &Connection, container: ContainerNr, source: &AbsPath, readonly: bool) -> Result<bool, Fault> {
    let statement = "INSERT OR IGNORE INTO mark (container, source, readonly) VALUES (?1, ?2, ?3)";
    Ok(db.prepare_cached(statement)?.execute((container, columns::path(source), readonly))? > 0)
}

/// Whether another container, that has not stopped, needs a mark.
fn is_needed(db: &Connection, besides: ContainerNr, source: &AbsPath) -> Result<bool, Fault> {
    let query = "SELECT EXISTS (SELECT 1 FROM mark JOIN container ON container.nr = mark.container \
        WHERE source = ?1 AND container.nr <> ?2 AND state <> ?3)";
    let key = (columns::path(source), besides, columns::state(ContainerState::Stopped));
    Ok(db.prepare_cached(query)?.query_row(key, |row| row.get(0))?)
}

fn sources(db: &Connection, container: ContainerNr) -> Result<Vec<AbsPath>, Fault> {
    let mut statement = db.prepare_cached("SELECT source FROM mark WHERE container = ?1 ORDER BY source")?;
    let sources = statement.query_map([container], |row| columns::path_of(row, 0))?;
    Ok(sources.collect::<Result<_, _>>()?)
}

fn forget(db: &Connection, container: ContainerNr, source: &AbsPath) -> Result<(), Fault> {
    let statement = "DELETE FROM mark WHERE container = ?1 AND source = ?2";
    db.prepare_cached(statement)?.execute((container, columns::path(source)))?;
    Ok(())
}
