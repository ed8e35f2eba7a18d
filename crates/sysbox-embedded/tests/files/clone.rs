//! Clones of rootfs, through the port.

mod left;
mod life;
mod refused;

use std::process::Command;

use pollster::block_on;
use sysbox_core::{AbsPath, IdOffset, IdOffsets, MgrPort, PortError};
use sysbox_embedded::EmbeddedMgr;

use crate::support::{Place, id};

/// The clone of container `c`.
fn clone(mgr: &EmbeddedMgr) -> Result<AbsPath, PortError> {
    block_on(mgr.clone_rootfs(&id("c")))
}

/// Shifts the owners in it.
fn chown(mgr: &EmbeddedMgr, offset: u32) -> Result<(), PortError> {
    chown_by(mgr, offset.into(), offset.into())
}

fn chown_by(mgr: &EmbeddedMgr, uid: i64, gid: i64) -> Result<(), PortError> {
    let offset = |offset| IdOffset::new(offset).expect("in range");
    block_on(mgr.chown_cloned_rootfs(&id("c"), IdOffsets { uid: offset(uid), gid: offset(gid) }))
}

/// Shifts them back.
fn revert(mgr: &EmbeddedMgr) -> Result<(), PortError> {
    block_on(mgr.revert_cloned_rootfs_chown(&id("c")))
}

fn pause(mgr: &EmbeddedMgr) {
    block_on(mgr.pause(&id("c"))).expect("running");
}

fn resume(mgr: &EmbeddedMgr) {
    block_on(mgr.resume(&id("c"))).expect("paused");
}

/// Runs a shell command as the container's root in its root directory.
fn run_inside(clone: &AbsPath, first: u32, command: &str) {
    // Only root may enter the data root; a container begins with its root directory.
    let script = format!(
        "cd {clone} && exec setpriv --reuid {first} --regid {first} --clear-groups sh -c '{command}'"
    );
    let status = Command::new("sh").args(["-ec", &script]).status();
    assert!(status.expect("sh and setpriv of util-linux").success(), "{command}");
}

/// Checks that nothing of containers lies in the data root or is mounted there.
fn assert_nothing_left(place: &Place) {
    assert_eq!(place.leftovers(), [] as [std::path::PathBuf; 0]);
    assert_eq!(place.mounts("data"), [] as [String; 0]);
}
