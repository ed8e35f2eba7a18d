//! Where a test works, and how it acts as a container's root.

use std::{
    fs,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::mount::{MountFlags, mount};
use sysbox_core::{AbsPath, IdMappings, IdRange, host::OverlayLayers};
use sysbox_host::{UserNamespace, mount_namespace};

/// The host's ids of the container's root and group root.
pub(crate) const UID: u32 = 1_000_000;
pub(crate) const GID: u32 = 2_000_000;

pub(crate) fn uids() -> IdMappings {
    IdMappings::single(IdRange::new(UID, 65_536).expect("valid")).expect("valid")
}

pub(crate) fn gids() -> IdMappings {
    IdMappings::single(IdRange::new(GID, 65_536).expect("valid")).expect("valid")
}

pub(crate) fn userns() -> UserNamespace {
    UserNamespace::new(&uids(), &gids()).expect("a user namespace; these tests need root")
}

/// A directory in a mount namespace of the test's thread. Both end with it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    /// On the file system of the temporary directory.
    pub(crate) fn new() -> Self {
        mount_namespace::enter_private().expect("a mount namespace; these tests need root");
        let dir = tempfile::tempdir().expect("made");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("its owner");
        Self(dir)
    }

    /// On a tmpfs.
    pub(crate) fn on_tmpfs() -> Self {
        let place = Self::new();
        mount("tmpfs", place.0.path(), "tmpfs", MountFlags::empty(), Some(c"mode=755")).expect("mounted");
        place
    }

    pub(crate) fn at(&self, name: &str) -> AbsPath {
        AbsPath::new(self.0.path().join(name)).expect("absolute")
    }

    /// Makes a directory of root's.
    pub(crate) fn dir(&self, name: &str) -> AbsPath {
        let path = self.at(name);
        fs::create_dir_all(&path).expect("made");
        path
    }

    /// Makes a file of root's that holds its name.
    pub(crate) fn file(&self, name: &str) -> AbsPath {
        let path = self.at(name);
        fs::create_dir_all(path.as_path().parent().expect("it has one")).expect("made");
        fs::write(&path, name).expect("written");
        path
    }

    /// Lower layers of these names, each with a file of its own, the uppermost first; an upper layer and a work directory.
    pub(crate) fn layers(&self, lower: &[&str], upper: &str, work: &str) -> OverlayLayers {
        let lower = lower.iter().zip(0..).map(|(name, nth)| {
            self.file(&format!("{name}/from-{nth}"));
            self.at(name).into()
        });
        OverlayLayers {
            lower: lower.collect(),
            data: Vec::new(),
            upper: Some(self.dir(upper).into()),
            work: Some(self.dir(work).into()),
            options: Vec::new(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let dir = AbsPath::new(self.0.path()).expect("absolute");
        mount_namespace::detach_below(&dir).expect("detached");
    }
}

/// Owner and group.
pub(crate) fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let metadata = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()));
    (metadata.uid(), metadata.gid())
}

/// Runs a shell command in `dir` as root of a user namespace, with all its capabilities.
pub(crate) fn as_container_root(dir: &AbsPath, command: &str) {
    let userns = userns();
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), userns.as_fd().as_raw_fd()));
    let status = Command::new("nsenter")
        .arg(format!("--user={}", path.display()))
        .args(["--setuid=0", "--setgid=0", "sh", "-ec", command])
        .current_dir(dir)
        .status()
        .expect("nsenter of util-linux");
    assert!(status.success(), "{command}: {status}");
}
