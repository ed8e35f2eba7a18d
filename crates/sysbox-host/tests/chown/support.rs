//! Places to make trees in, things to make them of, and a way to compare them. Whatever is mounted or made goes away
//! with its guard, also when a test fails.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt, lchown},
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, llistxattr, lsetxattr, mknodat};
use sysbox_core::{
    AbsPath, ContainerId, IdRange,
    tree::{TreeIds, TreeRecord},
};
use sysbox_host::chown::{ChownError, ShiftReport};
use tempfile::TempDir;

/// The ranges of the tests; they differ, so that a mix-up of users and groups shows.
pub(crate) const UIDS: u32 = 1_000_000;
pub(crate) const GIDS: u32 = 2_000_000;
pub(crate) const COUNT: u32 = 65_536;

pub(crate) const RECORD: &str = "trusted.sysbox.shift";
pub(crate) const MARK: &str = "trusted.sysbox.pending";
pub(crate) const CAPABILITY: &str = "security.capability";
pub(crate) const ACCESS_ACL: &str = "system.posix_acl_access";
pub(crate) const DEFAULT_ACL: &str = "system.posix_acl_default";

pub(crate) fn require_root() {
    assert!(rustix::process::geteuid().is_root(), "changing owners needs root; run this test as root");
}

pub(crate) fn ids() -> TreeIds {
    TreeIds {
        uids: IdRange::new(UIDS, COUNT).expect("valid"),
        gids: IdRange::new(GIDS, COUNT).expect("valid"),
    }
}

pub(crate) fn container() -> ContainerId {
    "c1".parse().expect("valid")
}

pub(crate) fn shift(root: &Path) -> Result<ShiftReport, ChownError> {
    sysbox_host::chown::shift_tree(&abs(root), &container(), ids(), &|_| ())
}

pub(crate) fn revert(root: &Path) -> Result<ShiftReport, ChownError> {
    sysbox_host::chown::revert_tree(&abs(root), &|_| ())
}

pub(crate) fn record(root: &Path) -> Option<TreeRecord> {
    sysbox_host::chown::record(&abs(root)).expect("a readable record")
}

pub(crate) fn abs(path: &Path) -> AbsPath {
    AbsPath::new(path).expect("an absolute path")
}

/// Runs a test in a new directory on each of three file systems.
#[expect(clippy::print_stderr, reason = "so that a failure says where")]
pub(crate) fn on_each_file_system(test: impl Fn(&Path)) {
    require_root();
    for place in [Place::temporary(), Place::tmpfs(), Place::ext4()] {
        eprintln!("in {}", place.root().display());
        test(&place.root());
    }
}

/// A directory to make a tree in.
#[derive(Debug)]
pub(crate) struct Place {
    // Dropped in this order: what is mounted goes first.
    _mount: Option<Mount>,
    directory: TempDir,
}

impl Place {
    /// In the directory for temporary files.
    pub(crate) fn temporary() -> Self {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        fs::create_dir(directory.path().join("tree")).expect("a new directory");
        Self { _mount: None, directory }
    }

    /// On a tmpfs of its own.
    pub(crate) fn tmpfs() -> Self {
        Self::mounted("tmpfs", &["-t", "tmpfs", "none"])
    }

    /// On a file system without extended attributes.
    pub(crate) fn ramfs() -> Self {
        Self::mounted("ramfs", &["-t", "ramfs", "none"])
    }

    /// On an ext4 of its own, in a file.
    pub(crate) fn ext4() -> Self {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let image = directory.path().join("image");
        fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("a sparse file");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        Self::mounted("ext4", &["-o", "loop", image.to_str().expect("ASCII")])
    }

