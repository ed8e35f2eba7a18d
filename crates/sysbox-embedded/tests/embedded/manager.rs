//! A data root with account files of its own, and short forms of the port's calls.

use std::{fs, num::NonZeroU32, path::PathBuf};

use pollster::block_on;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, ErrorKind, IdMapping, IdMappings, IdRange, MgrPort, PortError,
    Registration, ShiftType, SubidRequest, Update,
};
use sysbox_embedded::{AccountFiles, Config, ContainerRecord, EmbeddedMgr};
use tempfile::TempDir;

use crate::host::host;

pub(crate) const SIZE: u32 = 65_536;

/// The directory of a test, removed at its end.
#[derive(Debug)]
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// One whose user `sysbox` has that many slots of user ids and of group ids.
    pub(crate) fn with_slots(slots: u32) -> Self {
        let place = Self::new();
        let line = format!("sysbox:{SIZE}:{}\n", slots * SIZE);
        place.write("subuid", &line);
        place.write("subgid", &line);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("writable");
    }

    pub(crate) fn config(&self) -> Config {
        config(self.0.path().to_owned())
    }

    pub(crate) fn open(&self) -> EmbeddedMgr {
        EmbeddedMgr::open(self.config(), host()).expect("a usable data root")
    }
}

/// The configuration of the place at a path, for another process.
pub(crate) fn config(place: PathBuf) -> Config {
    let mut config = Config::new(abs(place.join("data")));
    config.connections = crate::CONNECTIONS;
    config.accounts = AccountFiles {
        passwd: place.join("passwd"),
        group: place.join("group"),
        subuid: place.join("subuid"),
        subgid: place.join("subgid"),
    };
    config
}

pub(crate) fn abs(path: impl Into<PathBuf>) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

pub(crate) fn id(text: &str) -> ContainerId {
    text.parse().expect("a valid id")
}

pub(crate) fn range(first: u32, count: u32) -> IdRange {
    IdRange::new(first, count).expect("a valid range")
}

pub(crate) fn mappings(host: u32, size: u32) -> IdMappings {
    IdMappings::new([IdMapping::new(0, host, size).expect("a valid extent")]).expect("one extent")
}

pub(crate) fn registration(name: &str) -> Registration {
    Registration {
        id: id(name),
        // One that is there: a stopped container keeps its ids as long as its rootfs is.
        rootfs: abs("/usr"),
        userns: None,
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
    }
}

/// What a runtime tells of a container that runs in namespaces of its own with these ids.
pub(crate) fn running(name: &str, first: u32) -> Update {
    Update {
        id: id(name),
        userns: None,
        netns: None,
        uid_mappings: mappings(first, SIZE),
        gid_mappings: mappings(first, SIZE),
        rootfs_shift: ShiftType::Chown,
    }
}

pub(crate) fn register(mgr: &EmbeddedMgr, name: &str) -> Result<ContainerConfig, PortError> {
    block_on(mgr.register(&registration(name)))
}

pub(crate) fn alloc(mgr: &EmbeddedMgr, name: &str, size: u32) -> Result<(u32, u32), PortError> {
    let request = SubidRequest { id: id(name), size: NonZeroU32::new(size).expect("not 0") };
    block_on(mgr.alloc_subids(&request)).map(|subids| (subids.uid.0, subids.gid.0))
}

/// Registers a container, gives it ids and tells that it runs with them. Gives the first.
pub(crate) fn start(mgr: &EmbeddedMgr, name: &str) -> u32 {
    register(mgr, name).expect("a new container");
    let (uid, gid) = alloc(mgr, name, SIZE).expect("enough ids");
    assert_eq!(uid, gid);
    block_on(mgr.update(&running(name, uid))).expect("registered");
    uid
}

pub(crate) fn stop(mgr: &EmbeddedMgr, name: &str) {
    block_on(mgr.unregister(&id(name))).expect("running");
}

pub(crate) fn remove(mgr: &EmbeddedMgr, name: &str) {
    block_on(mgr.remove(&id(name))).expect("stopped");
}

pub(crate) fn record(mgr: &EmbeddedMgr, name: &str) -> ContainerRecord {
    let mut all = mgr.list().expect("readable").into_iter();
    all.find(|record| record.id == id(name)).expect("registered")
}

pub(crate) fn kind<T: std::fmt::Debug>(outcome: Result<T, PortError>) -> ErrorKind {
    outcome.expect_err("refused").kind
}
