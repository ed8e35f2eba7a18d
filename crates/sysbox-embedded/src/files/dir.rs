//! The directories of containers, below `files` in the data root, and the lock on each.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
};

use rustix::fs::{FlockOperation, flock};
use sysbox_core::{AbsPath, ContainerId};

use crate::error::Fault;

/// Where the directories of containers are.
#[derive(Clone, Debug)]
pub(crate) struct ContainerDirs {
    data_root: AbsPath,
}

/// A container's directory, locked as long as this lives.
#[derive(Debug)]
pub(crate) struct ContainerDir {
    pub(crate) path: AbsPath,
    _lock: File,
}

impl ContainerDirs {
    pub(crate) const fn new(data_root: AbsPath) -> Self {
        Self { data_root }
    }

    /// The directory of all.
    pub(crate) fn all(&self) -> Result<AbsPath, Fault> {
        below(&self.data_root, "files")
    }

    /// Where what is to be removed is put first, so that half of it is never taken for the whole.
    pub(crate) fn trash(&self) -> Result<AbsPath, Fault> {
        below(&self.data_root, "trash")
    }

    /// The path of the directory of this name.
    pub(crate) fn path(&self, name: &str) -> Result<AbsPath, Fault> {
        below(&self.all()?, name)
    }

    /// Makes the directory of this name if it is not there, and waits until nobody else has it locked.
    pub(crate) fn lock(&self, name: &str) -> Result<ContainerDir, Fault> {
        loop {
            let path = self.path(name)?;
            make_dir(&path)?;
            if let Some(dir) = open(&path, FlockOperation::LockExclusive)? {
                return Ok(dir);
            }
        }
    }

    /// The same, but `None` where somebody else has it locked.
    pub(crate) fn try_lock(&self, name: &str) -> Result<Option<ContainerDir>, Fault> {
        let path = self.path(name)?;
        make_dir(&path)?;
        open(&path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Whether nobody has the directory of this name locked.
    pub(crate) fn is_free(&self, name: &str) -> Result<bool, Fault> {
        let path = self.path(name)?;
        let found = open(&path, FlockOperation::NonBlockingLockExclusive)?;
        Ok(found.is_some() || !path.as_path().exists())
    }

    /// The names of the directories that are there.
    pub(crate) fn names(&self) -> Result<Vec<String>, Fault> {
        let all = self.all()?;
        let failed = |source| Fault::files(format!("cannot read {all}"), source);
        let entries = match fs::read_dir(&all) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is no UTF-8 is none of ours.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    }
}

impl ContainerDir {
    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> Result<AbsPath, Fault> {
        below(&self.path, name)
    }

    /// Removes it if nothing is in it.
    pub(crate) fn remove_if_empty(self) {
        if let Err(error) = fs::remove_dir(self.path.as_path()) {
            tracing::debug!(path = %self.path, %error, "it is in use");
        }
    }

    /// Notes in it whose it is, for whoever finds it without the database.
    pub(crate) fn label(&self, id: &ContainerId) -> Result<(), Fault> {
        let (path, new) = (self.join("container")?, self.join("container.new")?);
        if path.as_path().exists() {
            return Ok(());
        }
        let written = fs::write(&new, format!("{id}\n")).and_then(|()| fs::rename(&new, &path));
        written.map_err(|source| Fault::files(format!("cannot have {path} written"), source))
    }
}

/// A path below another.
pub(crate) fn below(dir: &AbsPath, name: &str) -> Result<AbsPath, Fault> {
    AbsPath::new(dir.as_path().join(name))
        .map_err(|source| Fault::files(format!("has no {name} in {dir}"), source))
}

/// Makes a directory that only we can enter, and those above it.
pub(crate) fn make_dir(path: &AbsPath) -> Result<(), Fault> {
    loop {
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            // One that was there goes while it is looked at.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !path.as_path().exists() => {}
            made => return made.map_err(|source| Fault::files(format!("cannot have {path} made"), source)),
        }
    }
}

/// Locks a directory; `None` if it is locked, or was removed meanwhile.
fn open(path: &AbsPath, operation: FlockOperation) -> Result<Option<ContainerDir>, Fault> {
    let failed = |source: io::Error| Fault::files(format!("cannot lock {path}"), source);
    let lock = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    loop {
        match flock(&lock, operation) {
            Ok(()) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(failed(errno.into())),
        }
    }
    // Who had it before may have removed it, and another may have made one of its name.
    let locked = lock.metadata().map_err(failed)?;
    match fs::metadata(path) {
        Ok(now) if (now.dev(), now.ino()) == (locked.dev(), locked.ino()) => {
            Ok(Some(ContainerDir { path: path.clone(), _lock: lock }))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}
