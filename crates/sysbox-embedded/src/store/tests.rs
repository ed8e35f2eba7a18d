//! When a connection is used again.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use sysbox_core::ErrorKind;
use tempfile::TempDir;

use super::*;

/// A store in a directory of its own.
fn store(connections: Connections) -> (TempDir, Store) {
    let place = tempfile::tempdir().expect("a directory");
    let root = AbsPath::new(place.path().join("data")).expect("absolute");
    let store = Store::new(&root, Boot::named("test"), connections).expect("usable");
    (place, store)
}

fn kept() -> (TempDir, Store) {
    store(Connections::Kept)
}

/// The next session's count of those that its connection has served before: a table that only this connection sees.
fn served_before(store: &Store) -> u32 {
    let count = |db: &Connection| -> Result<u32, Fault> {
        db.execute_batch("CREATE TEMP TABLE IF NOT EXISTS served (n); INSERT INTO served VALUES (1);")?;
        Ok(db.query_row("SELECT count(*) - 1 FROM served", [], |row| row.get(0))?)
    };
    store.write(count).expect("usable")
}

/// How long the next session's connection waits for others.
fn patience(store: &Store) -> Duration {
    let milliseconds = |db: &Connection| -> Result<u32, Fault> {
        Ok(db.query_row("PRAGMA busy_timeout", [], |row| row.get(0))?)
    };
    Duration::from_millis(store.read(milliseconds).expect("usable").into())
}

fn is_kept(store: &Store) -> bool {
    store.turn.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

#[test]
fn a_kept_connection_serves_one_session_after_the_other() {
    let (_place, store) = kept();
    assert_eq!([served_before(&store), served_before(&store), served_before(&store)], [0, 1, 2]);
}

#[test]
fn a_connection_per_call_serves_one_session() {
    let (_place, store) = store(Connections::PerCall);
    assert_eq!([served_before(&store), served_before(&store)], [0, 0]);
    assert!(!is_kept(&store));
}

#[test]
fn a_refusal_undoes_the_session_and_keeps_the_connection() {
    let (_place, store) = kept();
    assert_eq!(served_before(&store), 0);
    let refused = store.write(|db| -> Result<(), Fault> {
        db.execute("INSERT INTO userns DEFAULT VALUES", [])?;
        Err(Fault::refused(ErrorKind::NotFound, "is not there"))
    });
    assert!(matches!(refused, Err(Fault::Refused { .. })));
    let rows =
        store.read(|db| Ok(db.query_row("SELECT count(*) FROM userns", [], |row| row.get::<_, u32>(0))?));
    assert_eq!(rows.expect("readable"), 0);
    assert_eq!(served_before(&store), 1);
}

#[test]
fn an_error_of_sqlite_or_a_panic_closes_the_connection() {
    let (_place, store) = kept();
    served_before(&store);
    let broken = store.write(|db| Ok(db.execute_batch("INSERT INTO nowhere VALUES (1)")?));
    assert!(matches!(broken, Err(Fault::State(OpenError::Database { .. }))));
    assert!(!is_kept(&store));
    assert_eq!(served_before(&store), 0);
    let panicked =
        catch_unwind(AssertUnwindSafe(|| store.read(|_| -> Result<(), Fault> { panic!("a bug") })));
    assert!(panicked.is_err() && !is_kept(&store));
    assert_eq!(served_before(&store), 0);
}

#[test]
fn a_database_that_was_written_to_beside_its_log_is_opened_anew() {
    let (place, store) = kept();
    assert_eq!([served_before(&store), served_before(&store)], [0, 1]);
    let file = fs::OpenOptions::new().write(true).open(place.path().join("data/state.db")).expect("there");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("ours");
    assert_eq!([served_before(&store), served_before(&store)], [0, 1]);
}

#[test]
fn a_kept_connection_trims_the_log_and_stays_patient() {
    let (place, store) = kept();
    let log = || fs::metadata(place.path().join("data/state.db-wal")).expect("there").len();
    let fill = |db: &Connection| {
        db.execute_batch("CREATE TABLE big AS SELECT zeroblob(5000000) AS bytes; DROP TABLE big")?;
        Ok(())
    };
    store.write(fill).expect("space");
    assert_eq!(log(), 0);
    assert_eq!(patience(&store), BUSY_TIMEOUT);
    // What somebody reads is not taken from under him.
    let reader = connect(&place.path().join("data/state.db")).expect("there");
    reader.execute_batch("BEGIN; SELECT count(*) FROM userns").expect("readable");
    store.write(fill).expect("space");
    assert!(log() > log_limit(Connections::Kept));
    assert_eq!(patience(&store), BUSY_TIMEOUT);
    reader.execute_batch("COMMIT").expect("begun");
    served_before(&store);
    assert_eq!(log(), 0);
}
