//! File systems to put a rootfs on, mounted for one test.

use std::{
    ffi::CString,
    fs::{self, File},
    os::unix::fs::{MetadataExt, lchown},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

/// What a rootfs is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory on a fresh ext4.
    Ext4,
    /// A directory on a tmpfs.
    Tmpfs,
    /// The root of an overlay, its layers on a fresh ext4.
    Overlay,
    /// The root of an overlay whose lower layer is an overlay too. The kernel ID-maps no overlay, so it can map no such layer.
    NestedOverlay,
    /// The root of an overlay whose lower layer is on ramfs, which the kernel does not ID-map.
    OverlayOnRamfs,
}

/// A mounted file system with a rootfs on it. Dropping it unmounts all and removes all.
#[derive(Debug)]
pub struct Ground {
    rootfs: PathBuf,
    /// Dropped in this order: the last mounted is unmounted first.
    mounts: Vec<Mounted>,
    dir: TempDir,
}

impl Ground {
    /// Mounts a file system and lets `fill` put a rootfs on it: for an overlay, into its lowest layer.
    ///
    /// # Panics
    /// When something cannot be made or mounted.
    pub fn new(kind: Kind, fill: impl FnOnce(&Path)) -> Self {
        let dir = TempDir::with_prefix("sysbox-ground-").expect("a temporary directory");
        // The container's processes must be able to walk through it.
        open_to_all(dir.path());
        let mut ground = Self { rootfs: PathBuf::new(), mounts: Vec::new(), dir };
        if kind == Kind::Tmpfs {
            let at = ground.dir("tmpfs");
            ground.mount("tmpfs", &at, "tmpfs", "mode=755");
            ground.rootfs = ground.dir("tmpfs/rootfs");
        } else {
            ground.mount_ext4();
            ground.rootfs = ground.dir("ext4/rootfs");
        }
        if kind == Kind::OverlayOnRamfs {
            let at = ground.dir("ramfs");
            ground.mount("ramfs", &at, "ramfs", "mode=755");
            ground.rootfs = ground.dir("ramfs/rootfs");
        }
        fill(&ground.rootfs);
        if kind == Kind::NestedOverlay {
            ground.rootfs = ground.mount_overlay("inner");
        }
        if matches!(kind, Kind::Overlay | Kind::NestedOverlay | Kind::OverlayOnRamfs) {
            ground.rootfs = ground.mount_overlay("outer");
        }
        ground
    }

    /// The root directory for a container.
    pub fn rootfs(&self) -> &Path {
        &self.rootfs
    }

    /// A directory beside the rootfs for the bundle's config.json.
    pub fn bundle(&self) -> PathBuf {
        self.dir("bundle")
    }

    /// Everything that is on the ground but the bundle, the layers of an overlay too.
    pub fn whole(&self) -> PathBuf {
        self.dir.path().join("ext4")
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).expect("made");
        path
    }

    fn mount(&mut self, source: impl AsRef<Path>, at: &Path, kind: &str, data: &str) {
        let data = CString::new(data).expect("no NUL");
        mount(source.as_ref(), at, kind, MountFlags::empty(), Some(&*data))
            .unwrap_or_else(|e| panic!("cannot mount {kind} at {at:?} ({data:?}): {e}"));
        self.mounts.insert(0, Mounted(at.to_owned()));
    }

    fn mount_ext4(&mut self) {
        let image = self.dir.path().join("ext4.img");
        File::create(&image).and_then(|file| file.set_len(96 << 20)).expect("made");
        let at = self.dir("ext4");
        succeed(Command::new("mkfs.ext4").args(["-q", "-F", "-N", "20000"]).arg(&image));
        // mount(8) finds a free loop device and gives it back with the mount.
        succeed(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at));
        self.mounts.insert(0, Mounted(at));
    }

    /// Mounts an overlay over the rootfs as it is, with layers of its own on the ext4.
    fn mount_overlay(&mut self, name: &str) -> PathBuf {
        let (upper, work) = (self.dir(&format!("ext4/{name}-upper")), self.dir(&format!("ext4/{name}-work")));
        let merged = self.dir(name);
        // The root of the overlay is its upper layer's.
        let root = fs::metadata(&self.rootfs).expect("it is there");
        lchown(&upper, Some(root.uid()), Some(root.gid())).expect("root may");
        let lower = self.rootfs.display();
        let data = format!("lowerdir={lower},upperdir={},workdir={}", upper.display(), work.display());
        self.mount("overlay", &merged, "overlay", &data);
        let made = merged.join(format!("from-{name}-upper"));
        fs::write(&made, name).expect("written");
        lchown(&made, Some(root.uid()), Some(root.gid())).expect("root may");
        merged
    }
}

/// A mount that is detached when this is dropped.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// An empty tmpfs that nothing can be written to.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn read_only(at: &Path) -> Self {
        Self::with(at, MountFlags::RDONLY)
    }

    /// An empty tmpfs.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn writable(at: &Path) -> Self {
        Self::with(at, MountFlags::empty())
    }

    fn with(at: &Path, flags: MountFlags) -> Self {
        mount("tmpfs", at, "tmpfs", flags, None).expect("root may");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Detached at once, so that what still looks at it does not keep the test from removing its directory.
        if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
            tell(&format!("cannot unmount {:?}: {error}", self.0));
        }
    }
}

/// Lets everybody walk through a directory.
pub(crate) fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("its owner may");
}

#[expect(clippy::print_stderr, reason = "a guard cannot fail its test, which may have failed already")]
fn tell(text: &str) {
    eprintln!("{text}");
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
