//! Making volumes whole: a new one is filled from the rootfs, and an earlier one brought in line with its owners.
//!
//! A new volume has another name until it is whole, and no row before it has its own. An earlier one says itself how its
//! owners are, so that a shift that was broken off is gone on with by the next call.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    },
    time::SystemTime,
};

use sysbox_core::{
    AbsPath, ErrorKind, IdRange, MountKind, Owner, ShiftType,
    tree::{self, TreeIds},
};
use sysbox_host::{
    chown::{self as shift, Progress},
    mirror::{self, MirrorError, mirror},
    within,
};

use super::{ownership::Ownership, rootfs::Rootfs, rows::Volume};
use crate::{
    clone::chown_fault,
    error::{Fault, errno_of},
    files::below,
    ground::{Ground, Turn},
    progress::Work,
    step::step,
};

/// Makes a volume in the directory `all`, and fills it with what the rootfs has at its destination. Returns when they were the
/// same.
pub(super) fn make(
    ground: &Ground<'_>,
    turn: &Turn,
    ownership: Ownership,
    rootfs: &Rootfs,
    volume: &Volume,
    all: &AbsPath,
) -> Result<Option<SystemTime>, Fault> {
    let (new, path) = (below(all, &format!("new-{}", volume.name))?, below(all, &volume.name)?);
    let failed = |source: io::Error| Fault::files(format!("cannot have a volume made at {path}"), source);
    DirBuilder::new().mode(0o700).create(&new).map_err(failed)?;
    step("make a volume");
    let synced = sync_in(ground, turn, ownership, rootfs, volume, [&new, &path])?;
    step("fill a volume");
    give(ground, turn, ownership, rootfs, &new)?;
    fs::set_permissions(&new, Permissions::from_mode(mode(volume.kind))).map_err(failed)?;
    step("give a volume to its owner");
    fs::rename(&new, &path).map_err(failed)?;
    step("name a volume");
    Ok(synced)
}

/// The permissions of a volume's root directory.
const fn mode(kind: MountKind) -> u32 {
    match kind {
        MountKind::VarLibDocker | MountKind::VarLibContainerdOvfs => 0o700,
        _ => 0o755,
    }
}

/// Copies what the rootfs has at a volume's destination into a new directory, that is to be at `path`. Returns when they were
/// the same; `None` if the rootfs has nothing there.
fn sync_in(
    ground: &Ground<'_>,
    turn: &Turn,
    ownership: Ownership,
    rootfs: &Rootfs,
    volume: &Volume,
    [new, path]: [&AbsPath; 2],
) -> Result<Option<SystemTime>, Fault> {
    let destination = &volume.destination;
    let message =
        || format!("cannot have {destination} of its rootfs {} copied into the volume {path}", rootfs.path);
    let source = match within::open_dir(&rootfs.path, destination) {
        Ok(Some(source)) => source,
        Ok(None) => return Ok(None),
        Err(error) if errno_of(&error).is_none() => {
            tracing::warn!(container = %turn.id, %error, reason = ?error.source, "a volume begins empty");
            return Ok(None);
        }
        Err(error) => return Err(Fault::files(message(), error)),
    };
    let target = File::open(new).map_err(|error| Fault::files(message(), error))?;
    let tell = |now: mirror::Progress| ground.tell(turn, Work::SyncIn, path, now.entries, now.entries);
    let owners = ownership.sync_in(rootfs.record.as_ref());
    let options = mirror::Options { owners, unchanged_since: None, progress: &tell };
    mirror(source.as_fd(), target.as_fd(), &options).map_err(|error| mirror_fault(message(), error))?;
    // Its own files have changed until now, by being made.
    Ok(Some(mirror::clock_after_changes()))
}

