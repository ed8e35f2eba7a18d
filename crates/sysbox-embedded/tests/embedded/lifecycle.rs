//! Which calls are taken in which state.

use std::error::Error;

use pollster::block_on;
use sysbox_core::{
    ErrorKind, FsStateRequest, HostGid, HostUid, IdMappings, IdOffsets, MgrPort, MountKind, MountRequest,
    MountRequests, MountsToPrepare, Registration, ShiftType, ShiftfsMarks, Update,
};
use sysbox_embedded::ContainerState;

use crate::manager::{
    Place, SIZE, abs, alloc, id, kind, mappings, range, record, register, registration, remove, running,
    start, stop,
};

#[test]
fn a_registered_container_cannot_be_registered_again_before_it_stops() {
    let place = Place::new();
    let mgr = place.open();
    let config = register(&mgr, "c").expect("a new container");
    assert!(config.idmap_mount_ok && config.overlayfs_on_idmap_mount_ok && config.shiftfs_ok);
    assert!(config.userns.is_none() && config.uid_mappings.is_empty());
    assert_eq!(kind(register(&mgr, "c")), ErrorKind::AlreadyExists);
    block_on(mgr.pause(&id("c"))).expect("running");
    assert_eq!(kind(register(&mgr, "c")), ErrorKind::AlreadyExists);
    stop(&mgr, "c");
    register(&mgr, "c").expect("a restart");
    assert_eq!(record(&mgr, "c").starts, 2);
}

#[test]
fn a_restarted_container_is_told_its_mappings_and_shift_and_gets_the_same_ids() {
    let place = Place::new();
    let first = start(&place.open(), "c");
    stop(&place.open(), "c");
    let mgr = place.open();
    let config = register(&mgr, "c").expect("a restart");
    assert_eq!(config.rootfs_shift, ShiftType::Chown);
    assert_eq!((config.uid_mappings, config.gid_mappings), (mappings(first, SIZE), mappings(first, SIZE)));
    assert_eq!(alloc(&mgr, "c", SIZE).expect("the same"), (first, first));
    assert_eq!(kind(alloc(&mgr, "c", SIZE + 1)), ErrorKind::InvalidArgument);
}

#[test]
fn a_container_pauses_only_when_running_and_resumes_only_when_paused() {
    let place = Place::new();
    let mgr = place.open();
    start(&mgr, "c");
    assert_eq!(kind(block_on(mgr.resume(&id("c")))), ErrorKind::FailedPrecondition);
    block_on(mgr.pause(&id("c"))).expect("running");
    assert_eq!(record(&mgr, "c").state, ContainerState::Paused);
    assert_eq!(kind(block_on(mgr.pause(&id("c")))), ErrorKind::FailedPrecondition);
    block_on(mgr.resume(&id("c"))).expect("paused");
    block_on(mgr.pause(&id("c"))).expect("running");
    stop(&mgr, "c");
    assert_eq!(record(&mgr, "c").state, ContainerState::Stopped);
    assert_eq!(kind(block_on(mgr.resume(&id("c")))), ErrorKind::FailedPrecondition);
}

#[test]
fn a_container_is_removed_only_when_stopped_and_nothing_is_left_of_it() {
    let place = Place::with_slots(1);
    let mgr = place.open();
    let first = start(&mgr, "c");
    assert_eq!(kind(block_on(mgr.remove(&id("c")))), ErrorKind::FailedPrecondition);
    stop(&mgr, "c");
    assert_eq!(kind(block_on(mgr.unregister(&id("c")))), ErrorKind::FailedPrecondition);
    assert_eq!(kind(block_on(mgr.update(&running("c", first)))), ErrorKind::FailedPrecondition);
    remove(&mgr, "c");
    assert!(mgr.list().expect("readable").is_empty());
    assert_eq!(mgr.subid_pools().expect("readable").uids.used, 0);
    start(&mgr, "other");
}

