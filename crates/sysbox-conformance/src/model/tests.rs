//! What the cases of the suite cannot see: that a refused call changes nothing inside, and that nothing is left behind.

use std::num::NonZeroU32;

use pollster::block_on;
use sysbox_core::{
    AbsPath, ContainerId, ErrorKind, IdMappings, IdRange, MgrPort, PortError, Registration, ShiftType,
    SubidRequest, Subids, Update,
};

use super::Model;

const SLOT: u32 = 65_536;
const NET: &str = "/proc/self/ns/net";
const USER: &str = "/proc/self/ns/user";

fn with_slots(slots: u32) -> Model {
    Model::new(IdRange::new(SLOT, slots * SLOT).expect("a pool"))
}

fn id(text: &str) -> ContainerId {
    text.parse().expect("a valid id")
}

fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

fn mappings(first: u32, size: u32) -> IdMappings {
    IdMappings::single(IdRange::new(first, size).expect("a range")).expect("an extent")
}

fn registration(name: &str) -> Registration {
    let none = IdMappings::default();
    let rootfs = path("/srv/rootfs");
    Registration {
        id: id(name),
        rootfs,
        userns: None,
        netns: None,
        uid_mappings: none.clone(),
        gid_mappings: none,
    }
}

fn register(model: &Model, request: &Registration) -> Result<sysbox_core::ContainerConfig, PortError> {
    block_on(MgrPort::register(model, request))
}

fn alloc(model: &Model, name: &str, size: u32) -> Result<Subids, PortError> {
    let request = SubidRequest { id: id(name), size: NonZeroU32::new(size).expect("not 0") };
    block_on(model.alloc_subids(&request))
}

fn start(model: &Model, name: &str) -> Subids {
    register(model, &registration(name)).expect("a new container");
    alloc(model, name, SLOT).expect("enough ids")
}

fn update(model: &Model, name: &str, uids: IdMappings) -> Result<(), PortError> {
    let (userns, netns) = (Some(path(USER)), Some(path(NET)));
    let gid_mappings = IdMappings::default();
    let request = Update {
        id: id(name),
        userns,
        netns,
        uid_mappings: uids,
        gid_mappings,
        rootfs_shift: ShiftType::Chown,
    };
    block_on(MgrPort::update(model, &request))
}

fn stop(model: &Model, name: &str) {
    block_on(MgrPort::unregister(model, &id(name))).expect("running");
}

fn remove(model: &Model, name: &str) {
    stop(model, name);
    block_on(model.remove(&id(name))).expect("stopped");
}

#[test]
fn nothing_is_left_of_containers_that_were_removed() {
    let model = with_slots(3);
    let fresh = format!("{model:?}");
    let first = start(&model, "a");
    update(&model, "a", mappings(first.uid.0, SLOT)).expect("registered");
    let sharing = Registration { netns: Some(path(NET)), ..registration("b") };
    register(&model, &sharing).expect("a new container");
    assert_eq!(alloc(&model, "b", SLOT).expect("shared"), first);
    let named = Registration { gid_mappings: mappings(3 * SLOT + 7, 10), ..registration("c") };
    register(&model, &named).expect("a new container");
    for name in ["a", "b", "c"] {
        remove(&model, name);
    }
    let left = format!("{model:?}");
    let without_count = |text: &str| text.split("latest").next().map(str::to_owned);
    assert_eq!(without_count(&left), without_count(&fresh));
}

#[test]
fn a_refused_call_changes_nothing() {
    let model = with_slots(2);
    let holder = start(&model, "holder");
    start(&model, "thief");
    stop(&model, "thief");
    let before = format!("{model:?}");
    let theft = Registration { uid_mappings: mappings(holder.uid.0, 1), ..registration("thief") };
    assert_eq!(register(&model, &theft).expect_err("given to another").kind, ErrorKind::FailedPrecondition);
    let nowhere = Registration { userns: Some(path("/nonexistent")), ..registration("new") };
    assert_eq!(register(&model, &nowhere).expect_err("no namespace").kind, ErrorKind::InvalidArgument);
    assert_eq!(alloc(&model, "thief", 1).expect_err("it has others").kind, ErrorKind::InvalidArgument);
    assert_eq!(
        update(&model, "thief", mappings(1, 1)).expect_err("stopped").kind,
        ErrorKind::FailedPrecondition
    );
    assert_eq!(format!("{model:?}"), before);
}

#[test]
fn user_and_group_ids_are_alike_as_long_as_that_is_possible() {
    let model = with_slots(3);
    let named = Registration { uid_mappings: mappings(SLOT, 1), ..registration("of_users") };
    register(&model, &named).expect("a new container");
    let named = Registration { gid_mappings: mappings(2 * SLOT, 1), ..registration("of_groups") };
    register(&model, &named).expect("a new container");
    let alike = start(&model, "a");
    assert_eq!((alike.uid.0, alike.gid.0), (3 * SLOT, 3 * SLOT));
    let apart = start(&model, "b");
    assert_eq!((apart.uid.0, apart.gid.0), (2 * SLOT, SLOT));
}

#[test]
fn a_range_begins_at_a_whole_slot_not_below_its_size_and_ends_within_the_pool() {
    let model = Model::new(IdRange::new(10, 4 * SLOT).expect("a pool"));
    register(&model, &registration("a")).expect("a new container");
    let error = alloc(&model, "a", 3 * SLOT).expect_err("only from slot 3 on it would not be below its size");
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    assert_eq!(alloc(&model, "a", 2 * SLOT).expect("slots 2 and 3").uid.0, 2 * SLOT);
    register(&model, &registration("b")).expect("a new container");
    register(&model, &registration("c")).expect("a new container");
    assert_eq!(alloc(&model, "b", SLOT).expect("slot 1").uid.0, SLOT);
    assert_eq!(alloc(&model, "c", 11).expect_err("the pool ends before").kind, ErrorKind::ResourceExhausted);
    assert_eq!(alloc(&model, "c", 10).expect("the last ten").uid.0, 4 * SLOT);
}

#[test]
fn a_pool_up_to_the_greatest_id_is_used_to_its_end() {
    let model = Model::new(IdRange::new(u32::MAX - SLOT, SLOT).expect("a pool"));
    register(&model, &registration("a")).expect("a new container");
    assert_eq!(alloc(&model, "a", SLOT).expect_err("one id is none").kind, ErrorKind::ResourceExhausted);
    assert_eq!(alloc(&model, "a", SLOT - 1).expect("the last slot").uid.0, u32::MAX - (SLOT - 1));
}

#[test]
fn ten_thousand_containers_are_served_and_released() {
    let model = with_slots(10_000);
    for nth in 0..10_000 {
        start(&model, &format!("c{nth}"));
    }
    register(&model, &registration("one_too_many")).expect("no ids are needed yet");
    let error = alloc(&model, "one_too_many", 1).expect_err("none is left");
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    assert!(error.message.contains("10000 ranges by 10000 containers"), "{error}");
    remove(&model, "c77");
    assert_eq!(alloc(&model, "one_too_many", 1).expect("released").uid.0, 78 * SLOT);
}

#[test]
fn refusals_name_the_container_and_the_cause() {
    let model = with_slots(1);
    let nowhere = Registration { netns: Some(path("/nonexistent")), ..registration("a") };
    let error = register(&model, &nowhere).expect_err("no namespace");
    assert!(error.message.starts_with("container a is to join network namespace /nonexistent"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
