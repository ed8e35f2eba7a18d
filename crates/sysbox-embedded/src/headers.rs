//! What a container needs of the host's kernel beside its own files: headers and modules, to build and look up modules with, and
//! `binfmt_misc`. It is given unasked, as far as the host has it.

#[cfg(test)]
mod tests;

use std::path::Path;

use sysbox_core::{
    AbsPath, ErrorKind, HostError, HostPort, Mount,
    host::{KernelRelease, OsRelease},
};

use crate::error::Fault;

/// Where `binfmt_misc` is mounted.
const BINFMT_MISC: &str = "/proc/sys/fs/binfmt_misc";

/// Distributions that keep the headers of a kernel as Fedora does.
const FEDORA_FAMILY: [&str; 7] = ["fedora", "rhel", "centos", "rocky", "almalinux", "amzn", "ol"];

/// The mounts that a container is given unasked, as far as this host has what is behind them: the headers of its kernel, and what
/// goes with them.
///
/// # Errors
/// [`HostError`] when the host does not say which kernel it runs.
pub fn kernel_mounts(host: &dyn HostPort) -> Result<Vec<Mount>, HostError> {
    Ok(of_release(&host.kernel_release()?, Path::new("/")))
}

/// The mounts of what the host has. `root` is the directory that its files are looked for in.
///
/// # Errors
/// When the host does not say which kernel it runs.
pub(crate) fn mounts(host: &dyn HostPort, root: &Path) -> Result<Vec<Mount>, Fault> {
    Ok(of_release(&release(host)?, root))
}

fn of_release(release: &KernelRelease, root: &Path) -> Vec<Mount> {
    let there = paths(release).into_iter().filter_map(|path| bind(root, &path));
    let mut mounts: Vec<Mount> = there.collect();
    // Earlier kernels have one `binfmt_misc` for all, that a container must not change.
    if release.at_least(6, 7) && is_directory(root, BINFMT_MISC) {
        mounts.extend(mount("binfmt_misc", BINFMT_MISC, "binfmt_misc", &["noexec", "nosuid", "nodev"]));
    }
    mounts
}

/// The release of the host's kernel.
pub(crate) fn release(host: &dyn HostPort) -> Result<KernelRelease, Fault> {
    host.kernel_release().map_err(|source| Fault::Host {
        kind: ErrorKind::Internal,
        message: "cannot be given the headers of the kernel, for its release is not known".to_owned(),
        source,
    })
}

/// Where a distribution keeps the headers of a kernel.
pub(crate) fn directory(distribution: &OsRelease, release: &KernelRelease) -> String {
    let mut names = distribution.id_like.iter().chain([&distribution.id]);
    if names.any(|name| FEDORA_FAMILY.contains(&name.as_str())) {
        format!("/usr/src/kernels/{release}")
    } else {
        format!("/usr/src/linux-headers-{release}")
    }
}

/// Whether there is such a directory on the host.
pub(crate) fn is_directory(root: &Path, path: &str) -> bool {
    on_host(root, path).is_dir()
}

/// Where headers and modules may be. Debian and Ubuntu keep what is the same for all flavours of a kernel apart, and the headers
/// of each lead there.
fn paths(release: &KernelRelease) -> Vec<String> {
    let headers = |name: &str| format!("/usr/src/linux-headers-{name}");
    let mut paths = vec![headers(release.as_str())];
    if let Some((version, _flavour)) = release.as_str().rsplit_once('-') {
        paths.extend([headers(version), headers(&format!("{version}-common"))]);
    }
    paths.extend([format!("/usr/src/kernels/{release}"), format!("/lib/modules/{release}")]);
    paths
}

/// A read-only mount of a directory of the host at the same path, if it is there.
fn bind(root: &Path, path: &str) -> Option<Mount> {
    if !is_directory(root, path) {
        return None;
    }
    let source = on_host(root, path);
    mount(source.to_str()?, path, "bind", &["rbind", "rprivate", "ro"])
}

fn mount(source: &str, destination: &str, kind: &str, options: &[&str]) -> Option<Mount> {
    Some(Mount {
        source: source.to_owned(),
        destination: AbsPath::new(destination).ok()?,
        kind: kind.to_owned(),
        options: options.iter().copied().map(str::to_owned).collect(),
    })
}

fn on_host(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}
