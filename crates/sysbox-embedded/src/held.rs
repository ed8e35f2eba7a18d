//! The ids that user namespaces hold: the table `held`.
//!
//! Of one kind, two rows are the same range or apart, so the rows that reach into a range are those that begin in it and
//! the last before it. Ids that were given (not named by a spec) are held by one user namespace only.

#[cfg(test)]
mod tests;

use rusqlite::{Connection, OptionalExtension, Row, types::Type};
use sysbox_core::{ErrorKind, IdMappings, IdRange};

use crate::{error::Fault, idset::IdSet, registry::UsernsNr};

/// What the ids are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdKind {
    Uid = 0,
    Gid = 1,
}

impl IdKind {
    pub(crate) const BOTH: [Self; 2] = [Self::Uid, Self::Gid];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uid => "user",
            Self::Gid => "group",
        }
    }

    pub(crate) const fn column(self) -> i64 {
        self as i64
    }
}

/// The ranges of a kind that are held, each once for every holder.
pub(crate) fn all(db: &Connection, kind: IdKind) -> Result<Vec<IdRange>, Fault> {
    let mut statement = db.prepare("SELECT first, last FROM held WHERE kind = ?1 ORDER BY first")?;
    let ranges = statement.query_map([kind.column()], range_of)?;
    Ok(ranges.collect::<Result<_, _>>()?)
}

/// Gives `look` the held ranges of these kinds by their first id, beginning with the last of each kind that begins at or
/// before `from`. They are read as they are taken.
pub(crate) fn walk<T>(
    db: &Connection,
    kinds: &[IdKind],
    from: u32,
    look: impl FnOnce(&mut dyn Iterator<Item = Result<IdRange, rusqlite::Error>>) -> Result<T, rusqlite::Error>,
) -> Result<T, Fault> {
    // A compound SELECT with ORDER BY merges its parts, each of which the primary key has in order already.
    let part = |kind: &IdKind| {
        let kind = kind.column();
        format!(
            "SELECT first, last FROM held WHERE kind = {kind} AND first >= \
             coalesce((SELECT max(first) FROM held WHERE kind = {kind} AND first <= ?1), 0)"
        )
    };
    let parts = kinds.iter().map(part).collect::<Vec<_>>().join(" UNION ALL ");
    let mut statement = db.prepare_cached(&format!("{parts} ORDER BY first"))?;
    let mut ranges = statement.query_map([from], range_of)?;
    Ok(look(&mut ranges)?)
}

/// Holds a range for one user namespace. It must be free.
pub(crate) fn give(db: &Connection, kind: IdKind, range: IdRange, userns: UsernsNr) -> Result<(), Fault> {
    insert(db, kind, range, userns, true)
}

/// Releases all ids of a user namespace.
pub(crate) fn release(db: &Connection, userns: UsernsNr) -> Result<(), Fault> {
    db.prepare_cached("DELETE FROM held WHERE userns = ?1")?.execute([userns])?;
    Ok(())
}

/// Releases the ids of a user namespace that were not given but named.
pub(crate) fn release_named(db: &Connection, userns: UsernsNr) -> Result<(), Fault> {
    db.prepare_cached("DELETE FROM held WHERE userns = ?1 AND NOT given")?.execute([userns])?;
    Ok(())
}

/// Holds the host's ids of mappings that somebody else chose, so that they are given to nobody.
///
/// # Errors
/// `FailedPrecondition` when one was given to another user namespace.
pub(crate) fn hold_named(
    db: &Connection,
    kind: IdKind,
    mappings: &IdMappings,
    userns: UsernsNr,
) -> Result<(), Fault> {
    for extent in mappings.as_slice() {
        let rows = reaching_into(db, kind, extent.host())?;
        if let Some(other) = rows.iter().find(|row| row.given && row.userns != userns) {
            return Err(taken(db, kind, extent.host(), other.userns)?);
        }
        let own = rows.iter().filter(|row| row.userns == userns).map(|row| row.range).collect();
        for range in IdSet::from_iter([extent.host()]).minus(&own).ranges() {
            hold_shared(db, kind, range, userns)?;
        }
    }
    Ok(())
}

struct Held {
    range: IdRange,
    userns: UsernsNr,
    given: bool,
}

/// Holds a range of which others may hold parts, too: rows are cut so that any two are the same or apart.
fn hold_shared(db: &Connection, kind: IdKind, range: IdRange, userns: UsernsNr) -> Result<(), Fault> {
    cut(db, kind, range.first())?;
    if let Some(next) = range.last().checked_add(1) {
        cut(db, kind, next)?;
    }
    let mut parts: Vec<_> = reaching_into(db, kind, range)?.into_iter().map(|row| row.range).collect();
    parts.dedup();
    let shared = parts.iter().copied().collect();
    parts.extend(IdSet::from_iter([range]).minus(&shared).ranges());
    parts.into_iter().try_for_each(|part| insert(db, kind, part, userns, false))
}

/// Cuts the rows that reach over `id` in two, the second beginning with it.
fn cut(db: &Connection, kind: IdKind, id: u32) -> Result<(), Fault> {
    let before = "SELECT max(first) FROM held WHERE kind = ?1 AND first < ?2";
    let copy = format!(
        "INSERT INTO held SELECT kind, ?2, last, userns, given FROM held \
         WHERE kind = ?1 AND first = ({before}) AND last >= ?2"
    );
    let shorten =
        format!("UPDATE held SET last = ?2 - 1 WHERE kind = ?1 AND first = ({before}) AND last >= ?2");
    for statement in [copy, shorten] {
        db.prepare_cached(&statement)?.execute((kind.column(), id))?;
    }
    Ok(())
}

fn reaching_into(db: &Connection, kind: IdKind, range: IdRange) -> Result<Vec<Held>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT first, last, userns, given FROM held WHERE kind = ?1 AND last >= ?2 AND first <= ?3 AND first >= \
         coalesce((SELECT max(first) FROM held WHERE kind = ?1 AND first <= ?2), 0) ORDER BY first",
    )?;
    let rows = statement.query_map((kind.column(), range.first(), range.last()), |row| {
        Ok(Held { range: range_of(row)?, userns: row.get(2)?, given: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn insert(db: &Connection, kind: IdKind, range: IdRange, userns: UsernsNr, given: bool) -> Result<(), Fault> {
    let statement = "INSERT INTO held (kind, first, last, userns, given) VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(statement)?.execute((kind.column(), range.first(), range.last(), userns, given))?;
    Ok(())
}

fn taken(db: &Connection, kind: IdKind, range: IdRange, holder: UsernsNr) -> Result<Fault, Fault> {
    let query = "SELECT id FROM container WHERE userns = ?1 ORDER BY nr LIMIT 1";
    let other: Option<String> = db.query_row(query, [holder], |row| row.get(0)).optional()?;
    let (kind, other) = (kind.name(), other.unwrap_or_default());
    Ok(Fault::refused(
        ErrorKind::FailedPrecondition,
        format!(
            "names {kind} ids {range} of the host, of which some belong to container {other}; \
             map other ids, or none to be given free ones"
        ),
    ))
}

/// The range in the first two columns of a row.
pub(crate) fn range_of(row: &Row<'_>) -> Result<IdRange, rusqlite::Error> {
    let (first, last): (u32, u32) = (row.get(0)?, row.get(1)?);
    let count = last.checked_sub(first).and_then(|distance| distance.checked_add(1)).unwrap_or(0);
    IdRange::new(first, count)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, error.into()))
}
