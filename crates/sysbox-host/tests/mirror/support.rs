//! Places to make trees in, things to make them of, and a way to compare them. Whatever is mounted or made goes away with
//! its guard, also when a test fails.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt, lchown},
        },
    },
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lsetxattr,
    mknodat, open, utimensat,
};
use sysbox_core::{AbsPath, IdRange, tree::TreeIds};
use sysbox_host::mirror::{MirrorError, Options, Owners, Report};
use tempfile::TempDir;

/// The ranges of the tests; they differ, so that a mix-up of users and groups shows.
pub(crate) const UIDS: u32 = 1_000_000;
pub(crate) const GIDS: u32 = 2_000_000;
pub(crate) const COUNT: u32 = 65_536;

pub(crate) const CAPABILITY: &str = "security.capability";
pub(crate) const ACCESS_ACL: &str = "system.posix_acl_access";
pub(crate) const DEFAULT_ACL: &str = "system.posix_acl_default";

pub(crate) fn require_root() {
    assert!(rustix::process::geteuid().is_root(), "copying owners needs root; run this test as root");
}

pub(crate) fn ids() -> TreeIds {
    let range = |first| IdRange::new(first, COUNT).expect("valid");
    TreeIds { uids: range(UIDS), gids: range(GIDS) }
}

pub(crate) fn abs(path: &Path) -> AbsPath {
    AbsPath::new(path).expect("an absolute path")
}

/// Opens a directory.
pub(crate) fn dir(path: &Path) -> OwnedFd {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("a directory")
}

/// Mirrors with the owners as they are.
pub(crate) fn mirror(source: &Path, target: &Path) -> Result<Report, MirrorError> {
    mirror_as(source, target, Owners::Kept, None)
}

pub(crate) fn mirror_as(
    source: &Path,
    target: &Path,
    owners: Owners,
    unchanged_since: Option<SystemTime>,
) -> Result<Report, MirrorError> {
    let options = Options { owners, unchanged_since, progress: &|_| () };
    sysbox_host::mirror::mirror(dir(source).as_fd(), dir(target).as_fd(), &options)
}

/// Two directories side by side, on a file system that goes away with it.
#[derive(Debug)]
pub(crate) struct Place {
    // Dropped in this order: what is mounted goes first.
    _mount: Option<Mount>,
    directory: TempDir,
    base: PathBuf,
}

impl Place {
    /// In the directory for temporary files.
    pub(crate) fn temporary() -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").expect("a directory for temporary files");
        let base = directory.path().join("base");
        Self::new(None, directory, base)
    }

    /// On a tmpfs of its own.
    pub(crate) fn tmpfs() -> Self {
        Self::mounted(&["-t", "tmpfs", "none"])
    }

    /// On a file system without extended attributes of users and of root.
    pub(crate) fn ramfs() -> Self {
        Self::mounted(&["-t", "ramfs", "none"])
    }

    /// On a new file system, made by this program in a sparse file of so many MiB.
    pub(crate) fn made_by(program: &[&str], mebibytes: u64) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").expect("a directory for temporary files");
        let image = directory.path().join("image");
        File::create(&image).and_then(|file| file.set_len(mebibytes << 20)).expect("a sparse file");
        run(Command::new(program[0]).args(&program[1..]).arg(&image));
        Self::mount_in(directory, &["-o", "loop", image.to_str().expect("ASCII")])
    }

    fn mounted(arguments: &[&str]) -> Self {
        Self::mount_in(tempfile::tempdir_in("/var/tmp").expect("a directory for temporary files"), arguments)
    }

    fn mount_in(directory: TempDir, arguments: &[&str]) -> Self {
        let point = directory.path().join("point");
        fs::create_dir(&point).expect("a new directory");
        let mount = Mount::new(arguments, &point);
        let base = point.join("base");
        Self::new(Some(mount), directory, base)
    }

    fn new(mount: Option<Mount>, directory: TempDir, base: PathBuf) -> Self {
        let this = Self { _mount: mount, directory, base };
        for path in [&this.base, &this.source(), &this.target()] {
            fs::create_dir(path).expect("a new directory");
        }
        this
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.base.join("source")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.base.join("target")
    }

    /// A directory beside the two, on their file system.
    pub(crate) fn beside_on_same(&self) -> PathBuf {
        let path = self.base.join("beside");
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// A directory beside the two, on the file system for temporary files.
    pub(crate) fn beside(&self) -> PathBuf {
        let path = self.directory.path().join("beside");
        fs::create_dir_all(&path).expect("a directory");
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // rm(1) goes down a tree of any depth, which TempDir does not.
        let _ = Command::new("rm").arg("-rf").arg(&self.base).status();
    }
}

