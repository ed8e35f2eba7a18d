//! What becomes of a data root that cannot be used, and of a database that is corrupt.

use std::{
    error::Error,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use pollster::block_on;
use rusqlite::Connection;
use sysbox_core::{ErrorKind, MgrPort as _};
use sysbox_embedded::{Config, Connections, EmbeddedMgr, OpenError};

use crate::{
    host::host,
    manager::{Place, abs, id, kind, register, start, stop},
};

fn refused(place: &Place) -> OpenError {
    EmbeddedMgr::open(place.config(), host()).expect_err("it cannot be used")
}

#[test]
fn a_data_root_is_made_for_its_owner_alone() {
    let place = Place::new();
    place.open();
    let mode = |name| fs::metadata(place.path(name)).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode("data"), 0o700);
    assert_eq!(mode("data/state.db"), 0o600);
}

#[test]
fn an_unwritable_data_root_is_named_and_nothing_is_made() {
    // The kernel refuses this to root too.
    let config = Config::new(abs("/proc/sysbox/data"));
    let error = EmbeddedMgr::open(config, host()).expect_err("not writable");
    assert!(matches!(&error, OpenError::DataRoot { path, .. } if path.ends_with("sysbox/data")), "{error}");
    assert!(error.to_string().contains("/proc/sysbox/data") && error.source().is_some(), "{error}");
    let place = Place::new();
    place.write("data", "a file");
    assert!(matches!(refused(&place), OpenError::DataRoot { .. }));
    assert_eq!(fs::read(place.path("data")).expect("as it was"), b"a file");
}

#[test]
fn a_data_root_that_others_can_write_to_is_refused_and_left_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.path("data")).expect("made");
    fs::set_permissions(place.path("data"), Permissions::from_mode(0o777)).expect("set");
    assert!(matches!(refused(&place), OpenError::DataRootOpen { mode: 0o777, .. }));
    assert_eq!(fs::read_dir(place.path("data")).expect("there").count(), 0);
}

#[test]
fn a_corrupt_database_is_said_so_and_kept_aside_and_the_next_start_is_empty() {
    let place = Place::new();
    for n in 1..=2 {
        start(&place.open(), "c");
        let garbage = vec![n; 8192];
        fs::write(place.path("data/state.db"), &garbage).expect("written");
        let kept = place.path(&format!("data/state.db.corrupt-{n}"));
        let error = refused(&place);
        assert!(matches!(&error, OpenError::Corrupt { kept: told, .. } if *told == kept), "{error}");
        assert!(error.to_string().contains("no container known"), "{error}");
        assert_eq!(fs::read(kept).expect("kept"), garbage);
        assert!(place.open().list().expect("readable").is_empty());
    }
    assert_eq!(fs::read(place.path("data/state.db.corrupt-1")).expect("not overwritten"), vec![1; 8192]);
}

#[test]
fn a_database_that_was_emptied_is_not_taken_for_a_new_one() {
    let place = Place::new();
    start(&place.open(), "c");
    fs::write(place.path("data/state.db"), "").expect("written");
    fs::remove_file(place.path("data/state.db-wal")).expect("there");
    assert!(matches!(refused(&place), OpenError::Corrupt { .. }));
}

#[test]
fn a_database_that_turns_corrupt_fails_the_call_that_meets_it() {
    let place = Place::new();
    let mgr = place.open();
    start(&mgr, "c");
    fs::write(place.path("data/state.db"), vec![7; 4096]).expect("written");
    let error = register(&mgr, "d").expect_err("corrupt");
    assert_eq!(error.kind, ErrorKind::DataLoss);
    assert!(error.to_string().contains("state.db.corrupt-1") && error.source().is_some(), "{error}");
    register(&mgr, "d").expect("a new database");
}

#[test]
fn the_log_of_a_database_that_was_taken_away_is_kept_aside_and_not_read() {
    let place = Place::new();
    start(&place.open(), "c");
    fs::remove_file(place.path("data/state.db")).expect("there");
    assert!(place.open().list().expect("readable").is_empty());
    assert!(place.path("data/state.db-wal.orphan-1").exists());
}

#[test]
fn a_database_of_a_later_version_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let mgr = place.open();
    let database = Connection::open(place.path("data/state.db")).expect("there");
    database.pragma_update(None, "user_version", 99).expect("set");
    drop(database);
    assert!(matches!(refused(&place), OpenError::TooNew { found: 99, .. }));
    assert_eq!(kind(register(&mgr, "c")), ErrorKind::Internal);
}

#[test]
fn a_stop_that_the_data_root_cannot_note_is_not_answered_as_one_that_was_noted_before() {
    let place = Place::new();
    let mgr = place.open();
    start(&mgr, "c");
    fs::rename(place.path("data"), place.path("away")).expect("there");
    fs::write(place.path("data"), "no directory").expect("writable");
    for _ in 0..2 {
        assert_eq!(kind(block_on(mgr.unregister(&id("c")))), ErrorKind::Internal);
    }
    fs::remove_file(place.path("data")).expect("there");
    fs::rename(place.path("away"), place.path("data")).expect("there");
    stop(&mgr, "c");
    assert_eq!(kind(block_on(mgr.unregister(&id("c")))), ErrorKind::FailedPrecondition);
}

#[test]
fn the_log_does_not_grow_without_bound() {
    let place = Place::new();
    let mgr = place.open();
    let longest = (0..300).map(|n| {
        start(&mgr, &format!("c{n}"));
        fs::metadata(place.path("data/state.db-wal")).map_or(0, |log| log.len())
    });
    let limit = match crate::CONNECTIONS {
        Connections::PerCall => 1 << 20,
        Connections::Kept => 5 << 20,
    };
    assert!(longest.max().expect("some") < limit);
}
