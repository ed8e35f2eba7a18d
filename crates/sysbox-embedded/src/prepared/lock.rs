//! The lock on what containers share.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::retry_on_intr,
};

use crate::{error::Fault, files::below, ground::Ground};

/// As long as this lives, nobody else changes the owners or the marks of a source that containers may share.
///
/// It is taken by who has a container's turn, and never the other way round. The kernel drops it with the process.
#[derive(Debug)]
pub(crate) struct SourcesLock {
    _file: File,
}

impl SourcesLock {
    /// Waits for it.
    pub(crate) fn wait(ground: &Ground<'_>) -> Result<Self, Fault> {
        let path = below(ground.data_root, "sources.lock")?;
        let open = || -> io::Result<File> {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
            Ok(file)
        };
        let file = open().map_err(|source| Fault::files(format!("cannot lock {path}"), source))?;
        Ok(Self { _file: file })
    }
}
