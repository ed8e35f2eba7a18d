//! The rows of `volume`. One is written only when its directory is whole.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Row, types::Type};
use sysbox_core::{AbsPath, ContainerId, MountKind, ShiftType};

use super::identity::Identity;
use crate::{
    error::Fault,
    record::ContainerState,
    registry::{ContainerNr, columns},
};

/// A volume: what is kept in it, where, and for which run it was given last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) kind: MountKind,
    /// Where it is mounted, inside.
    pub(super) destination: AbsPath,
    /// The name of its directory.
    pub(super) name: String,
    /// A time at which it and the rootfs were the same; what changed in it since then is to be copied back.
    pub(super) synced: Option<SystemTime>,
    /// The start of the container that it was given for, counted as its record counts them.
    pub(super) start: u32,
    /// How the rootfs was shifted then.
    pub(super) shift: ShiftType,
    /// The rootfs that it was filled from, and is copied back into.
    pub(super) rootfs: AbsPath,
    /// Whether the rootfs was a mount of its own then.
    pub(super) mounted: bool,
    /// Which rootfs it was. Of one that is mounted it is not told: that may be mounted anew, with other numbers.
    pub(super) identity: Option<Identity>,
}

impl Volume {
    /// Whether it is the one for this wish.
    pub(super) fn is_for(&self, kind: MountKind, destination: &AbsPath) -> bool {
        self.kind == kind && self.destination == *destination
    }

    /// Whether it is certain that this rootfs is another one than its own.
    pub(super) fn is_of_other(&self, rootfs: Identity) -> bool {
        self.identity.is_some_and(|own| own.is_other(rootfs))
    }
}

/// The volumes of a container: one that is mounted in another comes after it.
pub(super) fn all(db: &Connection, container: ContainerNr) -> Result<Vec<Volume>, Fault> {
    let query = "SELECT kind, destination, name, synced_at, start, shift, rootfs, mounted, rootfs_inode, rootfs_born \
        FROM volume WHERE container = ?1 ORDER BY destination, kind";
    let mut statement = db.prepare_cached(query)?;
    let volumes = statement.query_map([container], volume)?;
    Ok(volumes.collect::<Result<_, _>>()?)
}

/// A container that has not stopped and has a volume for this place of this rootfs.
pub(super) fn other_user(
    db: &Connection,
    container: ContainerNr,
    rootfs: &AbsPath,
    destination: &AbsPath,
) -> Result<Option<ContainerId>, Fault> {
    let query = "SELECT id FROM volume JOIN container ON container.nr = volume.container \
        WHERE volume.rootfs = ?1 AND destination = ?2 AND container.nr <> ?3 AND state <> ?4 LIMIT 1";
    let stopped = columns::state(ContainerState::Stopped);
    let key = (columns::path(rootfs), columns::path(destination), container, stopped);
    Ok(db.prepare_cached(query)?.query_row(key, |row| columns::parsed(row, 0)).optional()?)
}

/// Writes one down, in the place of the one for the same wish.
pub(super) fn save(db: &Connection, container: ContainerNr, volume: &Volume) -> Result<(), Fault> {
    let Volume { kind, destination, name, synced, start, shift, rootfs, mounted, identity } = volume;
    let statement = "INSERT OR REPLACE INTO volume \
        (container, kind, destination, name, synced_at, start, shift, rootfs, mounted, rootfs_inode, rootfs_born) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    db.prepare_cached(statement)?.execute((
        container,
        kind.number(),
        columns::path(destination),
        name,
        synced.map(nanoseconds),
        start,
        shift.number(),
        columns::path(rootfs),
        mounted,
        identity.map(|own| own.inode.cast_signed()),
        identity.and_then(|own| own.born),
    ))?;
    Ok(())
}

/// Notes when one was the same as the rootfs; `None` if what it has could not be copied back.
pub(super) fn note_synced(
    db: &Connection,
    container: ContainerNr,
    name: &str,
    at: Option<SystemTime>,
) -> Result<(), Fault> {
    let statement = "UPDATE volume SET synced_at = ?3 WHERE container = ?1 AND name = ?2";
    db.prepare_cached(statement)?.execute((container, name, at.map(nanoseconds)))?;
    Ok(())
}

fn volume(row: &Row<'_>) -> Result<Volume, rusqlite::Error> {
    let kind = MountKind::try_from(row.get::<_, u32>(0)?);
    let unknown = |error| rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, Box::new(error));
    Ok(Volume {
        kind: kind.map_err(unknown)?,
        destination: columns::path_of(row, 1)?,
        name: row.get(2)?,
        synced: row.get::<_, Option<i64>>(3)?.map(time),
        start: row.get(4)?,
        shift: columns::shift_of(row, 5)?,
        rootfs: columns::path_of(row, 6)?,
        mounted: row.get(7)?,
        identity: identity(row, 8)?,
    })
}

fn identity(row: &Row<'_>, at: usize) -> Result<Option<Identity>, rusqlite::Error> {
    let born = row.get(at + 1)?;
    let inode = row.get::<_, Option<i64>>(at)?;
    Ok(inode.map(|inode| Identity { inode: inode.cast_unsigned(), born }))
}

/// Nanoseconds since 1970. A clock that stands before that, or after 2262, counts as at the nearest of the two.
pub(super) fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn time(nanoseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
}
