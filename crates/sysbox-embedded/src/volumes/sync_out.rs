//! Copying what volumes have back into the rootfs, when their container pauses or stops.
//!
//! Nothing is ever mirrored over something: where the volume or the rootfs is not there, or another rootfs has its path, or it has
//! no place for the volume, that is kept as it is and the rootfs too.

use std::{
    error::Error,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    time::SystemTime,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};
use sysbox_core::{AbsPath, ErrorKind, HostError, Owner, ShiftType, tree::TreePhase};
use sysbox_host::{
    chown,
    mirror::{self, mirror},
    within,
};

use super::{
    directory,
    fill::mirror_fault,
    identity::Identity,
    ownership,
    rootfs::{Rootfs, is_empty, is_mounted},
    rows::{self, Volume},
};
use crate::{
    clone::chown_fault,
    error::{Fault, errno_of},
    files::below,
    gone,
    ground::{Ground, Turn},
    progress::Work,
    registry,
    step::step,
};

/// The permissions of a directory that is made in the rootfs for what a volume has.
const MADE: u32 = 0o755;

/// Copies what volumes have back into the rootfs.
///
/// One that was not given for this run is left out: what the rootfs has in its place was written there by the container. Where the
/// rootfs is out of reach, volumes are kept and noted to be ahead of it.
///
/// # Errors
/// Whatever keeps one from being copied. It is kept; what was copied until then is whole, and another call goes on.
pub(crate) fn sync_out(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    copy_back(ground, turn, When::Stopping)
}

/// The same for volumes that could not be copied back when their container stopped, before they are removed.
pub(crate) fn sync_out_late(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    copy_back(ground, turn, When::Removing)
}

/// When volumes are copied back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// They are kept after that.
    Stopping,
    /// They go, so what only they have must be out of them.
    Removing,
}

fn copy_back(ground: &Ground<'_>, turn: &Turn, when: When) -> Result<(), Fault> {
    let container = ground.container(turn)?;
    let mut volumes = ground.store.read(|db| rows::all(db, turn.nr))?;
    let wanted = |volume: &Volume| when == When::Stopping || volume.synced.is_none();
    volumes.retain(|volume| volume.start == container.starts && wanted(volume));
    if volumes.is_empty() {
        return Ok(());
    }
    let rootfs = Rootfs::find(&container.rootfs)?.map(Rootfs::for_writing);
    let (mounted, now) = (is_mounted(&container.rootfs), Identity::of(&container.rootfs));
    let reach = |volume: &Volume| match &rootfs {
        Some(_) if now.is_some_and(|now| volume.is_of_other(now)) => Err(Away::Another),
        Some(rootfs) if mounted || !volume.mounted => Ok(rootfs),
        _ => Err(Away::NotThere),
    };
    for volume in &volumes {
        let path = below(&directory(turn)?, &volume.name)?;
        let synced = match reach(volume) {
            Ok(rootfs) => copy(ground, turn, rootfs, volume, &path, when)?,
            Err(away)
                if when == When::Removing
                    && !is_gone(ground, turn, &container.rootfs)?
                    && open(&path).is_ok_and(|there| there.is_some()) =>
            {
                return Err(away.refuse(&container.rootfs, &path));
            }
            Err(away) => {
                away.tell(turn, &container.rootfs, &path);
                None
            }
        };
        step("copy a volume back");
        ground.store.write(|db| rows::note_synced(db, turn.nr, &volume.name, synced))?;
        step("note a copy");
    }
    Ok(())
}

fn is_gone(ground: &Ground<'_>, turn: &Turn, rootfs: &AbsPath) -> Result<bool, Fault> {
    let disk = ground.store.read(|db| registry::disk(db, &turn.id))?;
    Ok(gone::rootfs_is_gone(rootfs, disk))
}

/// Why a rootfs is out of reach.
#[derive(Clone, Copy)]
enum Away {
    NotThere,
    /// Another one has its path.
    Another,
}

impl Away {
    /// Tells that nothing was copied.
    fn tell(self, turn: &Turn, rootfs: &AbsPath, path: &AbsPath) {
        match self {
            Self::NotThere => {
                tracing::info!(container = %turn.id, %rootfs, %path, "its rootfs is not there: a volume is kept and not copied back");
            }
            Self::Another => {
                tracing::warn!(container = %turn.id, %rootfs, %path, "its rootfs is another one by now: a volume is kept and not copied back");
            }
        }
    }

    /// Refuses to remove what is nowhere else.
    fn refuse(self, rootfs: &AbsPath, volume: &AbsPath) -> Fault {
        let (reason, advice) = match self {
            Self::NotThere => ("is not there now", "mount that"),
            Self::Another => ("is another one by now", "put its own back"),
        };
        let message = format!(
            "cannot be removed: its volume {volume} was not copied back, for its rootfs {rootfs} {reason}; \
             {advice} and try again, or remove the volume's directory if nobody needs it"
        );
        Fault::refused(ErrorKind::FailedPrecondition, message)
    }
}

