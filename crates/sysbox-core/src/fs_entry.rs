//! File-system entries that a manager wants in a container's rootfs.

use crate::path::AbsPath;

/// What an [`FsEntry`] is, by the wire contract's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FsEntryKind {
    /// Nothing that can be made.
    Invalid = 0,
    /// A regular file.
    File = 1,
    /// A directory.
    Dir = 2,
    /// A symbolic link.
    Softlink = 3,
}

impl FsEntryKind {
    /// The kind's number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }
}

impl TryFrom<u32> for FsEntryKind {
    type Error = UnknownFsEntryKind;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::Invalid),
            1 => Ok(Self::File),
            2 => Ok(Self::Dir),
            3 => Ok(Self::Softlink),
            _ => Err(UnknownFsEntryKind { number }),
        }
    }
}

/// A number that names no [`FsEntryKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("file-system entry kind {number} is unknown; the kinds are 0 to 3")]
pub struct UnknownFsEntryKind {
    /// The number.
    pub number: u32,
}

/// An entry to be made in a rootfs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FsEntry {
    /// What to make.
    pub kind: FsEntryKind,
    /// Where, as seen inside.
    pub path: AbsPath,
    /// Its permission bits (`chmod(2)`), of no meaning for a symbolic link.
    pub mode: u32,
    /// Where a symbolic link points; `None` for anything else.
    pub target: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_entry_kinds_are_the_wire_contracts() {
        let kinds = [FsEntryKind::Invalid, FsEntryKind::File, FsEntryKind::Dir, FsEntryKind::Softlink];
        for (number, kind) in (0..).zip(kinds) {
            assert_eq!(kind.number(), number);
            assert_eq!(FsEntryKind::try_from(number), Ok(kind));
        }
        assert_eq!(FsEntryKind::try_from(4), Err(UnknownFsEntryKind { number: 4 }));
    }
}
