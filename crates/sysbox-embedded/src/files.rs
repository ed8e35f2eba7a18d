//! Containers for which something was made or changed outside of the database: the table `files`, and the directory of ours
//! that is such a container's own.
//!
//! Who works on the files of a container holds the lock on its directory, and has written down what it is about to do: its
//! [`Intent`]. The kernel drops the lock with the process. So an intent whose lock is free was left by a process that ended in
//! the middle, and whoever comes next finishes or undoes it first.

mod dir;
#[cfg(test)]
mod tests;

use rusqlite::{Connection, OptionalExtension, Row, types::Type};
use sysbox_core::{ContainerId, Operation};

use crate::{
    error::Fault,
    record::ContainerState,
    registry::{ContainerNr, columns},
};

pub(crate) use dir::{ContainerDir, ContainerDirs, below, make_dir};

/// What has been begun with the files of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intent {
    /// Volumes are being made and filled.
    ReqMounts = 1,
    /// Sources of bind mounts are being given to the container's root.
    PrepMounts = 2,
    /// shiftfs is being marked on directories.
    Mark = 3,
    /// The rootfs is being cloned.
    CloneRootfs = 4,
    /// The owners in the clone are being shifted.
    ChownClone = 5,
    /// The owners in the clone are being shifted back.
    RevertClone = 6,
    /// Owners are being shifted back, and volumes copied, for a pause.
    Pause = 7,
    /// Owners are being shifted again after a pause.
    Resume = 8,
    /// What belonged to a run is being undone, and volumes are copied back.
    Stop = 9,
    /// Everything that is kept for the container is being removed.
    Remove = 10,
}

impl Intent {
    const ALL: [Self; 10] = [
        Self::ReqMounts,
        Self::PrepMounts,
        Self::Mark,
        Self::CloneRootfs,
        Self::ChownClone,
        Self::RevertClone,
        Self::Pause,
        Self::Resume,
        Self::Stop,
        Self::Remove,
    ];

    /// Whether there is no way back: it is finished by whoever comes next, where the others are undone.
    pub const fn is_to_be_finished(self) -> bool {
        matches!(self, Self::RevertClone | Self::Stop | Self::Remove)
    }

    /// What was being done, in words that go after "container ID was left".
    pub const fn words(self) -> &'static str {
        match self {
            Self::ReqMounts => "while its volumes were being made",
            Self::PrepMounts => "while sources of its bind mounts were being prepared",
            Self::Mark => "while shiftfs was being marked for it",
            Self::CloneRootfs => "while its rootfs was being cloned",
            Self::ChownClone => "while the owners in the clone of its rootfs were being shifted",
            Self::RevertClone => "while the owners in the clone of its rootfs were being shifted back",
            Self::Pause => "while it was being paused",
            Self::Resume => "while it was being resumed",
            Self::Stop => "while it was being stopped",
            Self::Remove => "while it was being removed",
        }
    }

    /// The call that was being carried out.
    pub const fn operation(self) -> Operation {
        match self {
            Self::ReqMounts => Operation::ReqMounts,
            Self::PrepMounts => Operation::PrepMounts,
            Self::Mark => Operation::ReqShiftfsMark,
            Self::CloneRootfs => Operation::CloneRootfs,
            Self::ChownClone => Operation::ChownClonedRootfs,
            Self::RevertClone => Operation::RevertClonedRootfsChown,
            Self::Pause => Operation::Pause,
            Self::Resume => Operation::Resume,
            Self::Stop => Operation::Unregister,
            Self::Remove => Operation::Remove,
        }
    }

    const fn number(self) -> i64 {
        self as i64
    }

    fn of(row: &Row<'_>, at: usize) -> Result<Option<Self>, rusqlite::Error> {
        let Some(number) = row.get::<_, Option<i64>>(at)? else { return Ok(None) };
        let found = Self::ALL.into_iter().find(|known| known.number() == number);
        let unknown = || {
            let message = format!("intent {number} is unknown");
            rusqlite::Error::FromSqlConversionFailure(at, Type::Integer, message.into())
        };
        found.map(Some).ok_or_else(unknown)
    }
}

