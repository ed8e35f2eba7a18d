//! What fields hold: ids, paths, mappings and numbers. `field` is always the field's name in the proto.

use std::num::NonZeroU32;

use sysbox_core::{
    AbsPath, ContainerId, FsEntryKind, IdMapping, IdMappings, IdOffset, IdRange, MountKind, ShiftType,
};

use super::{ConvertError, Rule};
use crate::generated::pb;

type Converted<T> = Result<T, ConvertError>;

/// The elements of a list, each converted by `convert`.
pub(super) fn each<T, U>(
    field: &str,
    list: impl IntoIterator<Item = T>,
    convert: impl Fn(T) -> Converted<U>,
) -> Converted<Vec<U>> {
    let one = |(nth, element)| {
        convert(element).map_err(|error: ConvertError| error.inside(format_args!("{field}[{nth}]")))
    };
    list.into_iter().enumerate().map(one).collect()
}

pub(super) fn id(field: &str, text: String) -> Converted<ContainerId> {
    ContainerId::try_from(text).map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn path(field: &str, text: String) -> Converted<AbsPath> {
    AbsPath::new(text).map_err(|rule| ConvertError::new(field, rule))
}

/// An empty text is no path.
pub(super) fn optional_path(field: &str, text: String) -> Converted<Option<AbsPath>> {
    if text.is_empty() { Ok(None) } else { path(field, text).map(Some) }
}

pub(super) fn paths(field: &str, list: Vec<String>) -> Converted<Vec<AbsPath>> {
    let one = |(nth, text)| AbsPath::new(text).map_err(|rule| ConvertError::new(nth_of(field, nth), rule));
    list.into_iter().enumerate().map(one).collect()
}

pub(super) fn path_text(field: &str, path: &AbsPath) -> Converted<String> {
    utf8(path).map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn optional_path_text(field: &str, path: Option<&AbsPath>) -> Converted<String> {
    path.map_or_else(|| Ok(String::new()), |path| path_text(field, path))
}

pub(super) fn path_texts(field: &str, paths: &[AbsPath]) -> Converted<Vec<String>> {
    let one = |(nth, path)| utf8(path).map_err(|rule| ConvertError::new(nth_of(field, nth), rule));
    paths.iter().enumerate().map(one).collect()
}

/// An empty text is none.
pub(super) fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A text that there is must not be empty.
pub(super) fn optional_text(field: &str, text: Option<&str>) -> Converted<String> {
    match text {
        Some("") => Err(ConvertError::new(field, Rule::Empty)),
        Some(text) => Ok(text.to_owned()),
        None => Ok(String::new()),
    }
}

pub(super) fn mappings(field: &str, extents: Vec<pb::IdMapping>) -> Converted<IdMappings> {
    let one = |(nth, extent)| {
        let pb::IdMapping { container_id, host_id, size } = extent;
        IdMapping::new(container_id, host_id, size)
            .map_err(|rule| ConvertError::new(nth_of(field, nth), rule))
    };
    let extents = extents.into_iter().enumerate().map(one).collect::<Converted<Vec<_>>>()?;
    IdMappings::new(extents).map_err(|rule| ConvertError::new(field, rule))
}

pub(super) fn mapping_messages(mappings: &IdMappings) -> Vec<pb::IdMapping> {
    let message = |extent: &IdMapping| pb::IdMapping {
        container_id: extent.container().first(),
        host_id: extent.host().first(),
        size: extent.size(),
    };
    mappings.as_slice().iter().map(message).collect()
}

/// The range that two signed fields hold. Size 0 is no range, wherever it begins.
pub(super) fn range(fields: [&str; 2], first: i32, size: i32) -> Converted<Option<IdRange>> {
    if size == 0 {
        return Ok(None);
    }
    let (first, size) = (unsigned(fields[0], first)?, unsigned(fields[1], size)?);
    IdRange::new(first, size).map(Some).map_err(|rule| ConvertError::new(fields[1], rule))
}

/// The first id and the size of a range, as far as signed fields can hold them.
pub(super) fn range_numbers(fields: [&str; 2], range: Option<IdRange>) -> Converted<(i32, i32)> {
    let Some(range) = range else { return Ok((0, 0)) };
    Ok((int32(fields[0], range.first().into())?, int32(fields[1], range.count().into())?))
}

/// 0 is no process.
pub(super) fn pid(field: &str, pid: i32) -> Converted<Option<i32>> {
    unsigned(field, pid).map(|_| (pid != 0).then_some(pid))
}

pub(super) fn pid_number(field: &str, pid: Option<i32>) -> Converted<i32> {
    match pid {
        Some(pid) if pid < 1 => Err(ConvertError::new(field, Rule::NoPid { pid })),
        pid => Ok(pid.unwrap_or(0)),
    }
}

pub(super) fn offset_number(field: &str, offset: IdOffset) -> Converted<i32> {
    int32(field, offset.get())
}

pub(super) fn subid_size(field: &str, size: u64) -> Converted<NonZeroU32> {
    let fits = u32::try_from(size).ok().and_then(NonZeroU32::new);
    fits.ok_or_else(|| ConvertError::new(field, Rule::SubidSize { size }))
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

fn utf8(path: &AbsPath) -> Result<String, Rule> {
    let text = path.as_path().to_str().map(str::to_owned);
    text.ok_or_else(|| Rule::NotUtf8 { path: path.as_path().to_owned() })
}

fn unsigned(field: &str, value: i32) -> Converted<u32> {
    u32::try_from(value).map_err(|_| ConvertError::new(field, Rule::Negative { value }))
}

fn int32(field: &str, value: i64) -> Converted<i32> {
    i32::try_from(value).map_err(|_| ConvertError::new(field, Rule::BeyondInt32 { value }))
}