#[test]
fn an_update_keeps_what_is_known_and_takes_the_shift() {
    let place = Place::new();
    let mgr = place.open();
    let first = start(&mgr, "c");
    let other = Update { rootfs_shift: ShiftType::IdMappedMount, ..running("c", first + 10 * SIZE) };
    block_on(mgr.update(&other)).expect("registered");
    block_on(mgr.update(&other)).expect("again");
    let record = record(&mgr, "c");
    assert_eq!((record.uids, record.rootfs_shift), (Some(range(first, SIZE)), ShiftType::IdMappedMount));
}

#[test]
fn mappings_to_the_hosts_root_are_refused_and_change_nothing() {
    let place = Place::new();
    let mgr = place.open();
    let request = Registration { uid_mappings: mappings(0, 10), ..registration("c") };
    assert_eq!(kind(block_on(mgr.register(&request))), ErrorKind::InvalidArgument);
    let request = Registration { gid_mappings: mappings(0, 10), ..registration("c") };
    assert_eq!(kind(block_on(mgr.register(&request))), ErrorKind::InvalidArgument);
    assert!(mgr.list().expect("readable").is_empty());
    register(&mgr, "c").expect("a new container");
    assert_eq!(kind(block_on(mgr.update(&running("c", 0)))), ErrorKind::InvalidArgument);
    assert_eq!(record(&mgr, "c").uids, None);
}

#[test]
fn an_unknown_container_is_not_found_by_any_call() {
    let place = Place::new();
    let mgr = place.open();
    for (call, outcome) in every_call_but_register(&mgr, "nobody") {
        let error = outcome.expect_err(call);
        assert_eq!(error.kind, ErrorKind::NotFound, "{call}");
        assert!(error.to_string().contains("nobody"), "{error}");
    }
}

#[test]
fn the_namespace_to_join_must_be_there() {
    let place = Place::new();
    let mgr = place.open();
    let request = Registration { netns: Some(abs("/nonexistent/net")), ..registration("c") };
    let error = block_on(mgr.register(&request)).expect_err("no such namespace");
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("/nonexistent/net") && error.source().is_some(), "{error}");
    assert!(mgr.list().expect("readable").is_empty());
}

type Outcome = Result<(), sysbox_core::PortError>;

fn every_call_but_register(mgr: &dyn MgrPort, name: &str) -> Vec<(&'static str, Outcome)> {
    let id = id(name);
    let (uid, gid) = (HostUid(1), HostGid(1));
    let mount = MountRequest { kind: MountKind::VarLibDocker, destination: abs("/var/lib/docker") };
    let mounts = MountRequests { id: id.clone(), rootfs_shift: ShiftType::NoShift, mounts: vec![mount] };
    let prepare = MountsToPrepare { id: id.clone(), uid, gid, mounts: vec![] };
    let marks = ShiftfsMarks { id: id.clone(), marks: vec![] };
    let state = FsStateRequest { id: id.clone(), rootfs: abs("/srv/rootfs") };
    let subids = sysbox_core::SubidRequest { id: id.clone(), size: SIZE.try_into().expect("not 0") };
    let nothing = IdMappings::default();
    let update = Update { uid_mappings: nothing.clone(), gid_mappings: nothing, ..running(name, 1) };
    vec![
        ("alloc_subids", block_on(mgr.alloc_subids(&subids)).map(drop_answer)),
        ("update", block_on(mgr.update(&update))),
        ("prep_mounts", block_on(mgr.prep_mounts(&prepare))),
        ("req_mounts", block_on(mgr.req_mounts(&mounts)).map(drop_answer)),
        ("req_shiftfs_mark", block_on(mgr.req_shiftfs_mark(&marks)).map(drop_answer)),
        ("req_fs_state", block_on(mgr.req_fs_state(&state)).map(drop_answer)),
        ("clone_rootfs", block_on(mgr.clone_rootfs(&id)).map(drop_answer)),
        ("chown", block_on(mgr.chown_cloned_rootfs(&id, IdOffsets::default()))),
        ("revert", block_on(mgr.revert_cloned_rootfs_chown(&id))),
        ("pause", block_on(mgr.pause(&id))),
        ("resume", block_on(mgr.resume(&id))),
        ("unregister", block_on(mgr.unregister(&id))),
        ("remove", block_on(mgr.remove(&id))),
    ]
}

fn drop_answer<T>(_: T) {}