/// Runs a test on several file systems.
#[expect(clippy::print_stderr, reason = "so that a failure says where")]
pub(crate) fn on_each_file_system(test: impl Fn(&Place)) {
    require_root();
    for (name, place) in [
        ("the temporary directory", Place::temporary as fn() -> Place),
        ("tmpfs", Place::tmpfs),
        ("xfs", || Place::made_by(&["mkfs.xfs", "-q", "-m", "reflink=1"], 320)),
        ("btrfs", || Place::made_by(&["mkfs.btrfs", "-q"], 256)),
    ] {
        eprintln!("on {name}");
        test(&place());
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
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Makes a file with this content, mode and owner.
pub(crate) fn file(path: &Path, content: impl AsRef<[u8]>, mode: u32, owner: (u32, u32)) -> PathBuf {
    fs::write(path, content).expect("a new file");
    own(path, mode, owner)
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
pub(crate) fn symlink(target: impl AsRef<Path>, path: &Path, (uid, gid): (u32, u32)) {
    std::os::unix::fs::symlink(target, path).expect("a new symbolic link");
    lchown(path, Some(uid), Some(gid)).expect("root may");
}

/// Gives what is there this mode and owner.
pub(crate) fn own(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> PathBuf {
    lchown(path, Some(uid), Some(gid)).expect("root may");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
    path.to_owned()
}

/// Sets the time of the last change, of a symbolic link too.
pub(crate) fn set_modified(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("root may");
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

/// An ACL that grants something to this user and group.
pub(crate) fn acl(user: u32, group: u32) -> Vec<u8> {
    const NONE: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 6] =
        [(1, 7, NONE), (2, 5, user), (4, 5, NONE), (8, 5, group), (0x10, 5, NONE), (0x20, 1, NONE)];
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

/// All that a mirror must carry over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) device: u64,
    pub(crate) modified: (i64, i64),
    pub(crate) content: Vec<u8>,
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    /// The first of the names of the same inode, in their order.
    pub(crate) first_name: PathBuf,
}

/// All that is below a directory, by path.
pub(crate) type Snapshot = BTreeMap<PathBuf, Facts>;

pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut paths = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(&path).expect("readable") {
            let entry = entry.expect("readable");
            if entry.file_type().expect("it is there").is_dir() {
                waiting.push(entry.path());
            }
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut names = BTreeMap::new();
    paths
        .into_iter()
        .map(|path| {
            let below = path.strip_prefix(root).expect("it is below").to_owned();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            let first_name = names.entry(metadata.ino()).or_insert_with(|| below.clone()).clone();
            (below, facts(&path, &metadata, first_name))
        })
        .collect()
}

fn facts(path: &Path, metadata: &fs::Metadata, first_name: PathBuf) -> Facts {
    let content = if metadata.is_symlink() {
        fs::read_link(path).expect("a symbolic link").as_os_str().as_bytes().to_vec()
    } else if metadata.is_file() {
        fs::read(path).expect("readable")
    } else {
        Vec::new()
    };
    Facts {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        device: metadata.rdev(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        content,
        attributes: attributes(path),
        first_name,
    }
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = vec![0; 65_536];
    let len = match llistxattr(path, list.as_mut_slice()) {
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        result => result.expect("readable"),
    };
    list[..len]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let name = String::from_utf8(name.to_vec()).expect("ASCII");
            let value = attribute(path, &name).expect("it was listed");
            (name, value)
        })
        .collect()
}

/// Fails with the first difference, since whole trees are too much to read.
#[track_caller]
pub(crate) fn assert_same(found: &Snapshot, wanted: &Snapshot) {
    for (path, wanted) in wanted {
        let found = found.get(path).unwrap_or_else(|| panic!("{path:?} is missing"));
        if found != wanted {
            let short = |facts: &Facts| Facts {
                content: facts.content.iter().take(64).copied().collect(),
                ..facts.clone()
            };
            panic!("{path:?} is\n{:?}\nand not\n{:?}", short(found), short(wanted));
        }
    }
    let surplus = found.keys().find(|path| !wanted.contains_key(*path));
    assert_eq!(surplus, None, "the source has it not");
}

/// Mirrors, and checks that the target is as the source then and that there is nothing left to do.
#[track_caller]
pub(crate) fn mirror_and_check(place: &Place) -> Report {
    let (source, target) = (place.source(), place.target());
    let report = mirror(&source, &target).expect("it can be mirrored");
    assert_same(&snapshot(&target), &snapshot(&source));
    let again = mirror(&source, &target).expect("it can be mirrored");
    assert!(!again.changed(), "{again:?}");
    report
}
