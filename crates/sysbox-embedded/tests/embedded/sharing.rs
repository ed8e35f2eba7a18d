//! Whose ids containers have that share namespaces.

use pollster::block_on;
use sysbox_core::{ErrorKind, MgrPort, Registration, Update};
use sysbox_embedded::EmbeddedMgr;

use crate::manager::{
    Place, SIZE, abs, alloc, id, kind, mappings, record, register, registration, remove, running, start, stop,
};

const NET: &str = "/proc/self/ns/net";
/// The same namespace by another path.
const SAME_NET: &str = "/proc/thread-self/ns/net";
const USER: &str = "/proc/self/ns/user";

/// A container that runs in network namespace `NET` and user namespace `USER`.
fn first(mgr: &EmbeddedMgr) -> u32 {
    let first = start(mgr, "first");
    let update = Update { userns: Some(abs(USER)), netns: Some(abs(NET)), ..running("first", first) };
    block_on(mgr.update(&update)).expect("registered");
    first
}

fn joining_net(name: &str) -> Registration {
    Registration { netns: Some(abs(SAME_NET)), ..registration(name) }
}

#[test]
fn a_container_in_the_same_network_namespace_is_given_the_firsts_user_namespace_and_ids() {
    let place = Place::new();
    let mgr = place.open();
    let ids = first(&mgr);
    let config = block_on(mgr.register(&joining_net("second"))).expect("a new container");
    assert_eq!(config.userns, Some(abs(USER)));
    assert_eq!((config.uid_mappings, config.gid_mappings), (mappings(ids, SIZE), mappings(ids, SIZE)));
    assert_eq!(alloc(&mgr, "second", SIZE).expect("shared"), (ids, ids));
}

#[test]
fn a_container_that_gives_a_user_namespace_of_its_own_is_not_given_the_firsts() {
    let place = Place::new();
    let mgr = place.open();
    let ids = first(&mgr);
    let other_userns = abs(place.path("data"));
    let request = Registration { userns: Some(other_userns), ..joining_net("second") };
    let config = block_on(mgr.register(&request)).expect("a new container");
    assert!(config.userns.is_none() && config.uid_mappings.is_empty());
    assert_ne!(alloc(&mgr, "second", SIZE).expect("its own").0, ids);
}

#[test]
fn containers_that_give_the_same_user_namespace_share_its_ids() {
    let place = Place::new();
    let mgr = place.open();
    let joining = |name: &str| Registration { userns: Some(abs(USER)), ..registration(name) };
    block_on(mgr.register(&joining("a"))).expect("a new container");
    let ids = alloc(&mgr, "a", SIZE).expect("enough ids");
    block_on(mgr.register(&joining("b"))).expect("a new container");
    assert_eq!(alloc(&mgr, "b", SIZE).expect("shared"), ids);
}

#[test]
fn the_others_keep_the_ids_when_the_first_is_removed() {
    let place = Place::with_slots(2);
    let mgr = place.open();
    let ids = first(&mgr);
    block_on(mgr.register(&joining_net("second"))).expect("a new container");
    stop(&mgr, "first");
    remove(&mgr, "first");
    assert_eq!(alloc(&mgr, "second", SIZE).expect("kept"), (ids, ids));
    assert_ne!(start(&mgr, "third"), ids);
    stop(&mgr, "second");
    remove(&mgr, "second");
    assert_eq!(start(&mgr, "fourth"), ids);
}

#[test]
fn a_container_restarted_on_its_own_does_not_share_ids_with_those_that_still_run() {
    let place = Place::new();
    let mgr = place.open();
    let ids = first(&mgr);
    block_on(mgr.register(&joining_net("second"))).expect("a new container");
    stop(&mgr, "first");
    let config = register(&mgr, "first").expect("a restart");
    assert!(config.uid_mappings.is_empty());
    assert_ne!(alloc(&mgr, "first", SIZE).expect("new ones").0, ids);
    assert_eq!(alloc(&mgr, "second", SIZE).expect("kept").0, ids);
}

