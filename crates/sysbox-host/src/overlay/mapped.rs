//! An overlay whose layers are all ID-mapped, the upper one too.
//!
//! overlayfs takes ID-mapped layers by path only, in the mount namespace of whoever mounts it, and makes its work directory
//! as that thread: the host's root, which the mapping does not know, gets `EOVERFLOW` there, and the overlay comes out
//! read-only. So it is mounted from a thread that has a mount namespace to attach the layers in and the file ids of the
//! mapped root; both end with it, and the overlay keeps the layers.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, mkdirat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsmount, fsopen,
        move_mount,
    },
    process::fchdir,
};
use sysbox_core::{AbsPath, HostError, IdMappings, Owner, host::OverlayLayers};

use super::context;
use crate::{
    error::failed,
    fs_identity,
    idmap::{Depth, mapped_clone},
    mount_namespace::on_private_thread,
    mountinfo,
    userns::UserNamespace,
};

/// Makes the overlay and gives its detached mount.
pub(super) fn create(
    layers: &OverlayLayers,
    attributes: MountAttrFlags,
    scratch: &AbsPath,
    uids: &IdMappings,
    gids: &IdMappings,
) -> Result<OwnedFd, HostError> {
    let root = mapped_root(uids, gids)?;
    on_private_thread(|| {
        let userns = UserNamespace::new(uids, gids)?;
        // First every clone, as the scratch mount may hide the paths of layers.
        let clones = Clones::new(layers, &userns)?;
        let layers = OverlayLayers { options: layers.options.clone(), ..clones.attach(scratch)? };
        fs_identity::with(root, || context::create(&layers, attributes))
    })
}

fn mapped_root(uids: &IdMappings, gids: &IdMappings) -> Result<Owner, HostError> {
    match (uids.to_host(0), gids.to_host(0)) {
        (Some(uid), Some(gid)) => Ok(Owner::new(uid, gid)),
        _ => Err(HostError::new("ID-map", "an overlay", NoRoot)),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the mappings give no host ids for user 0 and group 0 of the container; map both")]
struct NoRoot;

/// Detached ID-mapped clones of the layers.
struct Clones {
    lower: Vec<OwnedFd>,
    data: Vec<OwnedFd>,
    /// The upper layer and the work directory must be on one mount: that of the directory they have in common.
    upper: Option<Upper>,
}

struct Upper {
    parent: OwnedFd,
    upper: PathBuf,
    work: PathBuf,
}

impl Clones {
    fn new(layers: &OverlayLayers, userns: &UserNamespace) -> Result<Self, HostError> {
        let clone = |path: &Path| {
            mapped_clone(CWD, path, userns, Depth::One).map_err(failed("ID-map the layer", path.display()))
        };
        let all = |paths: &[PathBuf]| paths.iter().map(|path| clone(path)).collect::<Result<_, _>>();
        let upper = common_parent(layers)?
            .map(|CommonParent { parent, upper, work }| Ok(Upper { parent: clone(&parent)?, upper, work }))
            .transpose()?;
        Ok(Self { lower: all(&layers.lower)?, data: all(&layers.data)?, upper })
    }

    /// Attaches them on a fresh tmpfs at `scratch`, makes that the working directory, and gives their paths from there:
    /// short ones, so that even a kernel that takes them only as one list takes many.
    fn attach(self, scratch: &AbsPath) -> Result<OverlayLayers, HostError> {
        let tmpfs = new_tmpfs().map_err(failed("mount", "a tmpfs"))?;
        move_mount(&tmpfs, "", CWD, scratch.as_path(), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(failed("attach a tmpfs at", scratch))?;
        fchdir(&tmpfs).map_err(failed("change to the tmpfs at", scratch))?;
        let mut next = 0..;
        let mut attach = |mount: OwnedFd| -> Result<PathBuf, HostError> {
            let name = next.next().unwrap_or_default().to_string();
            mkdirat(CWD, &name, Mode::RWXU)
                .and_then(|()| move_mount(&mount, "", CWD, &name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH))
                .map_err(failed("attach a layer below", scratch))?;
            Ok(name.into())
        };
        let lower = self.lower.into_iter().map(&mut attach).collect::<Result<_, _>>()?;
        let data = self.data.into_iter().map(&mut attach).collect::<Result<_, _>>()?;
        let mut layers = OverlayLayers { lower, data, upper: None, work: None, options: Vec::new() };
        if let Some(Upper { parent, upper, work }) = self.upper {
            let parent = attach(parent)?;
            layers.upper = Some(parent.join(upper));
            layers.work = Some(parent.join(work));
        }
        Ok(layers)
    }
}

fn new_tmpfs() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// The nearest directory above both the upper layer and the work directory, and both as seen from there.
pub(crate) struct CommonParent {
    pub(crate) parent: PathBuf,
    upper: PathBuf,
    work: PathBuf,
}

/// Finds it, if there is an upper layer.
///
/// # Errors
/// When the directories are not there, or are not on the mount of their common parent.
pub(crate) fn common_parent(layers: &OverlayLayers) -> Result<Option<CommonParent>, HostError> {
    let (Some(upper), Some(work)) = (&layers.upper, &layers.work) else { return Ok(None) };
    let resolve = |path: &Path| path.canonicalize().map_err(failed("resolve", path.display()));
    let (upper, work) = (resolve(upper)?, resolve(work)?);
    let parent: PathBuf =
        upper.components().zip(work.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    let mount = |path: &Path| mountinfo::of_path(path).map(|mount| mount.id);
    if mount(&upper)? != mount(&parent)? || mount(&work)? != mount(&parent)? {
        return Err(HostError::new("ID-map the upper layer", upper.display().to_string(), NotOnOneMount));
    }
    let below = |path: &Path| path.strip_prefix(&parent).unwrap_or(path).to_path_buf();
    Ok(Some(CommonParent { upper: below(&upper), work: below(&work), parent }))
}

#[derive(Debug, thiserror::Error)]
#[error(
    "it and its work directory are not on the mount of the directory that they have in common; put both there"
)]
struct NotOnOneMount;
