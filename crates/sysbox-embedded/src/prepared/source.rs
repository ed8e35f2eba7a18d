//! What a path that a container is given leads to.

use std::{fs, io, os::unix::fs::MetadataExt};

use sysbox_core::{AbsPath, ErrorKind, HostError};

use crate::{disk::Disk, error::Fault};

/// A directory or file by its path without symbolic links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: AbsPath,
    pub(crate) inode: Inode,
    pub(crate) is_directory: bool,
    /// What holds it.
    pub(crate) disk: Option<Disk>,
}

/// Which directory or file it is, whatever path leads there. The device may have another number after a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl Source {
    /// What a request names.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not there.
    pub(crate) fn named(path: &AbsPath) -> Result<Self, Fault> {
        Self::find(path).map_err(|source| Fault::Host {
            kind: ErrorKind::InvalidArgument,
            message: format!("is given {path}, which cannot be used; give a source that is there"),
            source: HostError::new("look at", path.to_string(), source),
        })
    }

    /// What has a path now that was given earlier; `None` where nothing can be reached by it any more.
    pub(crate) fn now(path: &AbsPath) -> Result<Option<Self>, Fault> {
        match Self::find(path) {
            Ok(source) => Ok(Some(source)),
            Err(error) if is_gone(&error) => {
                tracing::debug!(%path, %error, "a source is gone");
                Ok(None)
            }
            Err(source) => Err(Fault::files(format!("cannot give up {path}"), source)),
        }
    }

    fn find(path: &AbsPath) -> io::Result<Self> {
        let path = AbsPath::new(path.as_path().canonicalize()?).map_err(io::Error::other)?;
        let found = fs::metadata(&path)?;
        let inode = Inode { dev: found.dev(), ino: found.ino() };
        let disk = Disk::that_holds(&path).ok();
        Ok(Self { path, inode, is_directory: found.is_dir(), disk })
    }
}

/// Whether nothing is there, or what was is out of reach for good: its daemon or server has gone.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotConnected, NotFound, StaleNetworkFileHandle};
    matches!(error.kind(), NotFound | NotADirectory | NotConnected | StaleNetworkFileHandle)
}
