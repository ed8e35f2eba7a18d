//! Directories in which what runs in a system container keeps much, such as Docker's images: each gets a directory of the host's behind it.

mod config;

use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use self::config::Config;
use super::{list::is_bind, mark::Marks};
use crate::{
    AbsPath, HostError, HostPort, MountKind, MountRequest, MountToPrepare,
    syscont::{Settings, SpecError},
};

/// What a manager is asked for the special directories of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// Sources of what the spec itself mounts at special directories, for `Mgr::prep_mounts`.
    pub prepared: Vec<MountToPrepare>,
    /// The special directories that the spec mounts nothing at, for `Mgr::req_mounts`.
    pub requested: Vec<MountRequest>,
}

/// A file of a rootfs that says where a special directory is, and cannot be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnreadableConfig {
    /// The host could not read it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It is not what it should be.
    #[error("{file} in rootfs {rootfs} is {found}; {rule}")]
    Content {
        /// The root directory.
        rootfs: AbsPath,
        /// The file, as seen inside.
        file: &'static str,
        /// What is in it.
        found: String,
        /// What should be.
        rule: String,
    },
}

/// The kinds of special directories, where each is by default, and what in the rootfs can say otherwise; by the kinds' numbers.
const DIRECTORIES: [(MountKind, &str, Option<Config>); 7] = [
    (MountKind::VarLibDocker, "/var/lib/docker", Some(Config::DOCKER)),
    (MountKind::VarLibKubelet, "/var/lib/kubelet", None),
    (MountKind::VarLibK0s, "/var/lib/k0s", None),
    (MountKind::VarLibRancherK3s, "/var/lib/rancher/k3s", Some(Config::K3S)),
    (MountKind::VarLibRancherRke2, "/var/lib/rancher/rke2", Some(Config::RKE2)),
    (MountKind::VarLibBuildkit, "/var/lib/buildkit", None),
    (MountKind::VarLibContainerdOvfs, "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs", None),
];

/// The special directories of a container, by the files of its rootfs that say where they are, else where they are by default.
/// Of two kinds at the same place the first has it, and one below another is a part of that one.
///
/// # Errors
/// [`UnreadableConfig`] when such a file cannot be read, is not in its format, or names what cannot be a special directory.
pub fn special_directories(
    rootfs: &AbsPath,
    host: &dyn HostPort,
) -> Result<Vec<(MountKind, AbsPath)>, UnreadableConfig> {
    let mut directories: Vec<(MountKind, AbsPath)> = Vec::with_capacity(DIRECTORIES.len());
    for (kind, default, config) in DIRECTORIES {
        let configured = config.map(|config| config.directory(rootfs, host)).transpose()?.flatten();
        let directory = configured.unwrap_or_else(|| constant(default));
        if directories.iter().all(|(_, other)| other.as_path() != directory.as_path()) {
            directories.push((kind, directory));
        }
    }
    let all = directories.clone();
    let is_below =
        |directory: &AbsPath, other: &AbsPath| directory != other && directory.as_path().starts_with(other);
    directories.retain(|(_, directory)| !all.iter().any(|(_, other)| is_below(directory, other)));
    Ok(directories)
}

#[expect(clippy::expect_used, reason = "paths of the table above and of Config, which a test reads through")]
fn constant(path: &str) -> AbsPath {
    AbsPath::new(path).expect("paths of tables are absolute")
}

/// What is to be asked of the manager for these special directories. One that the spec mounts something at or above is not requested:
/// what the rootfs has there is not seen. Mounts that the manager gave in an earlier conversion are none of the spec's.
///
/// # Errors
/// [`SpecError`] of `mounts[N].source` for a bind mount at a special directory whose source is no absolute path.
pub fn split_special(
    spec: &Spec,
    directories: &[(MountKind, AbsPath)],
    settings: &Settings,
) -> Result<Special, SpecError> {
    let marks = Marks::read(spec);
    let mut requested: Vec<&(MountKind, AbsPath)> = directories.iter().collect();
    let mut prepared = Vec::new();
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let destination = mount.destination();
        let is_over = |directory: &AbsPath| directory.as_path().starts_with(destination);
        if !directories.iter().any(|(_, directory)| is_over(directory)) || marks.has(mount) {
            continue;
        }
        requested.retain(|(_, directory)| !is_over(directory));
        let is_special = directories.iter().any(|(_, directory)| directory.as_path() == destination);
        if is_special && is_bind(mount) && !is_skipped(destination, settings) {
            prepared.push(MountToPrepare { source: source(index, mount)?, exclusive: true });
        }
    }
    let request = |(kind, directory): &(MountKind, AbsPath)| MountRequest {
        kind: *kind,
        destination: directory.clone(),
    };
    Ok(Special { prepared, requested: requested.into_iter().map(request).collect() })
}

/// Whether the user wants nothing shifted there.
fn is_skipped(destination: &Path, settings: &Settings) -> bool {
    settings.skip_uid_shift.iter().any(|skipped| destination.starts_with(skipped))
}

fn source(index: usize, mount: &Mount) -> Result<AbsPath, SpecError> {
    let field = || format!("mounts[{index}].source");
    let rule = "a bind mount at a special directory needs the absolute path of what it shows";
    let source = mount.source().as_ref().ok_or_else(|| SpecError::new(field(), "missing", rule))?;
    AbsPath::new(source).map_err(|e| SpecError::new(field(), format!("{source:?}"), e.to_string()))
}

#[cfg(test)]
mod tests;
