//! Places to work in, a host that answers as a test needs it, and short forms of the port's calls.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs,
    num::NonZeroU32,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
    sync::Arc,
};

use pollster::block_on;
use rusqlite::Connection;
use sysbox_core::{
    AbsPath, ContainerId, ErrorKind, HostError, HostPort, IdMapping, IdMappings, MgrPort, Owner, PortError,
    Registration, ShiftType, SubidRequest, Update,
    host::{Feature, FileSystem, KernelRelease, NamespaceId, OsRelease, OverlayLayers, Support},
    tree::TreeRecord,
};
use sysbox_embedded::{Config, ContainerRecord, EmbeddedMgr, Intent};
use sysbox_host::{LinuxHost, mount_namespace::detach_below, overlay};
use tempfile::TempDir;

/// How many ids containers have here.
pub(crate) const SIZE: u32 = 65_536;

/// A directory of a test, removed at its end with all that is mounted in it.
#[derive(Debug)]
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "mounts and owners need root; run this test as root");
        let directory = tempfile::Builder::new().prefix("sysbox-files-").tempdir_in("/var/tmp");
        let place = Self(directory.expect("a directory"));
        fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        place
    }

    pub(crate) fn at(&self, name: &str) -> AbsPath {
        abs(self.0.path().join(name))
    }

    pub(crate) fn dir(&self, name: &str) -> AbsPath {
        fs::create_dir_all(self.at(name)).expect("writable");
        self.at(name)
    }

    /// A directory of a user's, with files of that user's, of the next one's and of root's.
    pub(crate) fn tree(&self, name: &str, owner: u32) -> AbsPath {
        let tree = self.dir(name);
        for (file, id) in [("", owner), ("dir", owner), ("dir/next", owner + 1), ("roots", 0)] {
            let path = tree.as_path().join(file);
            match file {
                "" => {}
                "dir" => fs::create_dir(&path).expect("writable"),
                _ => fs::write(&path, file).expect("writable"),
            }
            lchown(&path, Some(id), Some(id)).expect("run as root");
        }
        tree
    }

    /// A rootfs that is an overlay; all in it is root's. Its upper layer is `NAME.upper`.
    pub(crate) fn overlay(&self, name: &str) -> AbsPath {
        self.tree(&format!("{name}.lower"), 0);
        fs::write(self.dir(&format!("{name}.upper")).as_path().join("above"), "above").expect("writable");
        self.mount_again(name)
    }

    /// The same from the layers that are there.
    pub(crate) fn mount_again(&self, name: &str) -> AbsPath {
        let part = |part: &str| PathBuf::from(self.dir(&format!("{name}.{part}")));
        let layers = OverlayLayers {
            lower: vec![part("lower")],
            data: Vec::new(),
            upper: Some(part("upper")),
            work: Some(part("work")),
            options: Vec::new(),
        };
        let merged = self.dir(name);
        overlay::mount(&layers, &merged).expect("overlayfs");
        merged
    }

    /// The manager of this place on a host.
    pub(crate) fn open(&self, host: Host) -> EmbeddedMgr {
        let config = Config::new(self.at("data"));
        EmbeddedMgr::open(config, Arc::new(host)).expect("a usable data root")
    }

    /// Puts it on record that this was begun with the files of every container, by a process that has ended since. `rows` is
    /// what else the database says then.
    pub(crate) fn leave(&self, intent: Intent, rows: &str) {
        let db = Connection::open(self.at("data/state.db")).expect("there");
        db.execute_batch(rows).expect("as the schema says");
        db.execute("UPDATE files SET intent = ?1", [intent as i64]).expect("as the schema says");
    }

    /// What lies in the directories of containers and in the trash.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let below = |name| fs::read_dir(self.at(name)).into_iter().flatten();
        let all = below("data/files").chain(below("data/trash"));
        all.map(|entry| entry.expect("readable").path()).collect()
    }

    /// The mount points at or below a path in it.
    pub(crate) fn mounts(&self, name: &str) -> Vec<String> {
        let path = self.at(name).to_string();
        let table = fs::read_to_string("/proc/self/mountinfo").expect("there");
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        points.filter(|point| point.starts_with(&path)).map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that fails otherwise has told why.
        let _ = detach_below(&abs(self.0.path()));
    }
}

/// This host, in a boot of its own, save what it is told to answer otherwise.
#[derive(Debug, Default)]
pub(crate) struct Host {
    real: LinuxHost,
    boot: &'static str,
    never_id_maps: bool,
}

impl Host {
    /// One that can do what this kernel can.
    pub(crate) fn real() -> Self {
        Self { boot: "first", ..Self::default() }
    }

    /// One on which no file system can be ID-mapped.
    pub(crate) fn without_id_mapping() -> Self {
        Self { never_id_maps: true, ..Self::real() }
    }

    /// The same after a reboot.
    pub(crate) fn rebooted(self) -> Self {
        Self { boot: "second", ..self }
    }
}

