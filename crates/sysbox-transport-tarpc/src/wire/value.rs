//! What fields hold: ids, paths, mappings and numbers. `field` is always the field's name in the wire type.

use std::{
    ffi::OsString,
    num::NonZeroU32,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use sysbox_core::{
    AbsPath, ContainerId, FsEntryKind, IdMapping, IdMappings, IdOffset, IdRange, MountKind, ShiftType,
};

use super::{ConvertError, Rule};

pub(super) type Converted<T> = Result<T, ConvertError>;

/// The id of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id(pub(super) String);

/// The bytes of a path, which need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path(#[serde(with = "serde_bytes")] pub(super) Vec<u8>);

/// One extent of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    pub(super) container: u32,
    pub(super) host: u32,
    pub(super) size: u32,
}

/// A range of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) count: u32,
}

impl std::fmt::Debug for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::ffi::OsStr::from_bytes(&self.0).fmt(f)
    }
}

impl From<ContainerId> for Id {
    fn from(id: ContainerId) -> Self {
        Self(id.to_string())
    }
}

impl TryFrom<Id> for ContainerId {
    type Error = ConvertError;

    fn try_from(wire: Id) -> Converted<Self> {
        id("id", wire)
    }
}

impl From<AbsPath> for Path {
    fn from(path: AbsPath) -> Self {
        Self(PathBuf::from(path).into_os_string().into_vec())
    }
}

impl TryFrom<Path> for AbsPath {
    type Error = ConvertError;

    fn try_from(wire: Path) -> Converted<Self> {
        path("path", wire)
    }
}

impl From<IdRange> for Range {
    fn from(range: IdRange) -> Self {
        Self { first: range.first(), count: range.count() }
    }
}

/// The elements of a list as wire types.
pub(super) fn list<T, U: From<T>>(list: Vec<T>) -> Vec<U> {
    list.into_iter().map(U::from).collect()
}

/// The elements of a list, each converted by `convert`.
pub(super) fn each<T, U>(
    field: &str,
    list: Vec<T>,
    convert: impl Fn(T) -> Converted<U>,
) -> Converted<Vec<U>> {
    let one = |(nth, element)| {
        convert(element).map_err(|error: ConvertError| error.inside(format_args!("{field}[{nth}]")))
    };
    list.into_iter().enumerate().map(one).collect()
}

pub(super) fn id(field: &str, Id(text): Id) -> Converted<ContainerId> {
    ContainerId::try_from(text).map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn path(field: &str, Path(bytes): Path) -> Converted<AbsPath> {
    AbsPath::new(OsString::from_vec(bytes)).map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn optional_path(field: &str, wire: Option<Path>) -> Converted<Option<AbsPath>> {
    wire.map(|wire| path(field, wire)).transpose()
}

pub(super) fn paths(field: &str, list: Vec<Path>) -> Converted<Vec<AbsPath>> {
    let one = |(nth, wire)| path("", wire).map_err(|error| ConvertError::new(nth_of(field, nth), error.rule));
    list.into_iter().enumerate().map(one).collect()
}

pub(super) fn extents(mappings: &IdMappings) -> Vec<Extent> {
    let wire = |extent: &IdMapping| Extent {
        container: extent.container().first(),
        host: extent.host().first(),
        size: extent.size(),
    };
    mappings.as_slice().iter().map(wire).collect()
}

pub(super) fn mappings(field: &str, extents: Vec<Extent>) -> Converted<IdMappings> {
    let one = |(nth, extent)| {
        let Extent { container, host, size } = extent;
        IdMapping::new(container, host, size).map_err(|rule| ConvertError::new(nth_of(field, nth), rule))
    };
    let extents = extents.into_iter().enumerate().map(one).collect::<Converted<Vec<_>>>()?;
    IdMappings::new(extents).map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn range(field: &str, wire: Option<Range>) -> Converted<Option<IdRange>> {
    let read = |Range { first, count }| IdRange::new(first, count);
    wire.map(read).transpose().map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn pid(field: &str, pid: Option<i32>) -> Converted<Option<i32>> {
    match pid {
        Some(pid) if pid < 1 => Err(ConvertError::new(field, Rule::NoPid { pid })),
        pid => Ok(pid),
    }
}

pub(super) fn offset(field: &str, offset: i64) -> Converted<IdOffset> {
    IdOffset::new(offset).map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn subid_size(field: &str, size: u32) -> Converted<NonZeroU32> {
    NonZeroU32::new(size).ok_or_else(|| ConvertError::new(field, Rule::SubidSize { size: size.into() }))
}

pub(super) fn shift_type(field: &str, number: u32) -> Converted<ShiftType> {
    ShiftType::try_from(number).map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn mount_kind(field: &str, number: u32) -> Converted<MountKind> {
    MountKind::try_from(number).map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn fs_entry_kind(field: &str, number: u32) -> Converted<FsEntryKind> {
    FsEntryKind::try_from(number).map_err(|rule| ConvertError::new(field, rule))
}

fn nth_of(field: &str, nth: usize) -> String {
    format!("{field}[{nth}]")
}
