//! What crosses the connection, as types of their own: the domain's types know nothing of any wire.
//!
//! A value goes out as a wire type and comes in as the same value, or is refused by field and rule: whatever reaches a port or a
//! runtime keeps the rules of the domain, whoever sent it. Every struct is taken apart field by field, so that a new field
//! breaks the build instead of being dropped.
//!
//! These types are the wire contract, whose bytes `wire/tests/golden.rs` holds. Names do not cross, only values in the order
//! in which fields and variants stand here. So a struct's fields never change; what a call needs beyond them is a new
//! variant at the end of its enum in [`service`](crate::service).

mod answers;
mod fs;
mod requests;
mod time;
mod value;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;

pub(crate) use answers::{ContainerConfig, FsEntries, MarksMade, Mounts, Subids};
pub(crate) use fs::ContainerData;
pub(crate) use requests::{
    Chown, FsStateRequest, MountRequests, MountsToPrepare, Registration, ShiftfsMarks, SubidRequest, Update,
};
pub(crate) use value::{Id, Path};

use std::fmt;

use sysbox_core::{
    InvalidContainerId, InvalidIdMappings, InvalidIdRange, InvalidPath, OffsetOutOfRange, UnknownFsEntryKind,
    UnknownMountKind, UnknownShiftType,
};

/// A field whose value the domain does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} is not valid")]
pub struct ConvertError {
    /// The field by its name in the wire type, such as `mounts[3].destination`.
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
    #[error("process id {pid} is none; give one from 1 on, or leave it out")]
    NoPid { pid: i32 },
    #[error("{size} ids cannot be given; ask for 1 to 4294967295")]
    SubidSize { size: u64 },
    #[error("{seconds} seconds from 1970 is further than a clock counts; give a time within 2^63 seconds")]
    Time { seconds: i128 },
}
