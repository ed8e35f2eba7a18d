//! What the manager knows of containers, for those who list them.

use rusqlite::Connection;
use sysbox_core::ContainerId;

use crate::{
    EmbeddedMgr, OpenError, clone, error::Fault, files, mgr::open_error, prepared, record::ContainerRecord,
    registry, volumes,
};

impl EmbeddedMgr {
    /// Every container that is registered or may be started again, by id.
    ///
    /// # Errors
    /// [`OpenError`] when the database cannot be used.
    pub fn list(&self) -> Result<Vec<ContainerRecord>, OpenError> {
        let dirs = self.ground().dirs;
        self.store
            .read(|db| {
                registry::list(db)?.into_iter().map(|container| with_files(db, &dirs, container)).collect()
            })
            .map_err(open_error)
    }

    /// Whether the rootfs of a container is gone for good. One whose disk is not mounted is not, and one that is not known was never
    /// there.
    ///
    /// # Errors
    /// [`OpenError`] when the database cannot be used.
    pub fn is_rootfs_gone(&self, id: &ContainerId) -> Result<bool, OpenError> {
        let known = self.store.read(|db| Ok((registry::find(db, id)?, registry::disk(db, id)?)));
        let (container, disk) = known.map_err(open_error)?;
        Ok(container.is_none_or(|container| crate::gone::rootfs_is_gone(&container.rootfs, disk)))
    }

    /// The container of that id, if it is registered or may be started again.
    ///
    /// # Errors
    /// [`OpenError`] when the database cannot be used.
    pub fn status(&self, id: &ContainerId) -> Result<Option<ContainerRecord>, OpenError> {
        let dirs = self.ground().dirs;
        self.store
            .read(|db| {
                registry::record_of(db, id)?.map(|container| with_files(db, &dirs, container)).transpose()
            })
            .map_err(open_error)
    }
}

fn with_files(
    db: &Connection,
    dirs: &files::ContainerDirs,
    container: ContainerRecord,
) -> Result<ContainerRecord, Fault> {
    let Some(nr) = registry::number(db, &container.id)? else { return Ok(container) };
    let Some(files) = files::find(db, nr)? else { return Ok(container) };
    let abandoned = match files.intent {
        Some(intent) if dirs.is_free(&files.dir)? => Some(intent),
        _ => None,
    };
    Ok(ContainerRecord {
        volumes: volumes::list(db, nr, &dirs.path(&files.dir)?)?,
        prepared: prepared::list(db, nr)?,
        cloned: clone::find(db, nr)?,
        unfinished: abandoned,
        ..container
    })
}
