//! Prepared sources of bind mounts: whom they belong to, and for how long.

mod alone;
mod shared;

use std::fs;

use pollster::block_on;
use sysbox_core::{
    AbsPath, ContainerId, HostGid, HostUid, IdRange, MgrPort, MountToPrepare, MountsToPrepare, Owner,
    PortError, tree::TreeIds,
};
use sysbox_embedded::EmbeddedMgr;
use sysbox_host::chown;

use crate::support::{SIZE, id};

/// Prepares sources for a container with this root.
fn prepare(mgr: &EmbeddedMgr, name: &str, first: u32, sources: &[&AbsPath]) -> Result<(), PortError> {
    prepare_as(mgr, name, first, sources, false)
}

fn prepare_as(
    mgr: &EmbeddedMgr,
    name: &str,
    first: u32,
    sources: &[&AbsPath],
    exclusive: bool,
) -> Result<(), PortError> {
    let mounts = sources.iter().map(|source| MountToPrepare { source: (*source).clone(), exclusive });
    let request =
        MountsToPrepare { id: id(name), uid: HostUid(first), gid: HostGid(first), mounts: mounts.collect() };
    block_on(mgr.prep_mounts(&request))
}

/// Shifts a tree of this owner's for a container that nobody knows any more.
fn leave_shifted(tree: &AbsPath, owner: u32, first: u32) {
    let range = IdRange::new(first, SIZE).expect("valid");
    let (gone, ids): (ContainerId, _) = (id("gone"), TreeIds { uids: range, gids: range });
    chown::shift_tree_from(tree, &gone, Owner::new(owner, owner), ids, &|_| ()).expect("shifted");
}

/// Checks that a tree of [`Place::tree`](crate::support::Place::tree) belongs to the container with this root.
fn assert_shifted(tree: &AbsPath, first: u32) {
    let owner = |below| crate::support::owner(tree, below);
    assert_eq!(owner(""), (first, first));
    assert_eq!(owner("dir"), (first, first));
    assert_eq!(owner("dir/next"), (first + 1, first + 1));
    assert_eq!(owner("roots"), (0, 0), "not of the owner's ids");
    assert_eq!(fs::read_to_string(tree.as_path().join("dir/next")).expect("readable"), "dir/next");
}
