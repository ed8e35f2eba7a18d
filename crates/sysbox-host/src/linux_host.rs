//! [`LinuxHost`]: the host that this process runs on.

#[cfg(test)]
mod tests;

use std::{fs, io, path::PathBuf};

use rustix::{
    fs::{Stat, stat, statfs},
    system::uname,
};
use sysbox_core::{
    AbsPath, HostError, HostPort, IdMappings, Owner,
    host::{Feature, FileSystem, KernelRelease, NamespaceId, OsRelease, OverlayLayers, Support},
    port::MOST_OF_ROOTFS_FILE,
    tree::TreeRecord,
};

use crate::{chown, error::failed, mountinfo, overlay, probe, userns, within};

/// The type of a file system of namespaces (`NSFS_MAGIC`, `linux/magic.h`).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// The host that this process runs on, as its kernel and file systems say.
///
/// Answers are fresh, save one: whether a file system can be ID-mapped is asked once for each.
#[derive(Debug)]
pub struct LinuxHost {
    root: PathBuf,
    id_mapped: probe::IdMappedCache,
}

impl LinuxHost {
    /// This host.
    pub fn new() -> Self {
        Self::with_root("/")
    }

    /// This host, with the files below `/proc`, `/sys` and `/etc` that are only read taken from below another directory, so
    /// that answers of other hosts can be had from copies of their files. What is tried is tried on this kernel.
    pub fn with_root(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), id_mapped: probe::IdMappedCache::default() }
    }

    /// The text of a file given from the root on; `None` if there is none.
    pub(crate) fn read(&self, file: &str) -> Result<Option<String>, HostError> {
        let path = self.root.join(file);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            // A directory on the way may be a file on a stranger's host: then there is no such file either.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(HostError::new("read", path.display().to_string(), error)),
        }
    }

    pub(crate) const fn id_mapped(&self) -> &probe::IdMappedCache {
        &self.id_mapped
    }
}

impl Default for LinuxHost {
    fn default() -> Self {
        Self::new()
    }
}

impl HostPort for LinuxHost {
    fn kernel_release(&self) -> Result<KernelRelease, HostError> {
        uname().release().to_string_lossy().parse().map_err(failed("read", "the kernel release"))
    }

    fn os_release(&self) -> Result<OsRelease, HostError> {
        for file in ["etc/os-release", "usr/lib/os-release"] {
            if let Some(text) = self.read(file)? {
                return text.parse().map_err(failed("read", self.root.join(file).display()));
            }
        }
        Err(HostError::new("read", "/etc/os-release", NoOsRelease))
    }

    fn sysctl(&self, name: &str) -> Result<Option<String>, HostError> {
        let is_part = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        };
        if !name.split('.').all(is_part) {
            return Err(HostError::new("read the sysctl", format!("{name:?}"), InvalidSysctl));
        }
        let value = self.read(&format!("proc/sys/{}", name.replace('.', "/")))?;
        Ok(value.map(|value| value.strip_suffix('\n').unwrap_or(&value).to_owned()))
    }

    fn file_system(&self, path: &AbsPath) -> Result<FileSystem, HostError> {
        let mount = mountinfo::of_path(path.as_path())?;
        let read_only = mount.is_read_only();
        let mount_point = AbsPath::new(mount.mount_point).map_err(failed("find the mount of", path))?;
        Ok(FileSystem { kind: mount.kind, mount_point, root: mount.root, read_only })
    }

    fn overlay_layers(&self, path: &AbsPath) -> Result<Option<OverlayLayers>, HostError> {
        Ok(overlay::mounted_at(path)?.map(|overlay| overlay.layers))
    }

    fn owner(&self, path: &AbsPath) -> Result<Owner, HostError> {
        let Stat { st_uid, st_gid, .. } = stat(path.as_path()).map_err(failed("look at", path))?;
        Ok(Owner::new(st_uid, st_gid))
    }

    fn namespace(&self, path: &AbsPath) -> Result<NamespaceId, HostError> {
        let ask = "identify the namespace";
        let file_system = statfs(path.as_path()).map_err(failed(ask, path))?.f_type;
        if file_system != NSFS_MAGIC {
            return Err(HostError::new(ask, path.to_string(), NotANamespace));
        }
        let Stat { st_dev, st_ino, .. } = stat(path.as_path()).map_err(failed(ask, path))?;
        Ok(NamespaceId { dev: st_dev, ino: st_ino })
    }

    fn id_mappings(&self, userns: &AbsPath) -> Result<(IdMappings, IdMappings), HostError> {
        userns::mappings_at(userns)
    }

    fn rootfs_file(&self, rootfs: &AbsPath, path: &AbsPath) -> Result<Option<Vec<u8>>, HostError> {
        within::read_file(rootfs, path, MOST_OF_ROOTFS_FILE)
    }

    fn rootfs_has_directory(&self, rootfs: &AbsPath, path: &AbsPath) -> Result<bool, HostError> {
        // A file in its place, or a loop of links on the way, is an error to who wants to open it.
        Ok(matches!(within::open_dir(rootfs, path), Ok(Some(_))))
    }

    fn tree_record(&self, path: &AbsPath) -> Result<Option<TreeRecord>, HostError> {
        chown::record_if_any(path).map_err(failed("read the shift record of", path))
    }

    fn probe(&self, feature: &Feature) -> Result<Support, HostError> {
        probe::probe(self, feature)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is neither that nor /usr/lib/os-release; install one, as os-release(5) says")]
struct NoOsRelease;

#[derive(Debug, thiserror::Error)]
#[error(
    "its name is not words of letters, digits, _ and - with dots between, such as user.max_user_namespaces"
)]
struct InvalidSysctl;

#[derive(Debug, thiserror::Error)]
#[error("it is no namespace; give a path such as /proc/1234/ns/net")]
struct NotANamespace;

/// Whether a file that lists names, one a line at its end, has one; as `/proc/filesystems` does.
pub(crate) fn lists(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.split_ascii_whitespace().next_back() == Some(name))
}
