//! What a kept connection notices of the files that it has open.

use std::fs;

use sysbox_core::ErrorKind;
use sysbox_embedded::{ContainerState, EmbeddedMgr};

use crate::{
    manager::{Place, alloc, kind, record, register, remove, start, stop},
    together::per_call,
};

fn names(mgr: &EmbeddedMgr) -> Vec<String> {
    mgr.list().expect("readable").iter().map(|record| record.id.to_string()).collect()
}

#[test]
fn a_data_root_that_was_deleted_and_made_anew_is_used_as_it_is_now() {
    let place = Place::with_slots(1);
    let mgr = place.open();
    start(&mgr, "before");
    for name in ["one", "two"] {
        fs::remove_dir_all(place.path("data")).expect("there");
        assert_eq!(kind(register(&mgr, "between")), ErrorKind::Internal);
        start(&per_call(&place), name);
        assert_eq!(names(&mgr), [name]);
        stop(&mgr, name);
        assert_eq!(record(&per_call(&place), name).state, ContainerState::Stopped);
    }
}

#[test]
fn a_database_that_was_taken_away_is_made_anew_and_both_kinds_of_handles_see_it() {
    let place = Place::with_slots(1);
    let mgr = place.open();
    start(&mgr, "before");
    fs::rename(place.path("data/state.db"), place.path("taken.db")).expect("there");
    assert!(names(&mgr).is_empty());
    start(&mgr, "after");
    assert_eq!(names(&per_call(&place)), ["after"]);
}

#[test]
fn a_database_that_took_the_place_of_another_is_read() {
    let (place, other) = (Place::new(), Place::new());
    let mgr = place.open();
    start(&mgr, "here");
    start(&other.open(), "there");
    for file in ["state.db", "state.db-wal"] {
        let file = format!("data/{file}");
        fs::rename(other.path(&file), place.path(&file)).expect("on one file system");
    }
    fs::remove_file(place.path("data/state.db-shm")).expect("there");
    assert_eq!(names(&mgr), ["there"]);
}

#[test]
fn a_database_replaced_by_garbage_is_kept_aside_and_the_next_call_begins_anew() {
    let place = Place::with_slots(1);
    let mgr = place.open();
    start(&mgr, "before");
    place.write("garbage", &"x".repeat(8192));
    fs::rename(place.path("garbage"), place.path("data/state.db")).expect("on one file system");
    let error = register(&mgr, "c").expect_err("corrupt");
    assert_eq!(error.kind, ErrorKind::DataLoss);
    assert!(error.to_string().contains("state.db.corrupt-1"), "{error}");
    start(&mgr, "after");
    assert_eq!(names(&per_call(&place)), ["after"]);
}

#[test]
fn a_database_moved_aside_by_another_process_is_not_written_to_any_more() {
    let place = Place::with_slots(1);
    let mgr = place.open();
    start(&mgr, "before");
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        fs::rename(place.path(&format!("data/{file}")), place.path(file)).expect("there");
    }
    let log = fs::read(place.path("state.db-wal")).expect("there");
    start(&mgr, "after");
    assert_eq!(fs::read(place.path("state.db-wal")).expect("there"), log);
    assert_eq!(names(&per_call(&place)), ["after"]);
}

#[test]
fn handles_do_not_part_over_a_log_or_an_index_that_was_removed() {
    for file in ["data/state.db-wal", "data/state.db-shm"] {
        part_not_over(file);
    }
}

fn part_not_over(file: &str) {
    let place = Place::with_slots(2);
    let mgr = place.open();
    start(&mgr, "before");
    stop(&mgr, "before");
    remove(&mgr, "before");
    fs::remove_file(place.path(file)).expect("there");
    register(&mgr, "a").expect("a new container");
    let other = per_call(&place);
    register(&other, "b").expect("a new container");
    assert_eq!(names(&mgr), names(&other));
    let given =
        [&mgr, &other].map(|mgr| (alloc(mgr, "a", 1).expect("enough"), alloc(mgr, "b", 1).expect("enough")));
    assert_eq!(given[0], given[1]);
    assert_ne!(given[0].0, given[0].1);
}
