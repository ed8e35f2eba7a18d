//! The database of a data root: one transaction per call, on a connection that lives no longer.
//!
//! A connection costs about half a millisecond. To keep it would save that and cost the freedom to fork: SQLite's record of
//! the file locks it holds is per process and is copied into a child, which holds none of them, and misleads every later
//! connection there too.
//!
//! Every session holds a shared lock on the file `lock`; what must not meet another session (making the database, bringing
//! it to this version, moving a corrupt one away) holds it exclusively.

mod data_root;
mod quarantine;
mod schema;

#[cfg(test)]
pub(crate) use schema::in_memory;

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, config::DbConfig};
use sysbox_core::AbsPath;

use crate::{
    error::{Fault, OpenError},
    host_facts::Boot,
};

use data_root::DataRoot;

/// How long a call waits for those of other processes, each of which takes about a millisecond.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The rows are short: a call changes some six pages, of which all go into the log.
const PAGE_SIZE: u32 = 2048;

/// How many bytes SQLite's log may have after a call. The next session reads all of them if no other is at work; a shorter
/// log would be copied into the database more often, which takes three `fsync`s each time.
const LOG_LIMIT: u64 = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Store {
    root: DataRoot,
    boot: Boot,
    /// Threads of this process queue here instead of polling SQLite's lock.
    turn: Mutex<()>,
}

impl Store {
    /// The store of a data root, which is made if it is not there. The database is opened by each session.
    pub(crate) fn new(root: &AbsPath, boot: Boot) -> Result<Self, OpenError> {
        Ok(Self { root: DataRoot::make(root)?, boot, turn: Mutex::new(()) })
    }

    /// Reads one state of the database.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        self.session(TransactionBehavior::Deferred, work)
    }

    /// Changes the database: all of what `work` does, or nothing if it fails.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        self.session(TransactionBehavior::Immediate, work)
    }

    fn session<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.prepared_session(behavior, work).map_err(|fault| match fault {
            Fault::Sqlite(error) => Fault::State(self.state_error(error)),
            other => other,
        })
    }

    fn prepared_session<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        loop {
            let shared = self.root.lock_shared()?;
            if self.root.has_database()? {
                let mut connection = connect(&self.root.database())?;
                let transaction = connection.transaction_with_behavior(behavior)?;
                if self.is_ready(&transaction)? {
                    let value = work(&transaction)?;
                    transaction.commit()?;
                    self.trim_log(&connection);
                    return Ok(value);
                }
            }
            drop(shared);
            self.prepare()?;
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
    /// what was copied, and here every session has a new one. What has been committed is safe whether this works or not.
    fn trim_log(&self, connection: &Connection) {
        if !fs::metadata(self.root.log()).is_ok_and(|log| log.len() > LOG_LIMIT) {
            return;
        }
        let trimmed = connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        if let Err(error) = trimmed {
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

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    // The file is there: SQLite must not make one in the place of one that is being moved away.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // A power cut may lose the last calls and never breaks the database; the containers are gone then anyway.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

fn not_a_database() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB), None)
}
