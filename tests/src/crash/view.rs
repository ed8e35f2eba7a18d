//! What is on record of the container: by which it is told whether a call is done, undone, or something in between.

use std::collections::BTreeSet;

use rusqlite::{Connection, OpenFlags};
use sysbox::{
    IdRange, ShiftType,
    embedded::{ContainerState, EmbeddedMgr},
};

use super::place::Place;

/// The record of the container, without what differs from one life to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// What it is doing; `None` when it is not on record.
    pub state: Option<ContainerState>,
    /// How often it was started.
    pub starts: u32,
    /// Its ids.
    pub ids: Option<IdRange>,
    /// The shift of its rootfs.
    pub shift: ShiftType,
    /// The destinations of its volumes.
    pub volumes: BTreeSet<String>,
    /// How many sources were prepared for it.
    pub prepared: usize,
    /// Whether its rootfs was cloned.
    pub is_cloned: bool,
    /// Whether the owners in the clone are to be shifted while it runs.
    pub is_clone_shifted: bool,
    /// Whether its runtime has chowned the upper layer.
    pub has_upper: bool,
}

impl View {
    /// What is on record now.
    ///
    /// # Panics
    /// When the database cannot be read.
    pub fn of(place: &Place, mgr: &EmbeddedMgr) -> Self {
        let Some(record) = mgr.status(&place.id()).expect("readable") else { return Self::default() };
        let db = database(place);
        let has = |query: &str| {
            let count: u32 = db.query_row(query, [], |row| row.get(0)).expect("the table is there");
            count > 0
        };
        Self {
            state: Some(record.state),
            starts: record.starts,
            ids: record.uids,
            shift: record.rootfs_shift,
            volumes: record.volumes.iter().map(|volume| volume.destination.to_string()).collect(),
            prepared: record.prepared.len(),
            is_cloned: record.cloned,
            is_clone_shifted: has("SELECT count(*) FROM clone WHERE ids IS NOT NULL"),
            has_upper: has("SELECT count(*) FROM upper"),
        }
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state == Some(ContainerState::Running)
    }

    /// Whether it runs or is paused.
    pub fn is_alive(&self) -> bool {
        self.state.is_some_and(|state| state != ContainerState::Stopped)
    }
}

/// The manager's database, to be read.
pub(super) fn database(place: &Place) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(place.data_root().join("state.db"), flags).expect("there is a database")
}
