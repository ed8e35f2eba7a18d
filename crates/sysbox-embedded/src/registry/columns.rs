//! Domain types as columns and back. What cannot be read back is an error of the row, never a default.

use std::{
    error::Error,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Row, types::Type};
use sysbox_core::{AbsPath, IdMapping, IdMappings, IdRange, ShiftType, tree::TreeIds};

use crate::record::ContainerState;

const STATES: [ContainerState; 3] =
    [ContainerState::Running, ContainerState::Paused, ContainerState::Stopped];

pub(crate) const fn state(state: ContainerState) -> i64 {
    match state {
        ContainerState::Running => 0,
        ContainerState::Paused => 1,
        ContainerState::Stopped => 2,
    }
}

pub(crate) fn state_of(row: &Row<'_>, at: usize) -> Result<ContainerState, rusqlite::Error> {
    let number: i64 = row.get(at)?;
    let found = STATES.into_iter().find(|known| state(*known) == number);
    found.ok_or_else(|| unreadable(at, format!("container state {number} is unknown")))
}

pub(crate) fn shift_of(row: &Row<'_>, at: usize) -> Result<ShiftType, rusqlite::Error> {
    ShiftType::try_from(row.get::<_, u32>(at)?).map_err(|error| unreadable(at, error))
}

/// Seconds since 1970; a clock that stands before that counts as at it.
pub(crate) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

pub(crate) fn time_of(row: &Row<'_>, at: usize) -> Result<SystemTime, rusqlite::Error> {
    let seconds = u64::try_from(row.get::<_, i64>(at)?).map_err(|error| unreadable(at, error))?;
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .ok_or_else(|| unreadable(at, format!("time {seconds} is out of range")))
}

pub(crate) fn path(path: &AbsPath) -> &[u8] {
    path.as_path().as_os_str().as_bytes()
}

pub(crate) fn path_of(row: &Row<'_>, at: usize) -> Result<AbsPath, rusqlite::Error> {
    let bytes = row.get_ref(at)?.as_blob()?;
    AbsPath::new(PathBuf::from(OsStr::from_bytes(bytes))).map_err(|error| unreadable(at, error))
}

/// `CONTAINER:HOST:SIZE`, several with commas between them.
pub(crate) fn mappings(mappings: &IdMappings) -> String {
    let extent = |extent: &IdMapping| {
        format!("{}:{}:{}", extent.container().first(), extent.host().first(), extent.size())
    };
    mappings.as_slice().iter().map(extent).collect::<Vec<_>>().join(",")
}

pub(crate) fn mappings_of(row: &Row<'_>, at: usize) -> Result<IdMappings, rusqlite::Error> {
    let text = row.get_ref(at)?.as_str()?;
    let extents = text.split(',').filter(|extent| !extent.is_empty()).map(extent);
    let extents: Vec<IdMapping> = extents.collect::<Result<_, _>>().map_err(|error| unreadable(at, error))?;
    IdMappings::new(extents).map_err(|error| unreadable(at, error))
}

/// `UIDS GIDS`, each as `FIRST:COUNT`.
pub(crate) fn tree_ids(ids: TreeIds) -> String {
    let range = |range: IdRange| format!("{}:{}", range.first(), range.count());
    format!("{} {}", range(ids.uids), range(ids.gids))
}

/// The same read back; an empty text is none.
pub(crate) fn tree_ids_of(row: &Row<'_>, at: usize) -> Result<Option<TreeIds>, rusqlite::Error> {
    let text = row.get_ref(at)?.as_str_or_null()?.unwrap_or_default();
    let Some((uids, gids)) = text.split_once(' ') else { return Ok(None) };
    let range = |text: &str| text.parse::<IdRange>().map_err(|error| unreadable(at, error));
    Ok(Some(TreeIds { uids: range(uids)?, gids: range(gids)? }))
}

pub(crate) fn parsed<T>(row: &Row<'_>, at: usize) -> Result<T, rusqlite::Error>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    row.get_ref(at)?.as_str()?.parse().map_err(|error: T::Err| unreadable(at, error))
}

fn extent(text: &str) -> Result<IdMapping, Box<dyn Error + Send + Sync>> {
    let (container, host) = text.split_once(':').ok_or("an id mapping has three fields")?;
    let host: IdRange = host.parse()?;
    Ok(IdMapping::new(container.parse()?, host.first(), host.count())?)
}

fn unreadable(at: usize, error: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Text, error.into())
}