/// A row of `files`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// The name of the directory.
    pub(crate) dir: String,
    pub(crate) intent: Option<Intent>,
}

/// What is known of a container's files, if it has any.
pub(crate) fn find(db: &Connection, container: ContainerNr) -> Result<Option<Files>, Fault> {
    let query = "SELECT dir, intent FROM files WHERE container = ?1";
    let files = |row: &Row<'_>| Ok(Files { dir: row.get(0)?, intent: Intent::of(row, 1)? });
    Ok(db.prepare_cached(query)?.query_row([container], files).optional()?)
}

/// The same by the container's id.
pub(crate) fn of(db: &Connection, id: &ContainerId) -> Result<Option<Files>, Fault> {
    let query =
        "SELECT dir, intent FROM files JOIN container ON container.nr = files.container WHERE id = ?1";
    let files = |row: &Row<'_>| Ok(Files { dir: row.get(0)?, intent: Intent::of(row, 1)? });
    Ok(db.prepare_cached(query)?.query_row([id.as_str()], files).optional()?)
}

/// Notes that a container has files, in a directory that no container ever had.
pub(crate) fn give(db: &Connection, container: ContainerNr, id: &ContainerId) -> Result<Files, Fault> {
    if let Some(files) = find(db, container)? {
        return Ok(files);
    }
    // Names of files have at most 255 bytes; ids may have more.
    let start: String = id.as_str().chars().take(64).collect();
    let statement = "INSERT INTO files (container, dir) VALUES (?1, ?2 || '.' || lower(hex(randomblob(8))))";
    db.prepare_cached(statement)?.execute((container, start))?;
    let made = find(db, container)?;
    made.ok_or_else(|| Fault::Sqlite(rusqlite::Error::QueryReturnedNoRows))
}

/// Writes down what is about to be done.
pub(crate) fn intend(db: &Connection, container: ContainerNr, intent: Intent) -> Result<(), Fault> {
    let statement = "UPDATE files SET intent = ?2, begun = unixepoch() WHERE container = ?1";
    db.prepare_cached(statement)?.execute((container, intent.number()))?;
    Ok(())
}

/// Notes that nothing is being done.
pub(crate) fn settled(db: &Connection, container: ContainerNr) -> Result<(), Fault> {
    let statement = "UPDATE files SET intent = NULL, begun = NULL WHERE container = ?1";
    db.prepare_cached(statement)?.execute([container])?;
    Ok(())
}

/// After a reboot: whatever ran has stopped, and nobody has undone what belonged to its run. A removal that was begun goes on.
pub(crate) fn intend_to_stop_all(db: &Connection) -> Result<(), rusqlite::Error> {
    db.execute(
        "UPDATE files SET intent = ?1, begun = unixepoch() WHERE intent IS NOT ?2
            AND container IN (SELECT nr FROM container WHERE state <> ?3)",
        (Intent::Stop.number(), Intent::Remove.number(), columns::state(ContainerState::Stopped)),
    )?;
    Ok(())
}

/// Forgets that a container had files. What the other tables say of them must be gone.
pub(crate) fn forget(db: &Connection, container: ContainerNr) -> Result<(), Fault> {
    for table in ["volume", "prepared", "mark", "upper", "clone", "files"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE container = ?1"))?.execute([container])?;
    }
    Ok(())
}

/// The containers that have files: those with an intent, or all.
pub(crate) fn containers(
    db: &Connection,
    only_with_intent: bool,
) -> Result<Vec<(ContainerId, Files)>, Fault> {
    let condition = if only_with_intent { "WHERE intent IS NOT NULL" } else { "" };
    let mut statement = db.prepare(&format!(
        "SELECT id, dir, intent FROM files JOIN container ON container.nr = files.container {condition} ORDER BY id"
    ))?;
    let found = statement.query_map([], |row| {
        Ok((columns::parsed(row, 0)?, Files { dir: row.get(1)?, intent: Intent::of(row, 2)? }))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
