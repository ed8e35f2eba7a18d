//! A clone of a rootfs on overlayfs by the manager, whose owners are shifted without copying any file up.
//!
//! It only saves time and room, so where the manager cannot make one the rootfs is chowned itself.

use anyhow::Context;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use sysbox::{
    AbsPath, ErrorKind, HostPort, IdOffset, IdOffsets, SessionError, ShiftType, Sysbox,
    blocking::wait,
    linux::{LinuxHost, chown},
    tree::TreeIds,
};

use crate::container::{Claim, Record};

/// Whether a rootfs that is to be shifted like this is better cloned: it is an overlay that would copy whole files up.
pub(super) fn is_wanted(
    sysbox: &Sysbox,
    rootfs: &AbsPath,
    shift: ShiftType,
    host: &LinuxHost,
) -> anyhow::Result<bool> {
    if shift != ShiftType::Chown || sysbox.mgr.config().no_rootfs_cloning {
        return Ok(false);
    }
    Ok(host.overlay_layers(rootfs)?.is_some_and(|layers| !layers.has_option("metacopy=on")))
}

/// Lets the manager clone the rootfs, and gives the clone's path; `None` where there can be none.
///
/// That the manager has it, and will shift the rootfs back, is on record before it begins.
pub(super) fn make(
    sysbox: &mut Sysbox,
    claim: &Claim,
    record: &mut Record,
) -> anyhow::Result<Option<AbsPath>> {
    record.cloned = true;
    claim.save(record)?;
    let made = match wait(sysbox.mgr.clone_rootfs()) {
        Ok(path) if is_mount_point(&path)? => Some(path),
        Ok(path) => {
            tracing::info!(%path, "the clone of the rootfs is mounted where this process does not see it; the rootfs is chowned");
            None
        }
        Err(error) if is_refusal(&error) => {
            tell_refusal(&error);
            None
        }
        Err(error) => return Err(error.into()),
    };
    if made.is_none() {
        unmake(claim, record)?;
    }
    Ok(made)
}

/// Lets the manager shift the owners in the clone. `false` where it cannot and has undone it: then there is no clone any more.
pub(super) fn chown(
    sysbox: &mut Sysbox,
    claim: &Claim,
    record: &mut Record,
    rootfs: &AbsPath,
    ids: TreeIds,
) -> anyhow::Result<bool> {
    match wait(sysbox.mgr.chown_cloned_rootfs(offsets(ids)?)) {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(&error) && chown::record(rootfs)?.is_none() => {
            tell_refusal(&error);
            unmake(claim, record)?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// From here on the rootfs is ours to shift back.
fn unmake(claim: &Claim, record: &mut Record) -> anyhow::Result<()> {
    record.cloned = false;
    Ok(claim.save(record)?)
}

/// From the ids that files are made with to the host's.
fn offsets(ids: TreeIds) -> anyhow::Result<IdOffsets> {
    let offset = |first: u32| IdOffset::new(i64::from(first)).context("the container's ids are none");
    Ok(IdOffsets { uid: offset(ids.uids.first())?, gid: offset(ids.gids.first())? })
}

/// Whether the manager answered, and that it cannot. Without an answer it is not known what it has done.
fn is_refusal(error: &SessionError) -> bool {
    let unanswered = |kind| {
        matches!(
            kind,
            ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::Cancelled | ErrorKind::NotFound
        )
    };
    error.port_error().is_some_and(|port| !unanswered(port.kind))
}

fn tell_refusal(error: &SessionError) {
    let kind = error.port_error().map(|port| port.kind);
    let error = crate::render::chain(error);
    if kind == Some(ErrorKind::Unimplemented) {
        tracing::debug!(error, "the rootfs is chowned");
    } else {
        tracing::info!(error, "the rootfs is chowned, and not cloned");
    }
}

/// Whether something is mounted exactly there (`statx(2)`).
fn is_mount_point(path: &AbsPath) -> anyhow::Result<bool> {
    let found = statx(CWD, path.as_path(), AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    match found {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno).with_context(|| format!("cannot look at {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sysbox::{Operation, PortError};

    #[test]
    fn a_mount_point_is_told_from_a_directory() {
        let path = |path: &str| AbsPath::new(path).expect("absolute");
        assert!(is_mount_point(&path("/proc")).expect("there"));
        assert!(!is_mount_point(&path("/proc/self")).expect("there"));
        assert!(!is_mount_point(&path("/nowhere")).expect("not there"));
    }

    #[test]
    fn only_an_answer_is_a_refusal() {
        let error = |kind| SessionError::Call {
            operation: Operation::CloneRootfs,
            container: "c1".parse().expect("valid"),
            source: PortError::new(Operation::CloneRootfs, kind, "told"),
        };
        for kind in
            [ErrorKind::Unimplemented, ErrorKind::FailedPrecondition, ErrorKind::Unknown, ErrorKind::Internal]
        {
            assert!(is_refusal(&error(kind)), "{kind:?}");
        }
        for kind in [ErrorKind::Unavailable, ErrorKind::DeadlineExceeded, ErrorKind::NotFound] {
            assert!(!is_refusal(&error(kind)), "{kind:?}");
        }
    }
}
