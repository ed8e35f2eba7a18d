//! Directories in which what runs in a system container keeps much, such as Docker's images: each has a volume of the manager's
//! behind it, or what the spec mounts there, which the manager prepares.
//!
//! What the rootfs has there is in the volume, and what the container made of it is in the rootfs again when it has stopped. A
//! rootfs gets no directory that it did not have.

use std::path::Path;

use anyhow::Context;
use oci_spec::runtime::{Mount as SpecMount, MountBuilder, Spec};
use sysbox::{
    AbsPath, ErrorKind, HostGid, HostUid, Mount, MountKind, MountRequest, MountToPrepare, SessionError,
    ShiftType, Sysbox, blocking::wait, linux::within, tree::TreeIds,
};

use super::binds::{is_bind, source_of};

/// The directories, by default.
const DIRECTORIES: [(MountKind, &str); 7] = [
    (MountKind::VarLibDocker, "/var/lib/docker"),
    (MountKind::VarLibKubelet, "/var/lib/kubelet"),
    (MountKind::VarLibK0s, "/var/lib/k0s"),
    (MountKind::VarLibRancherK3s, "/var/lib/rancher/k3s"),
    (MountKind::VarLibRancherRke2, "/var/lib/rancher/rke2"),
    (MountKind::VarLibBuildkit, "/var/lib/buildkit"),
    (MountKind::VarLibContainerdOvfs, "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs"),
];

/// Lets the manager prepare the sources of the spec's own mounts at special directories. No other container should use them.
pub(super) fn prepare_sources(
    sysbox: &Sysbox,
    spec: &Spec,
    bundle: &AbsPath,
    ids: TreeIds,
) -> anyhow::Result<()> {
    let is_special =
        |mount: &&SpecMount| DIRECTORIES.iter().any(|(_, special)| mount.destination() == Path::new(special));
    let binds = spec.mounts().iter().flatten().filter(|mount| is_bind(mount)).filter(is_special);
    let prepared = |mount| Ok(MountToPrepare { source: source_of(mount, bundle)?, exclusive: true });
    let sources = binds.map(prepared).collect::<anyhow::Result<Vec<_>>>()?;
    if sources.is_empty() {
        return Ok(());
    }
    let root = ids.root();
    let (uid, gid) = (HostUid(root.uid.0), HostGid(root.gid.0));
    let answer = wait(sysbox.mgr.prep_mounts(uid, gid, sources));
    if_it_can(answer, "the sources of mounts at special directories are taken as they are")?;
    Ok(())
}

