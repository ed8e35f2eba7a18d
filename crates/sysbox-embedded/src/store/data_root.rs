//! The directory that the state is kept in: nobody else's, and its database is either not there or complete.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
    process::geteuid,
};
use sysbox_core::AbsPath;

use crate::error::{Fault, OpenError};

#[derive(Debug)]
pub(super) struct DataRoot(PathBuf);

impl DataRoot {
    /// The directory, made with mode 0700 if it is not there. One that is there keeps its mode: it could be `/tmp`.
    pub(super) fn make(path: &AbsPath) -> Result<Self, OpenError> {
        let path = path.as_path();
        let failed = |source| OpenError::DataRoot { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let found = fs::metadata(path).map_err(failed)?;
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(OpenError::DataRootOpen { path: path.to_owned(), mode });
        }
        if found.uid() != geteuid().as_raw() {
            return Err(OpenError::DataRootOfAnother { path: path.to_owned(), owner: found.uid() });
        }
        Ok(Self(path.to_owned()))
    }

    pub(super) fn database(&self) -> PathBuf {
        self.0.join("state.db")
    }

    /// SQLite's log, which is a part of the database.
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("state.db-wal")
    }

    /// SQLite's index of the log, made anew where it is missing.
    pub(super) fn log_index(&self) -> PathBuf {
        self.0.join("state.db-shm")
    }

    pub(super) fn has_database(&self) -> Result<bool, OpenError> {
        let file = self.database();
        file.try_exists().map_err(|source| OpenError::DataRoot { path: file, source })
    }

    /// Makes the database complete under another name first. Only with the exclusive lock.
    pub(super) fn make_database(
        &self,
        fill: impl FnOnce(&Path) -> Result<(), rusqlite::Error>,
    ) -> Result<(), Fault> {
        let unfinished = self.0.join("unfinished.db");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::DataRoot { path, source }
        };
        for rest in ["unfinished.db", "unfinished.db-wal", "unfinished.db-shm", "unfinished.db-journal"] {
            remove_if_there(&self.0.join(rest)).map_err(failed(&unfinished))?;
        }
        private().write(true).create_new(true).open(&unfinished).map_err(failed(&unfinished))?;
        fill(&unfinished)?;
        // A log without its database belongs to one that somebody took away: it must not be read into the new one.
        remove_if_there(&self.log_index()).map_err(failed(&self.log_index()))?;
        if self.log().try_exists().map_err(failed(&self.log()))? {
            let kept = keep_aside(&self.log(), "orphan").map_err(failed(&self.log()))?;
            tracing::warn!(kept = %kept.display(), "the database of a log was gone; the log is kept aside");
        }
        fs::rename(&unfinished, self.database()).map_err(failed(&self.database()))?;
        Ok(())
    }

    pub(super) fn lock_shared(&self) -> Result<File, OpenError> {
        self.lock(File::lock_shared)
    }

    pub(super) fn lock_exclusive(&self) -> Result<File, OpenError> {
        self.lock(File::lock)
    }

    fn lock(&self, lock: impl FnOnce(&File) -> io::Result<()>) -> Result<File, OpenError> {
        let locked = self.lock_file().and_then(|file| lock(&file).map(|()| file));
        locked.map_err(|source| OpenError::DataRoot { path: self.0.join("lock"), source })
    }

    fn lock_file(&self) -> io::Result<File> {
        private().write(true).create(true).truncate(false).open(self.0.join("lock"))
    }
}

/// Gives a file the name `FILE.WHY-N`, N being the least that is free, and tells it. Nothing is overwritten.
pub(super) fn keep_aside(file: &Path, why: &str) -> io::Result<PathBuf> {
    for n in 1u32.. {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{why}-{n}"));
        match renameat_with(CWD, file, CWD, &name, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(name.into()),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

pub(super) fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}