#[test]
fn containers_that_all_stopped_share_ids_again_after_their_restart() {
    let place = Place::new();
    let mgr = place.open();
    let ids = first(&mgr);
    block_on(mgr.register(&joining_net("second"))).expect("a new container");
    stop(&mgr, "first");
    stop(&mgr, "second");
    assert_eq!(start_again(&mgr, "first"), ids);
    let update = Update { netns: Some(abs(NET)), ..running("first", ids) };
    block_on(mgr.update(&update)).expect("registered");
    block_on(mgr.register(&joining_net("second"))).expect("a restart");
    assert_eq!(alloc(&mgr, "second", SIZE).expect("shared").0, ids);
}

#[test]
fn a_stopped_container_shares_its_namespaces_with_nobody() {
    let place = Place::new();
    let mgr = place.open();
    let ids = first(&mgr);
    stop(&mgr, "first");
    let config = block_on(mgr.register(&joining_net("second"))).expect("a new container");
    assert!(config.userns.is_none());
    assert_ne!(alloc(&mgr, "second", SIZE).expect("its own").0, ids);
}

/// A runtime that is killed tells nobody that its container has stopped.
#[test]
fn a_container_whose_namespaces_have_gone_shares_them_with_nobody() {
    let place = Place::new();
    let mgr = place.open();
    let gone = abs(place.path("gone"));
    std::fs::write(&gone, "").expect("written");
    let first = start(&mgr, "first");
    let update = Update { userns: Some(gone.clone()), netns: Some(abs(NET)), ..running("first", first) };
    block_on(mgr.update(&update)).expect("registered");
    std::fs::remove_file(&gone).expect("removed");
    let config = block_on(mgr.register(&joining_net("second"))).expect("a new container");
    assert!(config.userns.is_none() && config.uid_mappings.is_empty());
    assert_ne!(alloc(&mgr, "second", SIZE).expect("its own").0, first);
}

#[test]
fn ids_that_a_spec_names_are_given_to_nobody_else() {
    let place = Place::with_slots(3);
    let mgr = place.open();
    let named = Registration { uid_mappings: mappings(SIZE + 5, 10), ..registration("named") };
    block_on(mgr.register(&named)).expect("a new container");
    let same = Registration { id: id("same"), ..named.clone() };
    block_on(mgr.register(&same)).expect("specs may name the same ids");
    for name in ["a", "b"] {
        assert_ne!(start_apart(&mgr, name).0, SIZE);
    }
    assert_eq!(kind(alloc_new(&mgr, "c")), ErrorKind::ResourceExhausted);
    stop(&mgr, "named");
    remove(&mgr, "named");
    assert_eq!(kind(alloc(&mgr, "c", SIZE)), ErrorKind::ResourceExhausted);
    stop(&mgr, "same");
    remove(&mgr, "same");
    assert_eq!(alloc(&mgr, "c", SIZE).expect("released").0, SIZE);
}

#[test]
fn ids_that_were_given_to_a_container_cannot_be_named_by_another() {
    let place = Place::new();
    let mgr = place.open();
    let ids = start(&mgr, "holder");
    let named = Registration { gid_mappings: mappings(ids + SIZE - 1, 2), ..registration("thief") };
    let error = block_on(mgr.register(&named)).expect_err("given to another");
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    assert!(error.to_string().contains("holder") && error.to_string().contains("thief"), "{error}");
    register(&mgr, "thief").expect("nothing was changed");
    assert_eq!(kind(block_on(mgr.update(&running("thief", ids)))), ErrorKind::FailedPrecondition);
    assert_eq!(record(&mgr, "thief").uids, None);
}

fn start_again(mgr: &EmbeddedMgr, name: &str) -> u32 {
    register(mgr, name).expect("a restart");
    alloc(mgr, name, SIZE).expect("kept").0
}

/// Starts a container whose user ids and group ids need not begin alike.
fn start_apart(mgr: &EmbeddedMgr, name: &str) -> (u32, u32) {
    alloc_new(mgr, name).expect("enough ids")
}

fn alloc_new(mgr: &EmbeddedMgr, name: &str) -> Result<(u32, u32), sysbox_core::PortError> {
    register(mgr, name).expect("a new container");
    alloc(mgr, name, SIZE)
}
