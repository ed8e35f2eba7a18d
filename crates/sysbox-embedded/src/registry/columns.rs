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
use sysbox_core::{AbsPath, IdMapping, IdMappings, IdRange, ShiftType};

use crate::record::ContainerState;

const STATES: [ContainerState; 3] =
    [ContainerState::Running, ContainerState::Paused, ContainerState::Stopped];

pub(super) const fn state(state: ContainerState) -> i64 {
    match state {
        ContainerState::Running => 0,
        ContainerState::Paused => 1,
        ContainerState::Stopped => 2,
    }
}

pub(super) fn state_of(row: &Row<'_>, at: usize) -> Result<ContainerState, rusqlite::Error> {
    let number: i64 = row.get(at)?;
    let found = STATES.into_iter().find(|known| state(*known) == number);
    found.ok_or_else(|| unreadable(at, format!("container state {number} is unknown")))
}

pub(super) fn shift_of(row: &Row<'_>, at: usize) -> Result<ShiftType, rusqlite::Error> {
    ShiftType::try_from(row.get::<_, u32>(at)?).map_err(|error| unreadable(at, error))
}

/// Seconds since 1970; a clock that stands before that counts as at it.
pub(super) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

pub(super) fn time_of(row: &Row<'_>, at: usize) -> Result<SystemTime, rusqlite::Error> {
    let seconds = u64::try_from(row.get::<_, i64>(at)?).map_err(|error| unreadable(at, error))?;
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .ok_or_else(|| unreadable(at, format!("time {seconds} is out of range")))
}

pub(super) fn path(path: &AbsPath) -> &[u8] {
    path.as_path().as_os_str().as_bytes()
}

pub(super) fn path_of(row: &Row<'_>, at: usize) -> Result<AbsPath, rusqlite::Error> {
    let bytes = row.get_ref(at)?.as_blob()?;
    AbsPath::new(PathBuf::from(OsStr::from_bytes(bytes))).map_err(|error| unreadable(at, error))
}

/// `CONTAINER:HOST:SIZE`, several with commas between them.
pub(super) fn mappings(mappings: &IdMappings) -> String {
    let extent = |extent: &IdMapping| {
        format!("{}:{}:{}", extent.container().first(), extent.host().first(), extent.size())
    };
    mappings.as_slice().iter().map(extent).collect::<Vec<_>>().join(",")
}

pub(super) fn mappings_of(row: &Row<'_>, at: usize) -> Result<IdMappings, rusqlite::Error> {
    let text = row.get_ref(at)?.as_str()?;
    let extents = text.split(',').filter(|extent| !extent.is_empty()).map(extent);
    let extents: Vec<IdMapping> = extents.collect::<Result<_, _>>().map_err(|error| unreadable(at, error))?;
    IdMappings::new(extents).map_err(|error| unreadable(at, error))
}

pub(super) fn parsed<T>(row: &Row<'_>, at: usize) -> Result<T, rusqlite::Error>
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