    /// On what is mounted with these arguments.
    pub(crate) fn mounted(name: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let point = directory.path().join(name);
        fs::create_dir(&point).expect("a new directory");
        let mount = Mount::new(arguments, &point);
        fs::create_dir(point.join("tree")).expect("a new directory");
        Self { _mount: Some(mount), directory }
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> PathBuf {
        match &self._mount {
            Some(mount) => mount.point.join("tree"),
            None => self.directory.path().join("tree"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // fts(3) goes down a tree of any depth, which TempDir does not.
        let _ = Command::new("rm").arg("-rf").arg(self.root()).status();
    }
}

/// A mount that ends with its guard.
#[derive(Debug)]
pub(crate) struct Mount {
    point: PathBuf,
}

impl Mount {
    /// Mounts as mount(8) does with these arguments.
    pub(crate) fn new(arguments: &[&str], point: &Path) -> Self {
        run(Command::new("mount").args(arguments).arg(point));
        Self { point: point.to_owned() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.point, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Makes a file with this mode and owner.
pub(crate) fn file(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> PathBuf {
    fs::write(path, "content").expect("a new file");
    own(path, mode, (uid, gid))
}

/// Makes a directory with this mode and owner.
pub(crate) fn directory(path: &Path, mode: u32, owner: (u32, u32)) -> PathBuf {
    fs::create_dir(path).expect("a new directory");
    own(path, mode, owner)
}

/// Makes a device, a fifo or a socket with this mode and owner.
pub(crate) fn node(path: &Path, kind: FileType, device: u64, mode: u32, owner: (u32, u32)) -> PathBuf {
    mknodat(CWD, path, kind, Mode::empty(), device).expect("a new node");
    own(path, mode, owner)
}

/// Makes a symbolic link with this owner.
pub(crate) fn symlink(target: &Path, path: &Path, (uid, gid): (u32, u32)) {
    std::os::unix::fs::symlink(target, path).expect("a new symbolic link");
    lchown(path, Some(uid), Some(gid)).expect("root may");
}

/// Gives what is there this mode and owner.
pub(crate) fn own(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> PathBuf {
    lchown(path, Some(uid), Some(gid)).expect("root may");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
    path.to_owned()
}

pub(crate) fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    (metadata.uid(), metadata.gid())
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
}

pub(crate) fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|error| panic!("{name} on {path:?}: {error}"));
}

pub(crate) fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 65_536];
    match lgetxattr(path, name, value.as_mut_slice()) {
        Ok(len) => Some(value[..len].to_vec()),
        Err(rustix::io::Errno::NODATA) => None,
        Err(error) => panic!("{name} of {path:?}: {error}"),
    }
}

/// cap_net_raw=ep for the namespace with this root: revision 3, or 2 for the host's.
pub(crate) fn capability(root: u32) -> Vec<u8> {
    let mut value = vec![1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if root != 0 {
        value[3] = 3;
        value.extend(root.to_le_bytes());
    }
    value
}

/// An ACL that grants something to these users and groups.
pub(crate) fn acl(users: &[u32], groups: &[u32]) -> Vec<u8> {
    const NONE: u32 = u32::MAX;
    let named = |tag: u16, ids: &[u32]| ids.iter().map(|&id| (tag, 5, id)).collect::<Vec<(u16, u16, u32)>>();
    let entries = [
        vec![(1, 7, NONE)],
        named(2, users),
        vec![(4, 5, NONE)],
        named(8, groups),
        vec![(0x10, 5, NONE), (0x20, 1, NONE)],
    ];
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries.into_iter().flatten() {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

/// All that is known of an inode, but for the times that a change of owner must touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) inode: u64,
    pub(crate) links: u64,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) device: u64,
    pub(crate) size: u64,
    pub(crate) modified: (i64, i64),
    pub(crate) target: Option<PathBuf>,
    pub(crate) attributes: BTreeMap<OsString, Vec<u8>>,
}

/// All that is known of a tree, by path.
pub(crate) type Snapshot = BTreeMap<PathBuf, Facts>;

pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut snapshot = Snapshot::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let facts = facts(&path);
        if FileType::from_raw_mode(facts.mode) == FileType::Directory {
            waiting
                .extend(fs::read_dir(&path).expect("readable").map(|entry| entry.expect("readable").path()));
        }
        snapshot.insert(path, facts);
    }
    snapshot
}

fn facts(path: &Path) -> Facts {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let mut list = vec![0; 65_536];
    let len = llistxattr(path, list.as_mut_slice()).expect("readable");
    let names = list[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let name = OsString::from_vec(name.to_vec());
        let value = attribute(path, name.to_str().expect("ASCII")).expect("it was listed");
        (name, value)
    };
    Facts {
        inode: metadata.ino(),
        links: metadata.nlink(),
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        device: metadata.rdev(),
        // The size of a directory is the file system's business.
        size: if metadata.is_dir() { 0 } else { metadata.size() },
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        target: metadata.is_symlink().then(|| fs::read_link(path).expect("a symbolic link")),
        attributes: names.map(value).collect(),
    }
}

/// Fails with the first difference, since whole trees are too much to read.
#[track_caller]
pub(crate) fn assert_same(found: &Snapshot, wanted: &Snapshot) {
    for (path, facts) in wanted {
        assert_eq!(
            found.get(path),
            Some(facts),
            "{:?}",
            path.as_os_str().as_bytes().escape_ascii().to_string()
        );
    }
    assert_eq!(found.len(), wanted.len(), "no more inodes than there were");
}
