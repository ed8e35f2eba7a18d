//! A connection to the database, and whether it still is one to the files that have the names now.
//!
//! SQLite keeps to the files that it has opened, whatever becomes of their names, and to what it has read of the database
//! until its log says otherwise. So a connection is used again only if all three names still are those files' and the
//! database was not written to. A checkpoint, ours or another process's, writes to it too: a new connection after each is
//! what that costs.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::data_root::DataRoot;
use crate::{
    error::{Fault, OpenError},
    stamp::{FileId, Stamp},
};

/// How long a call waits for those of other processes, each of which takes about a millisecond.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// How many KiB of the database a connection may keep in memory.
const CACHE_KIB: i64 = 2048;

/// More than the statements of all calls, so that a connection compiles each once.
const STATEMENTS: usize = 64;

/// A connection and what it is connected to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) sqlite: Connection,
    database: Stamp,
    /// SQLite's log and its index. SQLite opens them in the first transaction.
    log: Option<[FileId; 2]>,
}

impl Opened {
    /// A connection to the database as it is now: the one that was kept, if it is that, or a new one. `None` if there is no
    /// database.
    pub(super) fn current(kept: Option<Self>, root: &DataRoot) -> Result<Option<Self>, Fault> {
        let file = root.database();
        // Taken before the file is opened: if another comes into its place in between, the next call sees it.
        let stamp = Stamp::of(&file).map_err(|source| OpenError::DataRoot { path: file.clone(), source })?;
        let kept = kept.filter(|kept| Some(kept.database) == stamp && kept.log == log_files(root));
        let Some(database) = stamp else { return Ok(None) };
        match kept {
            Some(kept) => Ok(Some(kept)),
            None => Ok(Some(Self { sqlite: connect(&file)?, database, log: None })),
        }
    }

    /// Itself, if it can be used again: nothing is half done, and it is known which files it has open.
    pub(super) fn reusable(mut self, root: &DataRoot) -> Option<Self> {
        self.log = self.log.or_else(|| log_files(root));
        (self.sqlite.is_autocommit() && self.log.is_some()).then_some(self)
    }
}

pub(super) fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    // The file is there: SQLite must not make one in the place of one that is being moved away.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // A plan that depends on the values is made anew for each of them, which takes longer than the statement.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A power cut may lose the last calls and never breaks the database; the containers are gone then anyway.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

fn log_files(root: &DataRoot) -> Option<[FileId; 2]> {
    let file = |path: &Path| Some(Stamp::of(path).ok()??.file());
    Some([file(&root.log())?, file(&root.log_index())?])
}
