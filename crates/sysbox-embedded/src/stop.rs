//! What a container's pause, going on and end mean for its files.
//!
//! While it runs, owners that cannot be mapped are shifted on disk; while it is paused or stopped, others may look at its rootfs
//! (`docker commit` pauses a container), so owners are as they were made and volumes are copied back.

use rusqlite::Connection;

use crate::{
    clone,
    error::Fault,
    ground::{Ground, Turn},
    marks, prepared,
    registry::ContainerNr,
    step::step,
    upper, volumes,
};

/// Shifts owners back and copies volumes into the rootfs, for a time.
pub(crate) fn pause(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    clone::unshift(ground, turn)?;
    step("unshift the clone");
    upper::unshift(ground, turn)?;
    step("unshift the upper layer");
    volumes::sync_out(ground, turn)
}

/// Shifts owners again.
pub(crate) fn resume(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    clone::shift_again(ground, turn)?;
    step("shift the clone");
    upper::shift_again(ground, turn)
}

/// Undoes what belonged to a run, and copies volumes into the rootfs.
pub(crate) fn stop(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    // Where the host went down, a call may have been in the middle of making these.
    volumes::discard_unlisted(ground, turn)?;
    clone::discard_unlisted(ground, turn)?;
    step("discard what was being made");
    marks::take_back(ground, turn)?;
    step("unmark");
    clone::unshift(ground, turn)?;
    step("unshift the clone");
    clone::detach(ground, turn)?;
    step("detach the clone");
    upper::unshift(ground, turn)?;
    step("unshift the upper layer");
    prepared::take_back(ground, turn)?;
    step("take back prepared sources");
    volumes::sync_out(ground, turn)
}

/// Notes that all of that is done.
pub(crate) fn note_stopped(db: &Connection, container: ContainerNr) -> Result<(), Fault> {
    clone::note_unshifted(db, container)?;
    upper::forget(db, container)
}
