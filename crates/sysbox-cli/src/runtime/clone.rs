//! Who shifts a rootfs back of which the manager may make a clone: that is on record before either has begun.
//!
//! A clone only saves time and room, so where the manager cannot shift one the rootfs is chowned itself.

use anyhow::Context;
use sysbox::{
    AbsPath, ErrorKind, HostPort, IdOffset, IdOffsets, SessionError, Sysbox,
    blocking::wait,
    linux::{LinuxHost, chown},
    tree::TreeIds,
};

use crate::container::{Claim, Record};

/// Puts on record that the manager will shift the rootfs back, if the conversion of the spec can have it clone that: it has an
/// overlay there that would copy whole files up.
pub(super) fn expect(
    sysbox: &Sysbox,
    rootfs: &AbsPath,
    host: &LinuxHost,
    claim: &Claim,
    record: &mut Record,
) -> anyhow::Result<()> {
    let copies_up = host.overlay_layers(rootfs)?.is_some_and(|layers| layers.copies_up_whole_files());
    if copies_up && !sysbox.mgr.config().no_rootfs_cloning {
        record.cloned = true;
        claim.save(record)?;
    }
    Ok(())
}

/// Puts on record that there is no clone: from here on the rootfs is ours to shift back.
pub(super) fn is_none(claim: &Claim, record: &mut Record) -> anyhow::Result<()> {
    if record.cloned {
        record.cloned = false;
        claim.save(record)?;
    }
    Ok(())
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
        Err(error) if error.is_refusal() && chown::record(rootfs)?.is_none() => {
            tell_refusal(&error);
            is_none(claim, record)?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// From the ids that files are made with to the host's.
fn offsets(ids: TreeIds) -> anyhow::Result<IdOffsets> {
    let offset = |first: u32| IdOffset::new(i64::from(first)).context("the container's ids are none");
    Ok(IdOffsets { uid: offset(ids.uids.first())?, gid: offset(ids.gids.first())? })
}

/// Tells what the manager cannot do and the container does without.
pub(super) fn tell_refusal(error: &SessionError) {
    let kind = error.port_error().map(|port| port.kind);
    let error = crate::render::chain(error);
    if kind == Some(ErrorKind::Unimplemented) {
        tracing::debug!(error, "the container does without");
    } else {
        tracing::info!(error, "the container does without");
    }
}
