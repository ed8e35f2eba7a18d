//! What nobody is at work on and should not be as it is: intents left behind, containers whose rootfs is gone, what is in the
//! trash, directories that no container has.

use std::fs;

use sysbox_core::{AbsPath, ContainerId, Operation, PortError};
use sysbox_host::usage::usage;

use crate::{
    EmbeddedMgr, OpenError, clone,
    error::Fault,
    files::{self, Intent},
    gone,
    mgr::open_error,
    remove::{discard, empty_trash},
};

/// What was left half done, and what became of it.
#[derive(Debug)]
pub struct Mended {
    /// The container.
    pub container: ContainerId,
    /// What a process had begun with its files.
    pub intent: Intent,
    /// Why it could not be mended, if it could not.
    pub failure: Option<PortError>,
}

/// What is wrong with a data root, or was.
#[derive(Debug, Default)]
pub struct Repairs {
    /// What was left half done.
    pub mended: Vec<Mended>,
    /// Directories with the files of a container that is on no record, as after the loss of the database. They are kept: what
    /// is in them is nowhere else.
    pub strays: Vec<Stray>,
}

/// A directory with files of a container that is on no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Where it is.
    pub path: AbsPath,
    /// Whose it was.
    pub container: String,
    /// How many bytes it takes.
    pub bytes: u64,
}

/// What was released.
#[derive(Debug, Default)]
pub struct Freed {
    /// The containers, each with how many bytes its files took.
    pub containers: Vec<(ContainerId, u64)>,
    /// What could not be released, and why.
    pub failures: Vec<PortError>,
    /// Why what is in the trash cannot be removed, if it cannot. It takes room, and nothing else.
    pub trash: Option<OpenError>,
}

impl EmbeddedMgr {
    /// What was left half done, without changing it, and directories of containers on no record.
    ///
    /// # Errors
    /// [`OpenError`] when the database cannot be used.
    pub fn unrepaired(&self) -> Result<Repairs, OpenError> {
        let mended = self.list()?.into_iter().filter_map(|container| {
            let intent = container.unfinished?;
            Some(Mended { container: container.id, intent, failure: None })
        });
        Ok(Repairs { mended: mended.collect(), strays: self.strays().map_err(open_error)? })
    }

    /// Finishes or undoes what was left half done, except where a process is at work now. What cannot be mended stays as it
    /// is, and is told with the reason.
    ///
    /// # Errors
    /// [`OpenError`] when the database cannot be used.
    pub fn repair(&self) -> Result<Repairs, OpenError> {
        let left = self.store.read(|db| files::containers(db, true)).map_err(open_error)?;
        let mut repairs = Repairs::default();
        for (container, files) in left {
            let Some(intent) = files.intent else { continue };
            let failure = match self.ground().try_turn(&container) {
                // What is under work now was not left.
                Ok(None) => match self.store.read(|db| files::of(db, &container)).map_err(open_error)? {
                    Some(now) if now.intent == Some(intent) => continue,
                    _ => None,
                },
                Ok(Some(_)) => None,
                Err(fault) => Some(fault.into_port_error(intent.operation(), &container)),
            };
            repairs.mended.push(Mended { container, intent, failure });
        }
        if let Err(fault) = empty_trash(&self.ground()) {
            tracing::warn!(?fault, "the trash is emptied at a later call");
        }
        repairs.strays = self.strays().map_err(open_error)?;
        Ok(repairs)
    }

    /// Releases what nobody needs any more: containers whose rootfs is gone, with their volumes.
    ///
    /// # Errors
    /// [`OpenError`] when the database cannot be used.
    pub fn gc(&self) -> Result<Freed, OpenError> {
        let repairs = self.repair()?;
        let mut freed = Freed::default();
        freed.failures.extend(repairs.mended.into_iter().filter_map(|mended| mended.failure));
        for container in gone::among(self.list()?) {
            let bytes = self.bytes_of(&container);
            match self.remove_now(&container) {
                Ok(()) => freed.containers.push((container, bytes)),
                Err(fault) => freed.failures.push(fault.into_port_error(Operation::Remove, &container)),
            }
        }
        freed.trash = empty_trash(&self.ground()).err().map(open_error);
        Ok(freed)
    }

    fn bytes_of(&self, container: &ContainerId) -> u64 {
        let files = self.store.read(|db| files::of(db, container)).ok().flatten();
        let path = files.and_then(|files| self.ground().dirs.path(&files.dir).ok());
        path.and_then(|path| usage(&path).ok()).map_or(0, |usage| usage.bytes)
    }

    /// The directories of containers on no record.
    fn strays(&self) -> Result<Vec<Stray>, Fault> {
        let dirs = self.ground().dirs;
        let names = dirs.names()?;
        let known = self.store.read(|db| files::containers(db, false))?;
        let is_known = |name: &String| known.iter().any(|(_, files)| files.dir == *name);
        let mut strays = Vec::new();
        for name in names.into_iter().filter(|name| !is_known(name)) {
            // One that was made just now is locked by whoever has made it.
            let Some(dir) = dirs.try_lock(&name)? else { continue };
            let container = fs::read_to_string(dir.join("container")?.as_path());
            let Ok(container) = container else {
                dir.remove_if_empty();
                continue;
            };
            let bytes = usage(&dir.path).map_or(0, |usage| usage.bytes);
            strays.push(Stray { path: dir.path.clone(), container: container.trim().to_owned(), bytes });
        }
        Ok(strays)
    }

    /// Removes the files of a container on no record. It must not run: nobody else knows.
    ///
    /// # Errors
    /// [`OpenError`] when they cannot be removed.
    pub fn discard_stray(&self, stray: &Stray) -> Result<(), OpenError> {
        let discarded = clone::discard(&stray.path).and_then(|()| discard(&self.ground(), &stray.path));
        discarded.map_err(open_error)
    }
}
