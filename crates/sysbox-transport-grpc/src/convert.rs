//! Messages to domain types and back.
//!
//! A message comes in as domain values or not at all, and a value goes out so that it comes in as the same or not at all: what the
//! wire cannot carry is refused before it is sent. Every struct is taken apart field by field, so that a new field breaks the
//! build instead of being dropped.

mod fs;
pub(crate) mod fuzz;
mod mgr;
mod time;
mod value;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf};

use sysbox_core::{
    InvalidContainerId, InvalidIdMappings, InvalidIdRange, InvalidPath, OffsetOutOfRange, UnknownFsEntryKind,
    UnknownMountKind, UnknownShiftType,
};

/// A field whose value one of the two sides does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} is not valid")]
pub struct ConvertError {
    /// The field by its name in the proto, such as `reqList[3].dest`.
    pub field: String,
    /// Why not.
    #[source]
    pub rule: Rule,
}

impl ConvertError {
    fn new(field: impl Into<String>, rule: impl Into<Rule>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }

    /// The same error, of a message that is the field `outer` of another.
    fn inside(self, outer: impl fmt::Display) -> Self {
        let Self { field, rule } = self;
        Self { field: format!("{outer}.{field}"), rule }
    }
}

/// The rule that a field's value breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    #[error(transparent)]
    Id(#[from] InvalidContainerId),
    #[error(transparent)]
    Path(#[from] InvalidPath),
    #[error(transparent)]
    Range(#[from] InvalidIdRange),
    #[error(transparent)]
    Mappings(#[from] InvalidIdMappings),
    #[error(transparent)]
    Offset(#[from] OffsetOutOfRange),
    #[error(transparent)]
    ShiftType(#[from] UnknownShiftType),
    #[error(transparent)]
    MountKind(#[from] UnknownMountKind),
    #[error(transparent)]
    FsEntryKind(#[from] UnknownFsEntryKind),
    #[error("path {path:?} is not UTF-8, and gRPC carries no other text; rename it")]
    NotUtf8 { path: PathBuf },
    #[error("it is there but empty, which the wire cannot tell from absent; leave it out")]
    Empty,
    #[error("it is absent, and has to be there")]
    Absent,
    #[error("{value} does not fit the wire's 32-bit field, which takes -2147483648 to 2147483647")]
    BeyondInt32 { value: i64 },
    #[error("{value} is negative; it takes 0 to 2147483647")]
    Negative { value: i32 },
    #[error("process id {pid} is none; give one from 1 on, or leave it out")]
    NoPid { pid: i32 },
    #[error("{size} ids cannot be given; ask for 1 to 4294967295")]
    SubidSize { size: u64 },
    #[error("{seconds} seconds since 1970 is not within the years 1 to 9999")]
    Year { seconds: i128 },
    #[error("{nanos} nanoseconds is not within 0 to 999999999")]
    Nanos { nanos: i32 },
    #[error("the first moment of the year 1 stands for no time on the wire; leave it out")]
    NoTime,
}