impl HostPort for Host {
    fn kernel_release(&self) -> Result<KernelRelease, HostError> {
        self.real.kernel_release()
    }

    fn os_release(&self) -> Result<OsRelease, HostError> {
        self.real.os_release()
    }

    fn sysctl(&self, name: &str) -> Result<Option<String>, HostError> {
        if name == "kernel.random.boot_id" { Ok(Some(self.boot.to_owned())) } else { self.real.sysctl(name) }
    }

    fn file_system(&self, path: &AbsPath) -> Result<FileSystem, HostError> {
        self.real.file_system(path)
    }

    fn overlay_layers(&self, path: &AbsPath) -> Result<Option<OverlayLayers>, HostError> {
        self.real.overlay_layers(path)
    }

    fn owner(&self, path: &AbsPath) -> Result<Owner, HostError> {
        self.real.owner(path)
    }

    fn namespace(&self, path: &AbsPath) -> Result<NamespaceId, HostError> {
        self.real.namespace(path)
    }

    fn id_mappings(&self, userns: &AbsPath) -> Result<(IdMappings, IdMappings), HostError> {
        self.real.id_mappings(userns)
    }

    fn rootfs_file(&self, rootfs: &AbsPath, path: &AbsPath) -> Result<Option<Vec<u8>>, HostError> {
        self.real.rootfs_file(rootfs, path)
    }

    fn rootfs_has_directory(&self, rootfs: &AbsPath, path: &AbsPath) -> Result<bool, HostError> {
        self.real.rootfs_has_directory(rootfs, path)
    }

    fn tree_record(&self, path: &AbsPath) -> Result<Option<TreeRecord>, HostError> {
        self.real.tree_record(path)
    }

    fn probe(&self, feature: &Feature) -> Result<Support, HostError> {
        match feature {
            Feature::IdMappedMount(_) if self.never_id_maps => Ok(Support::no("the test says so")),
            feature => self.real.probe(feature),
        }
    }
}

/// What is in a tree: by path its owner, mode, the names of its attributes, and how long it is or where it leads.
pub(crate) fn snapshot(root: &AbsPath) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(relative) = waiting.pop() {
        let path = root.as_path().join(&relative);
        let metadata = fs::symlink_metadata(&path).expect("readable");
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            waiting.extend(entries.map(|entry| relative.join(entry.expect("readable").file_name())));
        }
        let mut names = [0; 4096];
        let length = rustix::fs::llistxattr(&path, &mut names[..]).expect("readable");
        let names = String::from_utf8_lossy(&names[..length]).into_owned();
        let content = if metadata.is_file() { fs::read(&path).expect("readable") } else { Vec::new() };
        let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
        found.insert(relative, format!("{uid}:{gid} {mode:o} {names:?} {content:?}"));
    }
    found
}

/// Who owns what has a path, or what lies below it.
pub(crate) fn owner(path: &AbsPath, below: &str) -> (u32, u32) {
    let path: PathBuf = path.as_path().join(below).components().collect();
    let metadata = fs::symlink_metadata(path).expect("there");
    (metadata.uid(), metadata.gid())
}

pub(crate) fn abs(path: impl Into<PathBuf>) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

pub(crate) fn id(text: &str) -> ContainerId {
    text.parse().expect("a valid id")
}

/// Registers a container with this rootfs, gives it ids and tells that it runs with them. Gives the first.
pub(crate) fn start(mgr: &EmbeddedMgr, name: &str, rootfs: impl AsRef<Path>) -> u32 {
    let registration = Registration {
        id: id(name),
        rootfs: abs(rootfs.as_ref()),
        userns: None,
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
    };
    block_on(mgr.register(&registration)).expect("not running");
    let request = SubidRequest { id: id(name), size: NonZeroU32::new(SIZE).expect("not 0") };
    let first = block_on(mgr.alloc_subids(&request)).expect("enough ids").uid.0;
    update(mgr, name, first, ShiftType::Chown);
    first
}

pub(crate) fn update(mgr: &EmbeddedMgr, name: &str, first: u32, rootfs_shift: ShiftType) {
    let mappings =
        IdMappings::new([IdMapping::new(0, first, SIZE).expect("a valid extent")]).expect("one extent");
    let request = Update {
        id: id(name),
        userns: None,
        netns: None,
        uid_mappings: mappings.clone(),
        gid_mappings: mappings,
        rootfs_shift,
    };
    block_on(mgr.update(&request)).expect("running");
}

pub(crate) fn stop(mgr: &EmbeddedMgr, name: &str) {
    block_on(mgr.unregister(&id(name))).expect("running");
}

pub(crate) fn remove(mgr: &EmbeddedMgr, name: &str) {
    block_on(mgr.remove(&id(name))).expect("stopped");
}

pub(crate) fn record(mgr: &EmbeddedMgr, name: &str) -> ContainerRecord {
    mgr.status(&id(name)).expect("readable").expect("known")
}

pub(crate) fn kind<T: Debug>(outcome: Result<T, PortError>) -> ErrorKind {
    outcome.expect_err("refused").kind
}