/// Gives the root of a filled directory its owner, and the tree its record.
fn give(
    ground: &Ground<'_>,
    turn: &Turn,
    ownership: Ownership,
    rootfs: &Rootfs,
    new: &AbsPath,
) -> Result<(), Fault> {
    let give_to = |owner: Owner| {
        chown(new, Some(owner.uid.0), Some(owner.gid.0))
            .map_err(|source| Fault::files(format!("cannot have {new} given to {owner}"), source))
    };
    match ownership.on_disk().filter(|_| ownership.is_shifted()) {
        None => give_to(ownership.root(rootfs.owner)),
        // What was copied has the container's ids.
        Some(ids) if rootfs.record.as_ref().is_some_and(|record| record.ids != ids) => {
            give_to(Owner::new(0, 0))?;
            shift_to(ground, turn, new, ids)
        }
        Some(ids) => {
            give_to(ids.root())?;
            shift::adopt(new, &turn.id, ids).map_err(|error| chown_fault(new, error))
        }
    }
}

/// Brings the owners in an earlier volume in line with those of this run. `before` is the shift that it was given for.
pub(super) fn align(
    ground: &Ground<'_>,
    turn: &Turn,
    ownership: Ownership,
    before: ShiftType,
    path: &AbsPath,
) -> Result<(), Fault> {
    let record = || shift::record(path).map_err(|error| chown_fault(path, error));
    let mut found = record()?;
    if found.is_none() && before == ShiftType::NoShift && adopt_unrecorded(turn, ownership, path)? {
        found = record()?;
    }
    let is_as_before = found.is_none() && before == ShiftType::NoShift;
    if ownership.shift == ShiftType::NoShift && (is_as_before || ownership.ids.is_none()) {
        // Its owners are those that the rootfs has.
        return Ok(());
    }
    let plan = tree::plan(found.as_ref(), ownership.on_disk());
    if plan.revert {
        let tell = |now: Progress| ground.tell(turn, Work::Chown, path, now.done, now.total);
        shift::revert_tree(path, &tell).map_err(|error| chown_fault(path, error))?;
        step("shift a volume back");
    }
    if let Some(ids) = plan.shift {
        shift_to(ground, turn, path, ids)?;
        step("shift a volume");
    }
    Ok(())
}

/// Puts a volume that was filled from a rootfs with the host's ids on record as what it is: shifted to the ids from its owner on.
/// Returns whether that was to be done.
fn adopt_unrecorded(turn: &Turn, ownership: Ownership, path: &AbsPath) -> Result<bool, Fault> {
    let Some(ids) = ownership.ids else { return Ok(false) };
    let found = fs::metadata(path)
        .map_err(|source| Fault::files(format!("has an unusable volume {path}"), source))?;
    let range = |first: u32, like: IdRange| IdRange::new(first, like.count());
    let (Ok(uids), Ok(gids)) = (range(found.uid(), ids.uids), range(found.gid(), ids.gids)) else {
        return Ok(false);
    };
    let is_as_wanted = ownership.shift == ShiftType::NoShift && (TreeIds { uids, gids }) == ids;
    if is_as_wanted || found.uid() == 0 || found.gid() == 0 {
        return Ok(false);
    }
    shift::adopt(path, &turn.id, TreeIds { uids, gids }).map_err(|error| chown_fault(path, error))?;
    step("put a volume on record");
    Ok(true)
}

fn shift_to(ground: &Ground<'_>, turn: &Turn, path: &AbsPath, ids: TreeIds) -> Result<(), Fault> {
    let tell = |now: Progress| ground.tell(turn, Work::Chown, path, now.done, now.total);
    shift::shift_tree(path, &turn.id, ids, &tell).map_err(|error| chown_fault(path, error))?;
    Ok(())
}

/// What it means for a call that a tree could not be mirrored.
pub(super) fn mirror_fault(message: String, error: MirrorError) -> Fault {
    match error {
        MirrorError::RangeTooLow { .. } => {
            Fault::refused(ErrorKind::FailedPrecondition, format!("{message}: {error}"))
        }
        error => Fault::files(message, error),
    }
}
