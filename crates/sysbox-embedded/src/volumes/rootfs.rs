//! A container's rootfs, as volumes are filled from it and copied back into it.

use std::{
    fs,
    io::{self, ErrorKind::NotADirectory, ErrorKind::NotFound},
    os::unix::fs::MetadataExt,
};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use sysbox_core::{AbsPath, ErrorKind::FailedPrecondition, Owner, tree::TreeRecord};
use sysbox_host::{
    chown,
    overlay::{self, Again},
};

use crate::{clone::chown_fault, error::Fault};

/// A rootfs that is there.
#[derive(Debug)]
pub(super) struct Rootfs {
    pub(super) path: AbsPath,
    /// What it says of a shift of its owners.
    pub(super) record: Option<TreeRecord>,
    /// Who owns it on disk.
    pub(super) owner: Owner,
    writable: Option<Again>,
}

impl Rootfs {
    /// The rootfs at this path, that volumes are to be filled from.
    ///
    /// # Errors
    /// `FailedPrecondition` when it is not there: what it has would be taken for nothing, and removed when nothing is copied back.
    pub(super) fn filling(path: &AbsPath) -> Result<Self, Fault> {
        Self::find(path)?.ok_or_else(|| {
            let message =
                format!("cannot be given volumes, for its rootfs {path} is not there; mount it first");
            Fault::refused(FailedPrecondition, message)
        })
    }

    /// The same, to be written to as long as this lives: an overlay cannot be any more where a runtime has mounted another one with its
    /// work directory.
    pub(super) fn for_writing(self) -> Self {
        let writable = Again::open(&self.path).unwrap_or_else(|error| {
            tracing::debug!(rootfs = %self.path, %error, reason = %error.source, "written to as it is mounted");
            None
        });
        Self { writable, ..self }
    }

    /// Its root directory: by this path it can be written to.
    pub(super) fn root(&self) -> &AbsPath {
        self.writable.as_ref().map_or(&self.path, Again::path)
    }

    /// The rootfs at this path; `None` if it is not there.
    ///
    /// An overlay is made to see what another one has written to its upper layer.
    pub(super) fn find(path: &AbsPath) -> Result<Option<Self>, Fault> {
        let failed = |source: io::Error| Fault::files(format!("has an unusable rootfs {path}"), source);
        let found = match fs::metadata(path) {
            Ok(found) if found.is_dir() => found,
            Ok(_) => return Ok(None),
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if is_bare_mount_point(path).map_err(failed)? {
            return Ok(None);
        }
        overlay::refresh(path)
            .map_err(|source| Fault::files(format!("cannot have its rootfs {path} read afresh"), source))?;
        let record = chown::record_if_any(path).map_err(|error| chown_fault(path, error))?;
        let record = record.filter(|record| record.from.is_root());
        Ok(Some(Self {
            path: path.clone(),
            record,
            owner: Owner::new(found.uid(), found.gid()),
            writable: None,
        }))
    }
}

/// Whether it is where an engine mounts a rootfs (Docker and Podman name it so), with nothing mounted there: what is
/// written there would be hidden by the next mount.
fn is_bare_mount_point(path: &AbsPath) -> io::Result<bool> {
    if !path.as_path().ends_with("merged") || !is_empty(path)? {
        return Ok(false);
    }
    Ok(!is_mounted(path))
}

/// Whether something is mounted exactly there.
pub(super) fn is_mounted(path: &AbsPath) -> bool {
    let found = statx(CWD, path.as_path(), AtFlags::empty(), StatxFlags::TYPE);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Whether nothing is in a directory.
pub(super) fn is_empty(path: &AbsPath) -> io::Result<bool> {
    Ok(fs::read_dir(path)?.next().transpose()?.is_none())
}
