//! Telling by its metadata whether a file is still the one it was, and as it was.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

/// What changes when a file is changed or another one comes into its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: FileId,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Which file it is, whatever is in it. The number of one that is open is no other file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    dev: u64,
    ino: u64,
}

impl Stamp {
    /// The stamp of the file that has this name; `None` where there is none.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(Self {
                file: FileId { dev: found.dev(), ino: found.ino() },
                size: found.size(),
                modified: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) const fn file(self) -> FileId {
        self.file
    }

    pub(crate) const fn size(self) -> u64 {
        self.size
    }
}