/// Copies one volume back, and returns since when it and the rootfs are known to be the same; `None` if they are not.
fn copy(
    ground: &Ground<'_>,
    turn: &Turn,
    rootfs: &Rootfs,
    volume: &Volume,
    path: &AbsPath,
    when: When,
) -> Result<Option<SystemTime>, Fault> {
    let began = mirror::clock();
    let destination = &volume.destination;
    let message = || {
        let rootfs = &rootfs.path;
        format!(
            "cannot have its volume {path} copied into {destination} of its rootfs {rootfs}; the volume is kept"
        )
    };
    let Some(source) = open(path).map_err(|error| Fault::files(message(), error))? else {
        tracing::warn!(container = %turn.id, %path, "a volume is gone, and the rootfs keeps what it has");
        return Ok(None);
    };
    let kept = |reason: &(dyn Error + 'static)| {
        let rootfs = &rootfs.path;
        tracing::warn!(
            container = %turn.id, %path, %rootfs, %destination, reason,
            "a volume is kept and not copied back, for the rootfs does not take it"
        );
        Ok(None)
    };
    let target = match place(rootfs, volume, path) {
        Ok(Some(target)) => target,
        Ok(None) => return Ok(Some(began)),
        Err(error) if errno_of(&error).is_none() => return kept(&error),
        Err(error) if is_kept(errno_of(&error), when) => return kept(&error),
        Err(error) => return Err(Fault::files(message(), error)),
    };
    let record = chown::record(path).map_err(|error| chown_fault(path, error))?;
    let owners = ownership::sync_out(volume.shift, record.as_ref(), rootfs.record.as_ref());
    let tell = |now: mirror::Progress| ground.tell(turn, Work::SyncOut, path, now.entries, now.entries);
    let options = mirror::Options { owners, unchanged_since: volume.synced, progress: &tell };
    match mirror(source.as_fd(), target.as_fd(), &options) {
        Ok(report) if report.busy > 0 && when == When::Removing => Err(leased(path)),
        Ok(report) if report.busy > 0 => {
            tracing::warn!(container = %turn.id, %path, files = report.busy, "files that are leased are copied back by the next call");
            Ok(None)
        }
        Ok(report) => {
            if report.left_out_whiteouts > 0 {
                tracing::warn!(
                    container = %turn.id, %destination, rootfs = %rootfs.path, whiteouts = report.left_out_whiteouts,
                    "the rootfs is an overlay, which takes no whiteouts: images of an inner engine there show files that their layers \
                     had removed; remove them there, or have the rootfs or this directory on ext4, xfs or btrfs"
                );
            }
            Ok(Some(began))
        }
        Err(error) if is_kept(errno_of(&error), when) => kept(&error),
        Err(error) => Err(mirror_fault(message(), error)),
    }
}

/// Refuses to remove what others keep from being copied (`fcntl(2)`, `F_SETLEASE`).
fn leased(volume: &AbsPath) -> Fault {
    let message = format!(
        "cannot be removed: files of its volume {volume} are leased by another process; end that and try again"
    );
    Fault::refused(ErrorKind::FailedPrecondition, message)
}

/// Whether a refusal is no reason not to go on: the rootfs cannot be written to now, and the volume stays.
fn is_kept(errno: Option<Errno>, when: When) -> bool {
    when == When::Stopping && errno == Some(Errno::ROFS)
}

/// The directory of the rootfs that a volume is copied into. It is made if it is not there, unless there is nothing to copy.
///
/// # Errors
/// One without an error of the kernel where something else is in its place.
fn place(rootfs: &Rootfs, volume: &Volume, path: &AbsPath) -> Result<Option<OwnedFd>, HostError> {
    if let Some(found) = within::open_dir(rootfs.root(), &volume.destination)? {
        return Ok(Some(found));
    }
    let is_empty = is_empty(path).map_err(|error| HostError::new("read", path.to_string(), error))?;
    if is_empty {
        return Ok(None);
    }
    within::make_dir(rootfs.root(), &volume.destination, root_on_disk(rootfs, volume), MADE).map(Some)
}

/// The owner on disk of what the container's root makes in the rootfs.
fn root_on_disk(rootfs: &Rootfs, volume: &Volume) -> Owner {
    match &rootfs.record {
        Some(record) if record.phase == TreePhase::Shifted => record.ids.root(),
        None if volume.shift == ShiftType::NoShift => rootfs.owner,
        _ => Owner::new(0, 0),
    }
}

/// Opens the directory of a volume; `None` if it is not there.
fn open(path: &AbsPath) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(CWD, path.as_path(), flags, Mode::empty()) {
        Ok(found) => Ok(Some(found.into())),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
