//! The database of a data root: one transaction per call, on a connection that lives no longer unless it is to be kept.
//!
//! A connection costs about a third of a millisecond. To keep it saves that and costs the freedom to fork: SQLite's record
//! of the file locks it holds is per process and is copied into a child, which holds none of them, and misleads every later
//! connection there too. So those choose who know whether their process forks ([`Connections`]).
//!
//! Every session holds a shared lock on the file `lock`; what must not meet another session (making the database, bringing
//! it to this version, moving a corrupt one away) holds it exclusively. Between two sessions, a connection that is kept
//! holds no lock on that file; the next session looks whether the connection can still be used.

mod connection;
mod data_root;
mod quarantine;
mod schema;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use schema::in_memory;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, config::DbConfig};
use sysbox_core::AbsPath;

use crate::{
    config::Connections,
    error::{Fault, OpenError},
    host_facts::Boot,
    stamp::Stamp,
};

use connection::{BUSY_TIMEOUT, Opened, connect};
use data_root::DataRoot;

/// The rows are short: a call changes some six pages, of which all go into the log.
const PAGE_SIZE: u32 = 2048;

/// How many bytes SQLite's log may have after a call. A shorter log would be copied into the database more often, which
/// takes three `fsync`s each time.
const fn log_limit(connections: Connections) -> u64 {
    match connections {
        // The next session reads all of them if no other is at work.
        Connections::PerCall => 256 * 1024,
        // They are read once, if this process ends before it has copied them. Some 300 calls that change something.
        Connections::Kept => 4 * 1024 * 1024,
    }
}

/// Where a change is when its session has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// In SQLite's log, which the kernel writes to the disk in its own time.
    InLog,
    /// On the disk.
    OnDisk,
}

#[derive(Debug)]
pub(crate) struct Store {
    root: DataRoot,
    boot: Boot,
    connections: Connections,
    /// Threads of this process queue here instead of polling SQLite's lock. Between two sessions, what is kept is in it.
    turn: Mutex<Option<Opened>>,
}

impl Store {
    /// The store of a data root, which is made if it is not there. The database is opened by the sessions.
    pub(crate) fn new(root: &AbsPath, boot: Boot, connections: Connections) -> Result<Self, OpenError> {
        Ok(Self { root: DataRoot::make(root)?, boot, connections, turn: Mutex::new(None) })
    }

    /// Reads one state of the database.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        self.session(TransactionBehavior::Deferred, Durability::InLog, work)
    }

    /// Changes the database: all of what `work` does, or nothing if it fails.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        self.session(TransactionBehavior::Immediate, Durability::InLog, work)
    }

    /// The same, on the disk when it returns: what follows from it outside of the database must not outlast it in a power cut.
    pub(crate) fn write_durably<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.session(TransactionBehavior::Immediate, Durability::OnDisk, work)
    }

    fn session<T>(
        &self,
        behavior: TransactionBehavior,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut kept = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.prepared_session(&mut kept, behavior, durability, work).map_err(|fault| match fault {
            Fault::Sqlite(error) => Fault::State(self.state_error(error)),
            other => other,
        })
    }

    /// Whatever ends it but an answer or a refusal, a panic too, closes the connection: it is taken out of `kept` meanwhile.
    fn prepared_session<T>(
        &self,
        kept: &mut Option<Opened>,
        behavior: TransactionBehavior,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        loop {
            let shared = self.root.lock_shared()?;
            if let Some(mut opened) = Opened::current(kept.take(), &self.root)? {
                // It cannot be chosen within a transaction (https://www.sqlite.org/pragma.html#pragma_synchronous).
                if durability == Durability::OnDisk {
                    opened.sqlite.pragma_update(None, "synchronous", "full")?;
                }
                let transaction = opened.sqlite.transaction_with_behavior(behavior)?;
                if self.is_ready(&transaction)? {
                    // A transaction that is not committed is rolled back when it goes.
                    let outcome = work(&transaction)
                        .and_then(|value| transaction.commit().map(|()| value).map_err(Fault::Sqlite));
                    if !matches!(outcome, Err(Fault::Sqlite(_))) {
                        if durability == Durability::OnDisk {
                            opened.sqlite.pragma_update(None, "synchronous", "normal")?;
                        }
                        self.trim_log(&opened.sqlite);
                        *kept = self.to_keep(opened);
                    }
                    return outcome;
                }
            }
            drop(shared);
            self.prepare()?;
        }
    }

    fn to_keep(&self, opened: Opened) -> Option<Opened> {
        match self.connections {
            Connections::PerCall => None,
            Connections::Kept => opened.reusable(&self.root),
        }
    }

    /// Whether the database is of this version and of this boot.
    fn is_ready(&self, db: &Connection) -> Result<bool, Fault> {
        match schema::version(db)? {
            schema::VERSION => Ok(schema::is_of_boot(db, &self.boot)?),
            // SQLite takes an empty file for an empty database; ours is never seen before its schema is in it.
            0 => Err(not_a_database().into()),
            found if found > schema::VERSION => {
                Err(OpenError::TooNew { file: self.root.database(), found, known: schema::VERSION }.into())
            }
            _ => Ok(false),
        }
    }

    /// Copies the log into the database and empties it, if it is long and nobody else is using it.
    ///
    /// SQLite's own checkpoints would never empty it: that is done by a later writer on a connection that still knows
    /// what was copied, and most sessions have a new one. What has been committed is safe whether this works or not.
    fn trim_log(&self, connection: &Connection) {
        let limit = log_limit(self.connections);
        if !Stamp::of(&self.root.log()).is_ok_and(|log| log.is_some_and(|log| log.size() > limit)) {
            return;
        }
        let trimmed = connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        let patient_again = connection.busy_timeout(BUSY_TIMEOUT);
        if let Err(error) = trimmed.and(patient_again) {
            tracing::debug!(%error, "the log is trimmed at a later call");
        }
    }

    /// Makes the database, or brings the one that is there to this version and this boot.
    fn prepare(&self) -> Result<(), Fault> {
        let _exclusive = self.root.lock_exclusive()?;
        if !self.root.has_database()? {
            return self.root.make_database(|path| {
                let mut connection = connect(path)?;
                connection.pragma_update(None, "page_size", PAGE_SIZE)?;
                connection.pragma_update(None, "journal_mode", "wal")?;
                schema::upgrade(&mut connection, &self.boot)?;
                // Closed the usual way, it leaves no log behind.
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
                connection.close().map_err(|(_, error)| error)
            });
        }
        Ok(schema::upgrade(&mut connect(&self.root.database())?, &self.boot)?)
    }

    fn state_error(&self, source: rusqlite::Error) -> OpenError {
        let file = self.root.database();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                quarantine::corrupt(&self.root, source)
            }
            Some(ErrorCode::DatabaseBusy) => OpenError::Locked { file, waited: BUSY_TIMEOUT, source },
            _ => OpenError::Database { file, source },
        }
    }
}

fn not_a_database() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB), None)
}
