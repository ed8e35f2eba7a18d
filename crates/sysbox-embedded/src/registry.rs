//! The rows of containers. Statements only; what is allowed when is decided by those who call.

pub(crate) mod columns;
mod userns;

use std::time::SystemTime;

use rusqlite::{
    Connection, OptionalExtension, Row, ToSql, named_params,
    types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef},
};
use sysbox_core::{AbsPath, ContainerConfig, ContainerId, IdMappings, ShiftType, host::NamespaceId};

use crate::{
    disk::Disk,
    error::Fault,
    namespaces::{Namespace, Namespaces},
    record::{ContainerRecord, ContainerState},
};

pub(crate) use userns::{
    Given, UsernsNr, count_given, forget_given, given, is_in_use, new_userns, remove_if_unused, set_given,
};

/// The number of a row of `container`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContainerNr(i64);

impl ToSql for ContainerNr {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        self.0.to_sql()
    }
}

impl FromSql for ContainerNr {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

/// A registered container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    pub(crate) userns: UsernsNr,
    pub(crate) state: ContainerState,
    pub(crate) starts: u32,
    pub(crate) registered: SystemTime,
    pub(crate) rootfs: AbsPath,
    pub(crate) namespaces: Namespaces,
    pub(crate) mappings: Mappings,
    pub(crate) rootfs_shift: ShiftType,
}

impl Container {
    /// Stops being in its namespaces: they go with its processes.
    pub(crate) fn stop(&mut self) {
        self.state = ContainerState::Stopped;
        self.namespaces = Namespaces::default();
    }
}

/// The id mappings of both kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mappings {
    pub(crate) uids: IdMappings,
    pub(crate) gids: IdMappings,
}

impl Mappings {
    /// Each kind as it is here, or as in `other` where it is empty here.
    #[must_use]
    pub(crate) fn or(self, other: &Self) -> Self {
        let first = |own: IdMappings, other: &IdMappings| if own.is_empty() { other.clone() } else { own };
        Self { uids: first(self.uids, &other.uids), gids: first(self.gids, &other.gids) }
    }

    /// A configuration that mandates them.
    pub(crate) fn mandate(&self, config: ContainerConfig) -> ContainerConfig {
        ContainerConfig { uid_mappings: self.uids.clone(), gid_mappings: self.gids.clone(), ..config }
    }
}

const COLUMNS: &str = "id, userns, state, starts, registered, rootfs, userns_path, userns_dev, userns_ino, \
    netns_path, netns_dev, netns_ino, uid_mappings, gid_mappings, rootfs_shift";

const SAVE: &str = "
    INSERT INTO container (id, userns, state, starts, registered, rootfs, userns_path, userns_dev, userns_ino,
        netns_path, netns_dev, netns_ino, uid_mappings, gid_mappings, rootfs_shift)
    VALUES (:id, :userns, :state, :starts, :registered, :rootfs, :userns_path, :userns_dev, :userns_ino,
        :netns_path, :netns_dev, :netns_ino, :uid_mappings, :gid_mappings, :rootfs_shift)
    ON CONFLICT (id) DO UPDATE SET userns = :userns, state = :state, starts = :starts, registered = :registered,
        rootfs = :rootfs, userns_path = :userns_path, userns_dev = :userns_dev, userns_ino = :userns_ino,
        netns_path = :netns_path, netns_dev = :netns_dev, netns_ino = :netns_ino,
        uid_mappings = :uid_mappings, gid_mappings = :gid_mappings, rootfs_shift = :rootfs_shift";

/// The container of that id.
pub(crate) fn find(db: &Connection, id: &ContainerId) -> Result<Option<Container>, Fault> {
    let query = format!("SELECT {COLUMNS} FROM container WHERE id = ?1");
    Ok(db.prepare_cached(&query)?.query_row([id.as_str()], container).optional()?)
}

/// The number of a container's row.
pub(crate) fn number(db: &Connection, id: &ContainerId) -> Result<Option<ContainerNr>, Fault> {
    let query = "SELECT nr FROM container WHERE id = ?1";
    Ok(db.prepare_cached(query)?.query_row([id.as_str()], |row| row.get(0)).optional()?)
}

