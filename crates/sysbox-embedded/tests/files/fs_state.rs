//! The entries of a rootfs, asked for through the port.

use std::{fs, os::unix::fs::symlink};

use pollster::block_on;
use sysbox_core::{AbsPath, ErrorKind, FsEntry, FsStateRequest, MgrPort, PortError};
use sysbox_embedded::EmbeddedMgr;

use crate::support::{Host, Place, id, kind, start, stop};

fn ask(mgr: &EmbeddedMgr, rootfs: &AbsPath) -> Result<Vec<FsEntry>, PortError> {
    block_on(mgr.req_fs_state(&FsStateRequest { id: id("c"), rootfs: rootfs.clone() }))
}

#[test]
fn a_hostile_rootfs_gets_no_entries_and_no_wait() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = place.tree("rootfs", 0);
    start(&mgr, "c", &rootfs);
    let etc = place.dir("rootfs/etc");
    let file = etc.as_path().join("os-release");
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR).expect("writable");
    assert_eq!(ask(&mgr, &rootfs).expect("no wait for a writer"), []);
    for target in ["/dev/zero", "os-release", "/../../../../etc/os-release"] {
        fs::remove_file(&file).expect("there");
        symlink(target, &file).expect("writable");
        assert_eq!(ask(&mgr, &rootfs).expect("an answer"), [], "{target}");
    }
}

#[test]
fn a_stopped_container_is_told_and_an_unknown_one_is_not() {
    let place = Place::new();
    let mgr = place.open(Host::real());
    let rootfs = place.tree("rootfs", 0);
    assert_eq!(kind(ask(&mgr, &rootfs)), ErrorKind::NotFound);
    start(&mgr, "c", &rootfs);
    stop(&mgr, "c");
    ask(&mgr, &rootfs).expect("known");
}
