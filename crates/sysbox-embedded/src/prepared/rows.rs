//! The table `prepared`: which container uses which source, and whether the call that says so has come to its end.

use rusqlite::{Connection, OptionalExtension, Row};
use sysbox_core::{AbsPath, ContainerId};

use super::source::{Inode, Source};
use crate::{
    disk::Disk,
    error::Fault,
    record::ContainerState,
    registry::{ContainerNr, columns},
};

/// A container that uses a source.
#[derive(Debug)]
pub(super) struct User {
    pub(super) container: ContainerId,
    pub(super) exclusive: bool,
    /// Whether the call that says so has not come to its end.
    pub(super) is_pending: bool,
}

/// Who uses what a path leads to, besides this container by this path. Containers that have stopped do not use anything, even
/// if what they had is still to be given up.
pub(super) fn users(
    db: &Connection,
    inode: Inode,
    container: ContainerNr,
    source: &AbsPath,
) -> Result<Vec<User>, Fault> {
    let query = "SELECT id, exclusive, pending FROM prepared JOIN container ON container.nr = prepared.container \
        WHERE ino = ?1 AND dev = ?2 AND NOT (container.nr = ?3 AND source = ?4) AND state <> ?5 ORDER BY id";
    let stopped = columns::state(ContainerState::Stopped);
    let key = (inode.ino.cast_signed(), inode.dev.cast_signed(), container, columns::path(source), stopped);
    let user = |row: &Row<'_>| {
        Ok(User { container: columns::parsed(row, 0)?, exclusive: row.get(1)?, is_pending: row.get(2)? })
    };
    let mut statement = db.prepare_cached(query)?;
    Ok(statement.query_map(key, user)?.collect::<Result<_, _>>()?)
}

/// Writes down that a container is about to use a source, and tells whether it did not before.
pub(super) fn plan(
    db: &Connection,
    container: ContainerNr,
    source: &Source,
    exclusive: bool,
) -> Result<bool, Fault> {
    let statement = "INSERT INTO prepared (container, source, dev, ino, exclusive, disk, pending) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1) \
        ON CONFLICT (container, source) DO UPDATE SET dev = excluded.dev, ino = excluded.ino, \
            exclusive = max(exclusive, excluded.exclusive), \
            pending = (dev <> excluded.dev OR ino <> excluded.ino) \
        RETURNING pending";
    let Inode { dev, ino } = source.inode;
    let (dev, ino, disk) = (dev.cast_signed(), ino.cast_signed(), source.disk.map(Disk::number));
    let row = (container, columns::path(&source.path), dev, ino, exclusive, disk);
    Ok(db.prepare_cached(statement)?.query_row(row, |row| row.get(0))?)
}

/// Whether what held a source is there, with it or without it. A disk that is not mounted has it still.
pub(super) fn is_on_its_disk(
    db: &Connection,
    container: ContainerNr,
    source: &AbsPath,
) -> Result<bool, Fault> {
    let query = "SELECT disk FROM prepared WHERE container = ?1 AND source = ?2";
    let known = db.prepare_cached(query)?.query_row((container, columns::path(source)), |row| row.get(0));
    let known: Option<i64> = known.optional()?.flatten();
    let now = Disk::that_holds(source).ok();
    Ok(known.is_none_or(|known| now == Some(Disk::of_number(known))))
}

/// Another container that uses what is above or below a source.
pub(super) fn user_around(
    db: &Connection,
    container: ContainerNr,
    source: &AbsPath,
) -> Result<Option<ContainerId>, Fault> {
    let query = "SELECT id, source FROM prepared JOIN container ON container.nr = prepared.container \
        WHERE container.nr <> ?1 AND source <> ?2 AND state <> ?3 ORDER BY id";
    let stopped = columns::state(ContainerState::Stopped);
    let user = |row: &Row<'_>| Ok((columns::parsed(row, 0)?, columns::path_of(row, 1)?));
    let mut statement = db.prepare_cached(query)?;
    let users = statement.query_map((container, columns::path(source), stopped), user)?;
    let users: Vec<(ContainerId, AbsPath)> = users.collect::<Result<_, _>>()?;
    let is_around = |other: &AbsPath| {
        other.as_path().starts_with(source.as_path()) || source.as_path().starts_with(other.as_path())
    };
    Ok(users.into_iter().find(|(_, other)| is_around(other)).map(|(id, _)| id))
}

/// Notes that the call has come to its end.
pub(super) fn confirm(db: &Connection, container: ContainerNr) -> Result<(), Fault> {
    db.prepare_cached("UPDATE prepared SET pending = 0 WHERE container = ?1")?.execute([container])?;
    Ok(())
}

/// Forgets that a container uses a source.
pub(super) fn forget(db: &Connection, container: ContainerNr, source: &AbsPath) -> Result<(), Fault> {
    let statement = "DELETE FROM prepared WHERE container = ?1 AND source = ?2";
    db.prepare_cached(statement)?.execute((container, columns::path(source)))?;
    Ok(())
}

/// The sources of a call that has not come to its end.
pub(super) fn pending(db: &Connection, container: ContainerNr) -> Result<Vec<AbsPath>, Fault> {
    sources(db, container, "AND pending")
}

/// The sources of a container.
pub(super) fn all(db: &Connection, container: ContainerNr) -> Result<Vec<AbsPath>, Fault> {
    sources(db, container, "")
}

fn sources(db: &Connection, container: ContainerNr, condition: &str) -> Result<Vec<AbsPath>, Fault> {
    let query = format!("SELECT source FROM prepared WHERE container = ?1 {condition} ORDER BY source");
    let mut statement = db.prepare_cached(&query)?;
    let sources = statement.query_map([container], |row| columns::path_of(row, 0))?;
    Ok(sources.collect::<Result<_, _>>()?)
}
