//! Several processes on one data root.

use std::collections::BTreeSet;

use pollster::block_on;
use sysbox_core::MgrPort;
use sysbox_embedded::EmbeddedMgr;

use crate::{
    manager::{Place, SIZE, alloc, id, register, remove, running, start, stop},
    worker::{Worker, open, tell, work},
};

#[test]
fn of_64_processes_at_once_on_a_new_data_root_no_two_get_the_same_ids() {
    if let Some((place, name)) = work() {
        tell(&start(&open(place), &name).to_string());
        return;
    }
    let place = Place::with_slots(64);
    let test = "processes::of_64_processes_at_once_on_a_new_data_root_no_two_get_the_same_ids";
    let mut workers: Vec<_> =
        (0..64).map(|n| Worker::spawn(test, &place.path(""), &format!("c{n}"))).collect();
    let told = workers.iter_mut().filter_map(|worker| worker.lines().last());
    let given: BTreeSet<u32> = told.map(|first| first.parse().expect("an id")).collect();
    assert_eq!(given, (1..=64).map(|slot| slot * SIZE).collect());
}

#[test]
fn a_process_killed_at_any_moment_leaves_the_database_usable_and_no_call_half_done() {
    if let Some((place, name)) = work() {
        live_for_ever(&open(place), &name);
    }
    let place = Place::with_slots(4);
    let test = "processes::a_process_killed_at_any_moment_leaves_the_database_usable_and_no_call_half_done";
    for round in 0..24 {
        let mut worker = Worker::spawn(test, &place.path(""), "victim");
        let mut told = worker.lines();
        assert!(told.nth(round).is_some(), "the worker works");
        // It goes on meanwhile: each round kills it in or near another call.
        drop(worker);
        let mgr = place.open();
        start(&mgr, "after");
        stop(&mgr, "after");
        remove(&mgr, "after");
        let known = mgr.list().expect("readable");
        let used = mgr.subid_pools().expect("readable");
        let with_ids = known.iter().filter(|record| record.uids.is_some()).count();
        assert_eq!((used.uids.used, used.gids.used), (with_ids as u64, with_ids as u64), "{known:?}");
    }
}

/// Lives of one container, whatever an earlier worker left of it. Each call is told before it is made.
fn live_for_ever(mgr: &EmbeddedMgr, name: &str) -> ! {
    loop {
        tell("stops what is left");
        let _ = block_on(mgr.unregister(&id(name)));
        tell("removes it");
        let _ = block_on(mgr.remove(&id(name)));
        tell("registers");
        register(mgr, name).expect("a new container");
        tell("asks for ids");
        let (first, _) = alloc(mgr, name, SIZE).expect("enough ids");
        tell("updates");
        block_on(mgr.update(&running(name, first))).expect("registered");
    }
}
