//! Gives a rootfs the shift that was decided, and undoes it.

use std::fs::File;

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use sysbox::{
    AbsPath, ContainerId, HostPort, IdMappings, ShiftType,
    linux::{
        LinuxHost,
        chown::{self, ChownError},
        overlay, rootfs as idmapped,
    },
    tree::{self, TreeIds},
};

use super::{
    Ground,
    mounts::{Submounts, bind},
    progress::with_bar,
};
use crate::{
    bundle::Bundle,
    container::{Containers, Record, Status},
    timings::Timings,
};

/// A rootfs in use: attached at a private place, and locked so that no other container shifts it meanwhile.
#[derive(Debug)]
pub(crate) struct Rootfs {
    /// Where it is for the container.
    pub(crate) attached: AbsPath,
    _lock: File,
}

/// Makes the owners in a rootfs right for a container with these ids, and attaches it.
pub(crate) fn give(
    ground: Ground<'_>,
    ids: TreeIds,
    shift: ShiftType,
    timings: &mut Timings,
) -> anyhow::Result<Rootfs> {
    let Ground { bundle, claim, wiring, mounts, .. } = ground;
    let (rootfs, id, containers) = (&bundle.rootfs, &claim.id, &wiring.containers);
    let wanted = (shift == ShiftType::Chown).then_some(ids);
    let exclusively =
        wanted.is_some() || chown::record(rootfs)?.is_some() || has_upper_layer(&wiring.host, rootfs)?;
    let Some(lock) = lock(rootfs, exclusively)? else {
        require_not_in_use(bundle, id, containers)?;
        bail!("rootfs {rootfs} is in use by another container; give each its own");
    };
    // Read again, since only now nobody else can change it.
    let plan = tree::plan(chown::record(rootfs)?.as_ref(), wanted);
    if exclusively {
        require_not_in_use(bundle, id, containers)?;
    } else if plan != tree::TreePlan::default() {
        bail!("rootfs {rootfs} is being chowned by another container; give each its own");
    }
    if plan.revert {
        timings.step("revert an earlier chown", || {
            with_bar("reverting", |progress| chown::revert_tree(rootfs, progress))
        })?;
    }
    if let Some(ids) = plan.shift {
        let report = timings.step("chown the rootfs", || {
            with_bar("chowning", |progress| chown::shift_tree(rootfs, id, ids, progress))
        })?;
        tracing::info!(%rootfs, inodes = report.inodes, changed = report.changed, "chowned");
    }
    let attached = mounts.make_dir("rootfs")?;
    timings.step("attach the rootfs", || match shift {
        ShiftType::IdMappedMount | ShiftType::IdMappedMountOrShiftfs => {
            let scratch = mounts.make_dir("scratch")?;
            let (uids, gids) = (IdMappings::single(ids.uids)?, IdMappings::single(ids.gids)?);
            Ok(idmapped::attach_idmapped(rootfs, &attached, &scratch, &uids, &gids)?)
        }
        ShiftType::NoShift | ShiftType::Chown | ShiftType::Shiftfs => {
            bind(rootfs, &attached, Submounts::Left)
        }
    })?;
    Ok(Rootfs { attached, _lock: lock })
}

/// Whether it is an overlay that can be written, which one container at a time can have: each would be given an overlay of its
/// own over the same upper layer.
fn has_upper_layer(host: &LinuxHost, rootfs: &AbsPath) -> anyhow::Result<bool> {
    Ok(host.overlay_layers(rootfs)?.is_some_and(|layers| layers.upper.is_some()))
}

/// Undoes what was done to a rootfs for this container: its chown, if it was chowned, and that an overlay mounted there does
/// not know what was written to its upper layer through the second, ID-mapped one.
pub(crate) fn take_back(rootfs: &AbsPath, id: &ContainerId) -> anyhow::Result<()> {
    if !rootfs.as_path().try_exists().with_context(|| format!("cannot look at rootfs {rootfs}"))? {
        return Ok(());
    }
    let is_chowned =
        || Ok::<_, ChownError>(chown::record(rootfs)?.is_some_and(|record| record.container == *id));
    if is_chowned()? {
        let Some(_lock) = lock(rootfs, true)? else {
            bail!("rootfs {rootfs} is in use by another container; end that first");
        };
        // Another container may have undone it meanwhile, and have chowned it for itself.
        if is_chowned()? {
            with_bar("reverting", |progress| chown::revert_tree(rootfs, progress))?;
        }
    }
    Ok(overlay::refresh(rootfs)?)
}

/// Refuses to change owners under a container that is alive, also one whose runtime, and the lock with it, is gone.
fn require_not_in_use(bundle: &Bundle, id: &ContainerId, containers: &Containers) -> anyhow::Result<()> {
    let uses_it = |other: &Record| other.id != id.as_str() && other.rootfs_identity == bundle.rootfs_identity;
    let mut others = containers.list()?.into_iter().filter(uses_it);
    if let Some(other) = others.find(|other| other.status() != Status::Stopped) {
        let rootfs = &bundle.rootfs;
        bail!("rootfs {rootfs} is in use by container {}; give this one a rootfs of its own", other.id);
    }
    Ok(())
}

/// Locks a rootfs for as long as the file is open; `None` if another process has it locked.
fn lock(rootfs: &AbsPath, exclusively: bool) -> anyhow::Result<Option<File>> {
    let dir = File::open(rootfs).with_context(|| format!("cannot open rootfs {rootfs}"))?;
    let operation = if exclusively {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    match flock(&dir, operation) {
        Ok(()) => Ok(Some(dir)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot lock rootfs {rootfs}")),
    }
}
