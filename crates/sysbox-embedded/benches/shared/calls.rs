//! Managers with containers on them, and short forms of the port's calls.

#[path = "../../tests/embedded/host.rs"]
mod host;

use std::{fs, num::NonZeroU32, path::Path};

use pollster::block_on;
use sysbox_core::{
    AbsPath, ContainerId, IdMappings, IdRange, MgrPort, Registration, ShiftType, SubidRequest, Update,
};
use sysbox_embedded::{Config, Connections, EmbeddedMgr};
use tempfile::TempDir;

const SIZE: u32 = 65_536;

/// A data root with containers that have ids of their own.
#[derive(Debug)]
pub(crate) struct Fixture {
    root: TempDir,
    pub(crate) registered: u32,
}

impl Fixture {
    pub(crate) fn with(registered: u32) -> Self {
        // Filled in memory and then copied: on a disk that alone would take a minute.
        let memory = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let mgr = open(memory.path(), Connections::Kept);
        (0..registered).for_each(|n| _ = start(&mgr, &id(&format!("c{n}"))));
        drop(mgr);
        let root = tempfile::tempdir().expect("a directory");
        for file in ["state.db", "state.db-wal"] {
            fs::copy(memory.path().join(file), root.path().join(file)).expect("copied");
        }
        Self { root, registered }
    }

    pub(crate) fn open(&self, connections: Connections) -> EmbeddedMgr {
        open(self.root.path(), connections)
    }
}

pub(crate) fn open(root: &Path, connections: Connections) -> EmbeddedMgr {
    let mut config = Config::new(AbsPath::new(root).expect("absolute"));
    config.connections = connections;
    EmbeddedMgr::open(config, host::host()).expect("a usable data root")
}

/// Registers a container, gives it ids and tells that it runs with them.
pub(crate) fn start(mgr: &EmbeddedMgr, id: &ContainerId) -> IdRange {
    register(mgr, id);
    let range = alloc(mgr, id);
    update(mgr, id, range);
    range
}

pub(crate) fn register(mgr: &EmbeddedMgr, id: &ContainerId) {
    let registration = Registration {
        id: id.clone(),
        rootfs: AbsPath::new("/srv/rootfs").expect("absolute"),
        userns: None,
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
    };
    block_on(mgr.register(&registration)).expect("a new container");
}

pub(crate) fn alloc(mgr: &EmbeddedMgr, id: &ContainerId) -> IdRange {
    let request = SubidRequest { id: id.clone(), size: NonZeroU32::new(SIZE).expect("not 0") };
    let subids = block_on(mgr.alloc_subids(&request)).expect("enough ids");
    IdRange::new(subids.uid.0, SIZE).expect("a valid range")
}

pub(crate) fn update(mgr: &EmbeddedMgr, id: &ContainerId, range: IdRange) {
    let mappings = IdMappings::single(range).expect("a valid range");
    let update = Update {
        id: id.clone(),
        userns: Some(AbsPath::new("/proc/self/ns/user").expect("absolute")),
        netns: Some(AbsPath::new("/proc/self/ns/net").expect("absolute")),
        uid_mappings: mappings.clone(),
        gid_mappings: mappings,
        rootfs_shift: ShiftType::IdMappedMount,
    };
    block_on(mgr.update(&update)).expect("registered");
}

pub(crate) fn unregister(mgr: &EmbeddedMgr, id: &ContainerId) {
    block_on(mgr.unregister(id)).expect("registered");
}

pub(crate) fn remove(mgr: &EmbeddedMgr, id: &ContainerId) {
    block_on(mgr.remove(id)).expect("stopped");
}

pub(crate) fn id(text: &str) -> ContainerId {
    text.parse().expect("a valid id")
}
