//! A name in a directory of both trees, to be told in errors.

use std::{ffi::CStr, path::PathBuf};

use rustix::io::Errno;

use super::{MirrorError, call::Call};
use crate::{remove::path_below, walk::Fault};

/// A name in a directory of both trees.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) call: &'a Call<'a>,
    /// The directory's path below the roots, `.` for the roots.
    pub(super) directory: &'a [u8],
    /// The name there, `.` for the directory itself.
    pub(super) name: &'a CStr,
}

impl Place<'_> {
    /// The path in the source.
    pub(super) fn in_source(self) -> PathBuf {
        self.below(&self.call.source_path)
    }

    /// The path in the target.
    pub(super) fn in_target(self) -> PathBuf {
        self.below(&self.call.target_path)
    }

    /// The error of a system call on what is here in the source; for `map_err`.
    pub(super) fn source(self, operation: &'static str) -> impl FnOnce(Errno) -> MirrorError {
        move |errno| MirrorError::system(operation, self.in_source(), errno)
    }

    /// The error of a system call on what is here in the target; for `map_err`.
    pub(super) fn target(self, operation: &'static str) -> impl FnOnce(Errno) -> MirrorError {
        move |errno| MirrorError::system(operation, self.in_target(), errno)
    }

    /// The error of a removal from this directory of the target; for `map_err`.
    pub(super) fn removal(self) -> impl FnOnce(Fault) -> MirrorError {
        let directory = Self { name: c".", ..self };
        move |fault| {
            let path = path_below(&directory.in_target(), &fault.path);
            MirrorError::system(fault.operation, path, fault.errno)
        }
    }

    fn below(self, root: &std::path::Path) -> PathBuf {
        [self.directory, self.name.to_bytes()]
            .into_iter()
            .filter(|part| *part != b".")
            .fold(root.to_owned(), |path, part| path_below(&path, part))
    }
}