/// The containers on record as running in a user namespace, in the order in which they were registered.
pub(crate) fn in_userns(db: &Connection, namespace: NamespaceId) -> Result<Vec<Container>, Fault> {
    all_in(db, "userns", namespace)
}

/// The containers on record as running in a network namespace, in the order in which they were registered.
pub(crate) fn in_netns(db: &Connection, namespace: NamespaceId) -> Result<Vec<Container>, Fault> {
    all_in(db, "netns", namespace)
}

/// Writes a container down, in the place of the one with its id if there is one.
pub(crate) fn save(db: &Connection, container: &Container) -> Result<(), Fault> {
    let Container { id, userns, state, starts, registered, rootfs, namespaces, mappings, rootfs_shift } =
        container;
    let path =
        |namespace: &Option<Namespace>| namespace.as_ref().map(|own| columns::path(&own.path).to_owned());
    let identity = |namespace: &Option<Namespace>| namespace.as_ref().and_then(|own| own.identity);
    let (user, net) = (identity(&namespaces.user), identity(&namespaces.net));
    db.prepare_cached(SAVE)?.execute(named_params! {
        ":id": id.as_str(),
        ":userns": userns,
        ":state": columns::state(*state),
        ":starts": starts,
        ":registered": columns::seconds(*registered),
        ":rootfs": columns::path(rootfs),
        ":userns_path": path(&namespaces.user),
        ":userns_dev": user.map(|own| own.dev.cast_signed()),
        ":userns_ino": user.map(|own| own.ino.cast_signed()),
        ":netns_path": path(&namespaces.net),
        ":netns_dev": net.map(|own| own.dev.cast_signed()),
        ":netns_ino": net.map(|own| own.ino.cast_signed()),
        ":uid_mappings": columns::mappings(&mappings.uids),
        ":gid_mappings": columns::mappings(&mappings.gids),
        ":rootfs_shift": rootfs_shift.number(),
    })?;
    Ok(())
}

