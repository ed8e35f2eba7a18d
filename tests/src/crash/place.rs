//! Where everything of a scene is, as a path and a first id tell: all that a worker has to be told.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sysbox::{
    AbsPath, ContainerId, IdMappings, IdRange,
    embedded::{Config, EmbeddedMgr, SubidSource},
    linux::LinuxHost,
};

/// How many ids a container has.
pub(crate) const SIZE: u32 = 65_536;

/// The places of a scene.
#[derive(Clone, Debug)]
pub struct Place {
    dir: PathBuf,
    ids: IdRange,
}

impl Place {
    /// The scene in this directory, whose containers get the host's ids from `first` on; there are `slots` times 65,536.
    ///
    /// # Panics
    /// When there are no such ids.
    pub fn new(dir: impl Into<PathBuf>, first: u32, slots: u32) -> Self {
        Self { dir: dir.into(), ids: IdRange::new(first, slots * SIZE).expect("ids of the host") }
    }

    /// The directory of all.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The data root of the manager.
    pub fn data_root(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The directories of containers that are there, of which a scene has one.
    pub fn containers(&self) -> Vec<PathBuf> {
        entries(&self.data_root().join("files"))
    }

    /// The root directory of the container.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// The upper layer of the rootfs, where that is an overlay.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// The source of a bind mount, which cannot be ID-mapped.
    pub fn source(&self) -> PathBuf {
        self.dir.join("source")
    }

    /// The ids of all containers.
    pub const fn ids(&self) -> IdRange {
        self.ids
    }

    /// The ids of the container, as mappings.
    ///
    /// # Panics
    /// Never: they are valid.
    pub fn mappings(&self) -> IdMappings {
        IdMappings::single(self.ids).expect("ids of the host")
    }

    /// The container.
    ///
    /// # Panics
    /// Never: it is valid.
    pub fn id(&self) -> ContainerId {
        "victim".parse().expect("a valid id")
    }

    /// The manager.
    ///
    /// # Panics
    /// When the data root cannot be used.
    pub fn open(&self) -> EmbeddedMgr {
        self.try_open().unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The manager, or why it cannot be had.
    ///
    /// # Errors
    /// The text of the failure.
    pub fn try_open(&self) -> Result<EmbeddedMgr, String> {
        let mut config = Config::new(abs(&self.data_root()));
        config.subids = SubidSource::Range(self.ids);
        EmbeddedMgr::open(config, Arc::new(LinuxHost::default())).map_err(|error| chain(&error))
    }
}

/// A path of a scene as the manager takes it.
pub(crate) fn abs(path: &Path) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

/// What is in a directory, sorted; nothing if it is not there.
pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().map(|entry| entry.expect("readable").path()).collect();
    found.sort();
    found
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
