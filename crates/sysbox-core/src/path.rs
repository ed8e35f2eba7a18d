//! A path that means the same from every working directory.

use std::{
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// An absolute path without a NUL byte, of at most 4095 bytes (`PATH_MAX` less its terminator).
///
/// It need not exist, and it is kept as given: neither `..` nor symbolic links are resolved.
///
/// ```
/// use sysbox_core::AbsPath;
///
/// assert!(AbsPath::new("/var/lib/docker").is_ok());
/// assert!(AbsPath::new("rootfs").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsPath(PathBuf);

impl AbsPath {
    /// The most bytes that a path can have.
    pub const MAX_LEN: usize = 4095;

    /// Checks a path.
    ///
    /// # Errors
    /// [`InvalidPath`] when it is relative (an empty one is), holds a NUL byte or is too long.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, InvalidPath> {
        let path = path.into();
        if !path.is_absolute() {
            return Err(InvalidPath::Relative { path });
        }
        let bytes = path.as_os_str().as_bytes();
        if bytes.contains(&0) {
            return Err(InvalidPath::Nul { path });
        }
        if bytes.len() > Self::MAX_LEN {
            return Err(InvalidPath::TooLong { len: bytes.len() });
        }
        Ok(Self(path))
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for AbsPath {
    type Err = InvalidPath;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        Self::new(path)
    }
}

impl TryFrom<PathBuf> for AbsPath {
    type Error = InvalidPath;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        Self::new(path)
    }
}

impl From<AbsPath> for PathBuf {
    fn from(path: AbsPath) -> Self {
        path.0
    }
}

impl AsRef<Path> for AbsPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Why a path is not an [`AbsPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPath {
    /// It does not start with `/`.
    #[error("path {path:?} is relative; give it from the root on")]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// It holds a NUL byte, which no system call takes.
    #[error("path {path:?} holds a NUL byte")]
    Nul {
        /// The path.
        path: PathBuf,
    },
    /// It has more than [`AbsPath::MAX_LEN`] bytes.
    #[error("path has {len} bytes; it takes at most {}", AbsPath::MAX_LEN)]
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_paths_without_nul_and_within_path_max_are_taken() {
        assert_eq!(AbsPath::new("/a/../b").expect("absolute").as_path(), Path::new("/a/../b"));
        assert!(matches!(AbsPath::new(""), Err(InvalidPath::Relative { .. })));
        assert!(matches!(AbsPath::new("a/b"), Err(InvalidPath::Relative { .. })));
        assert!(matches!(AbsPath::new("/a\0b"), Err(InvalidPath::Nul { .. })));
        assert!(AbsPath::new(format!("/{}", "x".repeat(4094))).is_ok());
        assert_eq!(AbsPath::new(format!("/{}", "x".repeat(4095))), Err(InvalidPath::TooLong { len: 4096 }));
    }
}