/// Asks for volumes behind the special directories that the rootfs has, and adds the mounts that the manager gives to the spec.
pub(super) fn add_volumes(
    sysbox: &Sysbox,
    spec: &mut Spec,
    rootfs: &AbsPath,
    shift: ShiftType,
) -> anyhow::Result<()> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    let mut wishes = Vec::new();
    for (kind, special) in DIRECTORIES {
        let destination = AbsPath::new(special)?;
        if !is_taken(&mounts, &destination) && is_directory(rootfs, &destination) {
            wishes.push(MountRequest { kind, destination });
        }
    }
    if wishes.is_empty() {
        return Ok(());
    }
    let answer = wait(sysbox.mgr.req_mounts(shift, wishes));
    let given = if_it_can(answer, "special directories are on the rootfs")?.unwrap_or_default();
    let is_read_only = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false)
        && !sysbox.mgr.config().relaxed_read_only;
    let of_spec = mounts.clone();
    for mount in given {
        if is_taken(&of_spec, &mount.destination) || !is_directory(rootfs, &mount.destination) {
            tracing::debug!(destination = %mount.destination, "left out: the spec mounts it, or the rootfs has no such directory");
            continue;
        }
        let at = place(&mounts, &mount.destination);
        mounts.insert(at, of_manager(mount, is_read_only)?);
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// The answer to a call that not every manager has.
fn if_it_can<T>(answer: Result<T, SessionError>, without: &str) -> Result<Option<T>, SessionError> {
    match answer {
        Err(error) if error.port_error().is_some_and(|port| port.kind == ErrorKind::Unimplemented) => {
            tracing::debug!(%error, "{without}");
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// Whether a mount of the spec is there, or above it: then what the rootfs has there is not seen.
fn is_taken(mounts: &[SpecMount], destination: &AbsPath) -> bool {
    mounts.iter().any(|mount| destination.as_path().starts_with(mount.destination()))
}

/// Whether the rootfs has a directory of this path. No symbolic link in it leads out.
fn is_directory(rootfs: &AbsPath, path: &AbsPath) -> bool {
    match within::open_dir(rootfs, path) {
        Ok(found) => found.is_some(),
        Err(error) => {
            tracing::warn!(%rootfs, %path, %error, "it gets no volume");
            false
        }
    }
}

/// Where a mount goes: behind those of the spec, but before what the spec mounts below it.
fn place(mounts: &[SpecMount], destination: &AbsPath) -> usize {
    let below = mounts.iter().position(|mount| mount.destination().starts_with(destination));
    below.unwrap_or(mounts.len())
}

/// A mount that the manager gives, for a spec.
fn of_manager(mount: Mount, is_read_only: bool) -> anyhow::Result<SpecMount> {
    let Mount { source, destination, kind, mut options } = mount;
    if is_read_only && !options.iter().any(|option| option == "ro") {
        options.retain(|option| option != "rw");
        options.push("ro".to_owned());
    }
    let built =
        MountBuilder::default().source(source).destination(destination).typ(kind).options(options).build();
    built.context("the manager gave a mount that a spec cannot have")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(destinations: &[&str]) -> Vec<SpecMount> {
        let mount = |destination: &&str| {
            let mount =
                MountBuilder::default().destination(*destination).typ("tmpfs").source("tmpfs").build();
            mount.expect("a mount")
        };
        destinations.iter().map(mount).collect()
    }

    fn docker() -> AbsPath {
        AbsPath::new("/var/lib/docker").expect("absolute")
    }

    #[test]
    fn a_mount_of_the_spec_takes_what_is_at_it_and_below_it() {
        for taken in ["/var/lib/docker", "/var/lib", "/var/lib/docker/"] {
            assert!(is_taken(&mounts(&["/proc", taken]), &docker()), "{taken}");
        }
        assert!(!is_taken(&mounts(&["/proc", "/var/lib/docker2", "/var/lib/docker/volumes"]), &docker()));
    }

    #[test]
    fn a_volume_is_mounted_last_but_before_what_is_mounted_in_it() {
        assert_eq!(place(&mounts(&["/proc", "/dev"]), &docker()), 2);
        assert_eq!(place(&mounts(&["/proc", "/var/lib/docker/volumes", "/dev"]), &docker()), 1);
    }

    #[test]
    fn in_a_read_only_rootfs_a_mount_is_read_only_once() {
        let given = |options: &[&str], is_read_only| {
            let options = options.iter().map(|option| (*option).to_owned()).collect();
            let (source, kind) = ("/volume".to_owned(), "bind".to_owned());
            let mount = of_manager(Mount { source, destination: docker(), kind, options }, is_read_only);
            mount.expect("a mount").options().clone().expect("it has some")
        };
        assert_eq!(given(&["rbind", "rw"], true), ["rbind", "ro"]);
        assert_eq!(given(&["rbind", "ro"], true), ["rbind", "ro"]);
        assert_eq!(given(&["rbind"], false), ["rbind"]);
    }

    #[test]
    fn only_directories_of_the_rootfs_get_a_volume() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("var/lib")).expect("made");
        let rootfs = AbsPath::new(dir.path()).expect("absolute");
        assert!(!is_directory(&rootfs, &docker()));
        std::os::unix::fs::symlink("/etc", dir.path().join("var/lib/docker")).expect("made");
        assert!(!is_directory(&rootfs, &docker()), "the link leads to what the rootfs does not have");
        std::fs::create_dir(dir.path().join("etc")).expect("made");
        assert!(is_directory(&rootfs, &docker()), "the link stays in the rootfs");
        std::fs::remove_file(dir.path().join("var/lib/docker")).expect("removed");
        std::fs::write(dir.path().join("var/lib/docker"), "").expect("written");
        assert!(!is_directory(&rootfs, &docker()), "a file is none");
    }
}
