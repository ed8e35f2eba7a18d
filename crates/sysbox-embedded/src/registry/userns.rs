//! The rows of user namespaces: whose ids they are, as long as any container is in them.

use rusqlite::{
    Connection, Row, ToSql,
    types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef},
};
use sysbox_core::{ContainerId, HostGid, HostUid, IdRange, Subids};

use super::columns;
use crate::{error::Fault, held, record::ContainerState};

/// The number of a row of `userns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsernsNr(i64);

/// The ids that a user namespace was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) size: u32,
    pub(crate) subids: Subids,
}

impl Given {
    pub(crate) fn uids(self) -> Option<IdRange> {
        IdRange::new(self.subids.uid.0, self.size).ok()
    }

    pub(crate) fn gids(self) -> Option<IdRange> {
        IdRange::new(self.subids.gid.0, self.size).ok()
    }
}

/// Makes one that holds no ids.
pub(crate) fn new_userns(db: &Connection) -> Result<UsernsNr, Fault> {
    db.prepare_cached("INSERT INTO userns DEFAULT VALUES")?.execute([])?;
    Ok(UsernsNr(db.last_insert_rowid()))
}

/// Removes one, and releases its ids, if no container is in it.
pub(crate) fn remove_if_unused(db: &Connection, userns: UsernsNr) -> Result<(), Fault> {
    let query = "SELECT EXISTS (SELECT 1 FROM container WHERE userns = ?1)";
    if !db.prepare_cached(query)?.query_row([userns], |row| row.get::<_, bool>(0))? {
        held::release(db, userns)?;
        db.prepare_cached("DELETE FROM userns WHERE nr = ?1")?.execute([userns])?;
    }
    Ok(())
}

/// Whether a container other than this one has not stopped in it.
pub(crate) fn is_in_use(db: &Connection, userns: UsernsNr, besides: &ContainerId) -> Result<bool, Fault> {
    let query = "SELECT EXISTS (SELECT 1 FROM container WHERE userns = ?1 AND id <> ?2 AND state <> ?3)";
    let stopped = columns::state(ContainerState::Stopped);
    Ok(db.prepare_cached(query)?.query_row((userns, besides.as_str(), stopped), |row| row.get(0))?)
}

/// The ids that it was given.
pub(crate) fn given(db: &Connection, userns: UsernsNr) -> Result<Option<Given>, Fault> {
    let query = "SELECT size, first_uid, first_gid FROM userns WHERE nr = ?1";
    Ok(db.prepare_cached(query)?.query_row([userns], |row| given_of(row, 0))?)
}

/// Writes down the ids that it is given.
pub(crate) fn set_given(db: &Connection, userns: UsernsNr, size: u32, subids: Subids) -> Result<(), Fault> {
    let statement = "UPDATE userns SET size = ?2, first_uid = ?3, first_gid = ?4 WHERE nr = ?1";
    db.prepare_cached(statement)?.execute((userns, size, subids.uid.0, subids.gid.0))?;
    Ok(())
}

/// Releases the ids that it was given, and all others.
pub(crate) fn forget_given(db: &Connection, userns: UsernsNr) -> Result<(), Fault> {
    held::release(db, userns)?;
    db.execute("UPDATE userns SET size = NULL, first_uid = NULL, first_gid = NULL WHERE nr = ?1", [userns])?;
    Ok(())
}

/// How many ranges are given, and to how many containers.
pub(crate) fn count_given(db: &Connection) -> Result<(u32, u32), Fault> {
    let query = "SELECT count(DISTINCT userns.nr), count(*) \
        FROM userns JOIN container ON container.userns = userns.nr WHERE size IS NOT NULL";
    Ok(db.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// What was given, from three columns of a row.
pub(super) fn given_of(row: &Row<'_>, at: usize) -> Result<Option<Given>, rusqlite::Error> {
    let Some(size) = row.get(at)? else { return Ok(None) };
    let subids = Subids { uid: HostUid(row.get(at + 1)?), gid: HostGid(row.get(at + 2)?) };
    Ok(Some(Given { size, subids }))
}

impl ToSql for UsernsNr {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        self.0.to_sql()
    }
}

impl FromSql for UsernsNr {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}
