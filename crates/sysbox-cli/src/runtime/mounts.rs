//! The mounts that a container is made from, in a mount namespace of this process alone.
//!
//! Nothing is ever mounted in the host's namespace: whatever ends this process, its mounts are gone with it. The
//! container's own namespace is a copy of this one, made by its init process.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, move_mount, open_tree};
use sysbox::{AbsPath, linux::mount_namespace};

/// A directory that is there on every host and that the ids of every container may walk through, unlike data roots and
/// bundles: the container's init process looks up its root directory by path, as nobody of the host.
const DIR: &str = "/run/sysbox-runtime";

/// The private mounts of this process.
#[derive(Debug)]
pub(crate) struct PrivateMounts {
    dir: AbsPath,
    binds: std::cell::Cell<u32>,
}

impl PrivateMounts {
    /// Enters a mount namespace of our own, with a place in it for the mounts of a container.
    pub(crate) fn enter() -> anyhow::Result<Self> {
        let dir = AbsPath::new(DIR)?;
        match fs::create_dir(&dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(e).with_context(|| format!("cannot make {dir}"));
            }
            _ => {}
        }
        mount_namespace::enter_private()?;
        // Libcontainer reads the mount table as text, and fails at any mount that is none. All paths of a container are.
        mount_namespace::detach_unreadable()?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("sysbox", dir.as_path(), "tmpfs", flags, Some(c"mode=0711"))
            .with_context(|| format!("cannot mount a tmpfs at {dir}"))?;
        Ok(Self { dir, binds: std::cell::Cell::new(0) })
    }

    /// A new directory with this name, for a mount or for scratch.
    pub(crate) fn make_dir(&self, name: &str) -> anyhow::Result<AbsPath> {
        let path = self.path(name)?;
        fs::create_dir(&path).with_context(|| format!("cannot make {path}"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711))
            .with_context(|| format!("cannot open {path} to containers"))?;
        Ok(path)
    }

    /// A new place to mount `source` at: a directory if it is one, else a file.
    pub(crate) fn make_target_for(&self, source: &Path) -> anyhow::Result<AbsPath> {
        let number = self.binds.get();
        self.binds.set(number + 1);
        let name = format!("bind-{number}");
        if source.is_dir() {
            return self.make_dir(&name);
        }
        let path = self.path(&name)?;
        fs::write(&path, "").with_context(|| format!("cannot make {path}"))?;
        Ok(path)
    }

    /// A path in the private place. Nothing is made there.
    pub(crate) fn path(&self, name: &str) -> anyhow::Result<AbsPath> {
        Ok(AbsPath::new(self.dir.as_path().join(PathBuf::from(name)))?)
    }
}

/// Which mounts a bind mount takes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submounts {
    /// Those below the source (`rbind`).
    Taken,
    /// None (`bind`).
    Left,
}

/// Mounts `source` at `target` as it is.
pub(crate) fn bind(source: &AbsPath, target: &AbsPath, submounts: Submounts) -> anyhow::Result<()> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if submounts == Submounts::Taken {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(rustix::fs::CWD, source.as_path(), flags)
        .with_context(|| format!("cannot clone the mount of {source}"))?;
    move_mount(&tree, "", rustix::fs::CWD, target.as_path(), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .with_context(|| format!("cannot mount {source} at {target}"))
}
