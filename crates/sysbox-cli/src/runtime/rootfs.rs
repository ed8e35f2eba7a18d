//! Gives a rootfs the shift that was decided, and undoes it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use sysbox::{
    AbsPath, ContainerId, HostPort, IdMappings, ShiftType,
    linux::{
        LinuxHost,
        chown::{self, ChownError},
        overlay, rootfs as idmapped,
    },
    session::SpecialDirectories,
    syscont::mounts::needed_directories,
    tree::{self, TreeIds},
};

use super::{
    Ground, PrivateMounts,
    mounts::{Submounts, bind},
    progress::with_bar,
};
use crate::{
    bundle::Bundle,
    container::{Containers, Record, Status},
    timings::Timings,
};

/// How long another process may have a rootfs before it is taken to be another container's.
const PATIENCE: Duration = Duration::from_secs(1);

/// A rootfs in use: as long as this lives no other container shifts it.
#[derive(Debug)]
pub(crate) struct Rootfs {
    lock: File,
}

/// Takes a rootfs into use for a container, before it is known how its owners are shifted; what an earlier container left of a
/// shift is undone.
///
/// A container has it alone that is to have a volume of something in it: at the end that takes the place of whatever is there then.
pub(crate) fn take(ground: Ground<'_>, timings: &mut Timings) -> anyhow::Result<Rootfs> {
    let Ground { bundle, claim, wiring, .. } = ground;
    let (rootfs, containers) = (&bundle.rootfs, &wiring.containers);
    let is_chowned = || Ok::<_, ChownError>(chown::record_if_any(rootfs)?.is_some());
    let exclusively = is_chowned()? || has_upper_layer(&wiring.host, rootfs)? || may_have_volumes(ground)?;
    let Some(lock) = lock_soon(rootfs, exclusively)? else {
        return Err(in_use(bundle, &claim.id, containers));
    };
    if exclusively {
        require_not_in_use(bundle, &claim.id, containers)?;
    }
    // Read again, since only now nobody else can change it.
    if is_chowned()? {
        if !exclusively {
            bail!("rootfs {rootfs} is being chowned by another container; give each its own");
        }
        timings.step("revert an earlier chown", || {
            with_bar("reverting", |progress| chown::revert_tree(rootfs, progress))
        })?;
    }
    Ok(Rootfs { lock })
}

/// Sees to it that no other container has a rootfs that was taken, since its owners are about to be changed.
pub(crate) fn take_alone(ground: Ground<'_>, taken: &Rootfs) -> anyhow::Result<()> {
    let Ground { bundle, claim, wiring, .. } = ground;
    match flock(&taken.lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            require_not_in_use(bundle, &claim.id, &wiring.containers)?;
            // The kernel gives the shared lock up before it gives the other one.
            if chown::record_if_any(&bundle.rootfs)?.is_some() {
                return Err(in_use(bundle, &claim.id, &wiring.containers));
            }
            Ok(())
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Err(in_use(bundle, &claim.id, &wiring.containers)),
        Err(e) => Err(e).with_context(|| format!("cannot lock rootfs {}", bundle.rootfs)),
    }
}

/// Whether the manager may be asked for volumes that are copied back into the rootfs.
fn may_have_volumes(ground: Ground<'_>) -> anyhow::Result<bool> {
    if ground.special_directories == SpecialDirectories::Left {
        return Ok(false);
    }
    Ok(!needed_directories(&ground.bundle.rootfs, &*ground.wiring.host)?.is_empty())
}

/// That a rootfs is another container's, by its name where that is known.
fn in_use(bundle: &Bundle, id: &ContainerId, containers: &Containers) -> anyhow::Error {
    let by_name = require_not_in_use(bundle, id, containers).err();
    by_name.unwrap_or_else(|| {
        anyhow::anyhow!("rootfs {} is in use by another container; give each its own", bundle.rootfs)
    })
}

/// Chowns a rootfs that was taken, unless it was found chowned to these ids.
pub(crate) fn chown(ground: Ground<'_>, ids: TreeIds, timings: &mut Timings) -> anyhow::Result<()> {
    let (rootfs, id) = (&ground.bundle.rootfs, &ground.claim.id);
    if let Some(ids) = tree::plan(chown::record(rootfs)?.as_ref(), Some(ids)).shift {
        let report = timings.step("chown the rootfs", || {
            with_bar("chowning", |progress| chown::shift_tree(rootfs, id, ids, progress))
        })?;
        tracing::info!(%rootfs, inodes = report.inodes, changed = report.changed, "chowned");
    }
    Ok(())
}

