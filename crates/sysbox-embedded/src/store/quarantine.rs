//! What is done with a corrupt database: it is looked at again with nobody else at work, and moved aside as it is.
//!
//! It is never repaired, overwritten or removed, and the call that met it fails.

use std::{fs, io, path::PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::{
    connection::connect,
    data_root::{DataRoot, keep_aside, remove_if_there},
    schema,
};
use crate::error::{OpenError, is};

/// Moves the database aside if it is corrupt, as `source` says, and tells where it is.
pub(super) fn corrupt(root: &DataRoot, source: rusqlite::Error) -> OpenError {
    let file = root.database();
    let _exclusive = match root.lock_exclusive() {
        Ok(lock) => lock,
        Err(error) => return error,
    };
    // SQLite says "corrupt" too when the disk gave wrong bytes once.
    if connect(&file)
        .and_then(|connection| is_sound(&connection))
        .unwrap_or_else(|error| !says_corrupt(&error))
    {
        return OpenError::Database { file, source };
    }
    match move_aside(root) {
        Ok(kept) => OpenError::Corrupt { file, kept, source },
        Err(source) => OpenError::CorruptInPlace { file, source },
    }
}

fn move_aside(root: &DataRoot) -> io::Result<PathBuf> {
    let kept = keep_aside(&root.database(), "corrupt")?;
    if root.log().try_exists()? {
        let mut log = kept.clone().into_os_string();
        log.push("-wal");
        fs::rename(root.log(), log)?;
    }
    remove_if_there(&root.log_index())?;
    Ok(kept)
}

fn is_sound(connection: &Connection) -> Result<bool, rusqlite::Error> {
    if schema::version(connection)? == 0 {
        return Ok(false);
    }
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(verdict == "ok")
}

fn says_corrupt(error: &rusqlite::Error) -> bool {
    is(error, ErrorCode::DatabaseCorrupt) || is(error, ErrorCode::NotADatabase)
}
