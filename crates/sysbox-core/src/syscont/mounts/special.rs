//! Directories in which what runs in a system container keeps much, such as Docker's images: each gets a directory of the host's behind it.

mod config;

use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use self::config::Config;
use super::{list::is_bind, mark::Marks, places::can_be_given};
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

/// What the kernel keeps in memory.
const OF_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// File systems that an overlay can have its upper layer on (the kernel's `filesystems/overlayfs`: they have extended attributes
/// and valid `d_type`).
const UPPER_LAYERS: [&str; 7] = ["bcachefs", "btrfs", "ext4", "f2fs", "tmpfs", "xfs", "zfs"];

/// The special directories of a container, by the files of its rootfs that say where they are, else where they are by default.
/// Of two kinds at the same place the first has it. One that needs no directory of the host's is left out: below what the kernel keeps
/// in memory, and where a conversion may mount something itself.
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
        let is_new = directories.iter().all(|(_, other)| other.as_path() != directory.as_path());
        if is_new && has_room(directory.as_path()) {
            directories.push((kind, directory));
        }
    }
    Ok(directories)
}

/// Whether a manager can give a directory at a place.
fn has_room(place: &Path) -> bool {
    can_be_given(place) && !OF_KERNEL.iter().any(|kernels| place.starts_with(kernels))
}

/// Whether a special directory is below another one, and so a part of that: two volumes there would be one over the other.
fn is_part(directory: &AbsPath, directories: &[(MountKind, AbsPath)]) -> bool {
    let directory = directory.as_path();
    directories.iter().any(|(_, other)| directory != other.as_path() && directory.starts_with(other))
}

/// The special directories that a container needs something behind: those that its rootfs has, and all where the rootfs is on a file
/// system that can have no upper layer of an overlay, as overlayfs itself. Elsewhere an inner engine can as well make them in the rootfs.
/// One below another is a part of that one.
///
/// # Errors
/// As [`special_directories`], and when the host does not say what file system that is.
pub fn needed_directories(
    rootfs: &AbsPath,
    host: &dyn HostPort,
) -> Result<Vec<(MountKind, AbsPath)>, UnreadableConfig> {
    let mut needed = Vec::new();
    let takes_upper_layers = UPPER_LAYERS.contains(&host.file_system(rootfs)?.kind.as_str());
    let directories = special_directories(rootfs, host)?;
    for (kind, directory) in directories.iter().filter(|(_, directory)| !is_part(directory, &directories)) {
        if !takes_upper_layers || host.rootfs_has_directory(rootfs, directory)? {
            needed.push((*kind, directory.clone()));
        }
    }
    Ok(needed)
}

#[expect(clippy::expect_used, reason = "paths of the table above and of Config, which a test reads through")]
fn constant(path: &str) -> AbsPath {
    AbsPath::new(path).expect("paths of tables are absolute")
}

/// What is to be asked of the manager for these special directories. One that the spec mounts something at or above is not requested:
/// what the rootfs has there is not seen; nor is one below another. Of several mounts at a special directory the last is seen, and is
/// prepared if it is a bind mount. Mounts that the manager gave in an earlier conversion are none of the spec's.
///
/// # Errors
/// [`SpecError`] of `mounts[N].source` for a bind mount at a special directory whose source is no absolute path.
pub fn split_special(
    spec: &Spec,
    directories: &[(MountKind, AbsPath)],
    settings: &Settings,
) -> Result<Special, SpecError> {
    let places = places(spec, directories);
    let mut seen: Vec<(usize, &Mount)> = places.iter().filter_map(|place| place.seen).collect();
    seen.retain(|(_, mount)| is_bind(mount) && !is_skipped(mount.destination(), settings));
    seen.sort_unstable_by_key(|(index, _)| *index);
    let prepare = |(index, mount)| Ok(MountToPrepare { source: source(index, mount)?, exclusive: true });
    let prepared = seen.into_iter().map(prepare).collect::<Result<_, _>>()?;
    let requested = places
        .iter()
        .filter(|place| !place.is_covered && !is_part(place.directory, directories))
        .map(|place| MountRequest { kind: place.kind, destination: place.directory.clone() })
        .collect();
    Ok(Special { prepared, requested })
}

/// A special directory in a spec.
struct Place<'a> {
    kind: MountKind,
    directory: &'a AbsPath,
    /// Whether the spec mounts something at or above it.
    is_covered: bool,
    /// The last mount of the spec at it, by its number.
    seen: Option<(usize, &'a Mount)>,
}

fn places<'a>(spec: &'a Spec, directories: &'a [(MountKind, AbsPath)]) -> Vec<Place<'a>> {
    let is_special = |at: &Path| directories.iter().any(|(_, directory)| directory.as_path() == at);
    let marks = Marks::read(spec, is_special);
    let place = |(kind, directory): &'a (MountKind, AbsPath)| Place {
        kind: *kind,
        directory,
        is_covered: false,
        seen: None,
    };
    let mut places: Vec<Place<'a>> = directories.iter().map(place).collect();
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let destination = mount.destination().as_path();
        for place in &mut places {
            if !place.directory.as_path().starts_with(destination) || marks.has(mount) {
                continue;
            }
            place.is_covered = true;
            if place.directory.as_path() == destination {
                place.seen = Some((index, mount));
            }
        }
    }
    places
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