/// Attaches the rootfs, or its clone, at a private place, which is given.
pub(crate) fn attach(
    mounts: &PrivateMounts,
    tree: &AbsPath,
    ids: TreeIds,
    shift: ShiftType,
) -> anyhow::Result<AbsPath> {
    let attached = mounts.make_dir("rootfs")?;
    match shift {
        ShiftType::IdMappedMount | ShiftType::IdMappedMountOrShiftfs => {
            let scratch = mounts.make_dir("scratch")?;
            let (uids, gids) = (IdMappings::single(ids.uids)?, IdMappings::single(ids.gids)?);
            idmapped::attach_idmapped(tree, &attached, &scratch, &uids, &gids)?;
        }
        ShiftType::NoShift | ShiftType::Chown | ShiftType::Shiftfs => {
            bind(tree, &attached, Submounts::Left)?;
        }
    }
    Ok(attached)
}

/// Whether it is an overlay that can be written, which one container at a time can have: each would be given an overlay of its
/// own over the same upper layer.
fn has_upper_layer(host: &LinuxHost, rootfs: &AbsPath) -> anyhow::Result<bool> {
    Ok(host.overlay_layers(rootfs)?.is_some_and(|layers| layers.upper.is_some()))
}

/// Undoes what was done to a rootfs for the container of this record: its chown, if it was chowned, and that an overlay mounted there
/// does not know what was written to its upper layer through the second, ID-mapped one. What a manager did to a clone of it is
/// the manager's to undo.
pub(crate) fn take_back(rootfs: &AbsPath, record: &Record, containers: &Containers) -> anyhow::Result<()> {
    if !rootfs.as_path().try_exists().with_context(|| format!("cannot look at rootfs {rootfs}"))? {
        return Ok(());
    }
    let is_chowned = || {
        Ok::<_, ChownError>(
            chown::record_if_any(rootfs)?.is_some_and(|found| found.container.as_str() == record.id),
        )
    };
    let lock = lock(rootfs, true)?;
    if is_chowned()? {
        if lock.is_none() {
            bail!("rootfs {rootfs} is in use by another container; end that first");
        }
        // Another container may have undone it meanwhile, and have chowned it for itself.
        if is_chowned()? {
            with_bar("reverting", |progress| chown::revert_tree(rootfs, progress))?;
        }
    }
    // What another container has by now is its own.
    if lock.is_none() || user(&record.id, record.rootfs_identity, containers)?.is_some() {
        return Ok(overlay::refresh(rootfs)?);
    }
    Ok(idmapped::tidy_idmapped(rootfs)?)
}

/// The device and inode of a rootfs; `None` if it is not there.
pub(super) fn identity(rootfs: &AbsPath) -> anyhow::Result<Option<(u64, u64)>> {
    match fs::metadata(rootfs) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot look at rootfs {rootfs}")),
    }
}

/// Locks the rootfs of the container of this record, which has ended, for as long as the file is open; `None` if another container is in it.
pub(super) fn alone(
    rootfs: &AbsPath,
    record: &Record,
    containers: &Containers,
) -> anyhow::Result<Option<File>> {
    let Some(lock) = lock(rootfs, true)? else { return Ok(None) };
    Ok(user(&record.id, record.rootfs_identity, containers)?.is_none().then_some(lock))
}

/// Refuses to change owners under a container that is alive, also one whose runtime, and the lock with it, is gone.
fn require_not_in_use(bundle: &Bundle, id: &ContainerId, containers: &Containers) -> anyhow::Result<()> {
    if let Some(other) = user(id.as_str(), bundle.rootfs_identity, containers)? {
        let rootfs = &bundle.rootfs;
        bail!("rootfs {rootfs} is in use by container {}; give this one a rootfs of its own", other.id);
    }
    Ok(())
}

/// Another container than this one that is alive in a rootfs.
fn user(id: &str, rootfs: (u64, u64), containers: &Containers) -> anyhow::Result<Option<Record>> {
    let uses_it = |other: &Record| other.id != id && other.rootfs_identity == rootfs;
    let mut others = containers.list()?.into_iter().filter(uses_it);
    Ok(others.find(|other| other.status() != Status::Stopped))
}

/// Locks a rootfs as [`lock`] does. Who cleans up after a container has it for a moment, which is waited for.
fn lock_soon(rootfs: &AbsPath, exclusively: bool) -> anyhow::Result<Option<File>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let locked = lock(rootfs, exclusively)?;
        if locked.is_some() || Instant::now() > deadline {
            return Ok(locked);
        }
        thread::sleep(Duration::from_millis(20));
    }
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