/// Forgets a container.
pub(crate) fn delete(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    db.prepare_cached("DELETE FROM container WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// Every container, by id, without its files.
pub(crate) fn list(db: &Connection) -> Result<Vec<ContainerRecord>, Fault> {
    let query = format!(
        "SELECT {COLUMNS}, size, first_uid, first_gid, rootfs_disk \
         FROM container JOIN userns ON userns.nr = container.userns ORDER BY id"
    );
    let mut statement = db.prepare(&query)?;
    let records = statement.query_map([], listed)?;
    Ok(records.collect::<Result<_, _>>()?)
}

/// The container of that id, without its files.
pub(crate) fn record_of(db: &Connection, id: &ContainerId) -> Result<Option<ContainerRecord>, Fault> {
    let Some(container) = find(db, id)? else { return Ok(None) };
    let given = given(db, container.userns)?;
    Ok(Some(record(container, given)))
}

/// So many stopped containers at most, in turn: where to begin is drawn by lot, and after the last comes the first.
pub(crate) fn some_stopped(db: &Connection, most: usize) -> Result<Vec<ContainerRecord>, Fault> {
    let lot = "SELECT abs(random()) % (1 + coalesce(max(nr), 0)) FROM container";
    let from: i64 = db.prepare_cached(lot)?.query_row([], |row| row.get(0))?;
    let query = format!(
        "SELECT {COLUMNS}, size, first_uid, first_gid, rootfs_disk \
         FROM container JOIN userns ON userns.nr = container.userns \
         WHERE state = 2 AND container.nr BETWEEN ?1 AND ?2 ORDER BY container.nr LIMIT ?3"
    );
    let mut found = Vec::new();
    for (first, last) in [(from, i64::MAX), (0, from - 1)] {
        let mut statement = db.prepare_cached(&query)?;
        let left = i64::try_from(most - found.len()).unwrap_or(i64::MAX);
        let records = statement.query_map((first, last, left), listed)?;
        found.extend(records.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

fn listed(row: &Row<'_>) -> Result<ContainerRecord, rusqlite::Error> {
    let disk = row.get::<_, Option<i64>>(18)?.map(Disk::of_number);
    Ok(ContainerRecord { disk, ..record(container(row)?, userns::given_of(row, 15)?) })
}

/// What holds the rootfs of a container, as far as is known.
pub(crate) fn disk(db: &Connection, id: &ContainerId) -> Result<Option<Disk>, Fault> {
    let query = "SELECT rootfs_disk FROM container WHERE id = ?1";
    let number = db.prepare_cached(query)?.query_row([id.as_str()], |row| row.get(0)).optional()?;
    Ok(number.flatten().map(Disk::of_number))
}

/// Writes down what holds the rootfs of a container.
pub(crate) fn note_disk(db: &Connection, id: &ContainerId, disk: Option<Disk>) -> Result<(), Fault> {
    let statement = "UPDATE container SET rootfs_disk = ?2 WHERE id = ?1";
    db.prepare_cached(statement)?.execute((id.as_str(), disk.map(Disk::number)))?;
    Ok(())
}

/// Takes every container for stopped.
pub(crate) fn stop_all(db: &Connection) -> Result<(), rusqlite::Error> {
    db.execute(
        "UPDATE container SET state = ?1, userns_path = NULL, userns_dev = NULL, userns_ino = NULL,
            netns_path = NULL, netns_dev = NULL, netns_ino = NULL",
        [columns::state(ContainerState::Stopped)],
    )?;
    Ok(())
}

/// Forgets the mappings of all containers of a user namespace.
pub(crate) fn forget_mappings(db: &Connection, userns: UsernsNr) -> Result<(), Fault> {
    db.execute("UPDATE container SET uid_mappings = '', gid_mappings = '' WHERE userns = ?1", [userns])?;
    Ok(())
}

fn all_in(db: &Connection, which: &str, namespace: NamespaceId) -> Result<Vec<Container>, Fault> {
    let query =
        format!("SELECT {COLUMNS} FROM container WHERE {which}_ino = ?1 AND {which}_dev = ?2 ORDER BY nr");
    let key = (namespace.ino.cast_signed(), namespace.dev.cast_signed());
    let mut statement = db.prepare_cached(&query)?;
    let containers = statement.query_map(key, container)?;
    Ok(containers.collect::<Result<_, _>>()?)
}

fn container(row: &Row<'_>) -> Result<Container, rusqlite::Error> {
    Ok(Container {
        id: columns::parsed(row, 0)?,
        userns: row.get(1)?,
        state: columns::state_of(row, 2)?,
        starts: row.get(3)?,
        registered: columns::time_of(row, 4)?,
        rootfs: columns::path_of(row, 5)?,
        namespaces: Namespaces { user: namespace(row, 6)?, net: namespace(row, 9)? },
        mappings: Mappings { uids: columns::mappings_of(row, 12)?, gids: columns::mappings_of(row, 13)? },
        rootfs_shift: columns::shift_of(row, 14)?,
    })
}

fn namespace(row: &Row<'_>, at: usize) -> Result<Option<Namespace>, rusqlite::Error> {
    if row.get_ref(at)?.as_blob_or_null()?.is_none() {
        return Ok(None);
    }
    let identity = match (row.get::<_, Option<i64>>(at + 1)?, row.get::<_, Option<i64>>(at + 2)?) {
        (Some(dev), Some(ino)) => Some(NamespaceId { dev: dev.cast_unsigned(), ino: ino.cast_unsigned() }),
        _ => None,
    };
    Ok(Some(Namespace { path: columns::path_of(row, at)?, identity }))
}

fn record(container: Container, given: Option<Given>) -> ContainerRecord {
    let Container { id, state, starts, registered, rootfs, mappings, rootfs_shift, .. } = container;
    let of_root = |mappings: &IdMappings| {
        mappings.as_slice().iter().find(|extent| extent.container().first() == 0).map(|extent| extent.host())
    };
    ContainerRecord {
        uids: of_root(&mappings.uids).or_else(|| given?.uids()),
        gids: of_root(&mappings.gids).or_else(|| given?.gids()),
        id,
        state,
        starts,
        rootfs,
        rootfs_shift,
        registered,
        volumes: Vec::new(),
        prepared: Vec::new(),
        cloned: false,
        unfinished: None,
        disk: None,
    }
}
