//! The tables, and the steps that bring an older database to them.
//!
//! - `userns`: a user namespace, as far as ids go. Containers that share one share its row. Its ids are given once, and
//!   kept until its last container is removed.
//! - `held`: the ids that a user namespace holds, per kind. Two rows of a kind are the same range or apart. Rows that were
//!   given (`given`) are no other's; ranges that specs name may be shared, as Docker's `userns-remap` does.
//! - `files`: a container for which something was made or changed outside of the database. `dir` is the directory of ours that
//!   is its own; `intent` is what a process has begun with its files and not finished.
//! - `volume`, `prepared`, `mark`, `upper`, `clone`: what that is.
//! - `container`: a registered container. `userns_ino` and `netns_ino` are set while it runs only, for the kernel gives the
//!   numbers of namespaces that are gone to new ones.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::host_facts::Boot;

/// Step `n` leads from version `n` to `n + 1`. A step that was released is never changed.
const STEPS: &[&str] = &[
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE probe (feature TEXT PRIMARY KEY, works INTEGER NOT NULL) WITHOUT ROWID;

    CREATE TABLE userns (
        nr INTEGER PRIMARY KEY,
        size INTEGER,
        first_uid INTEGER,
        first_gid INTEGER
    );

    CREATE TABLE held (
        kind INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        userns INTEGER NOT NULL REFERENCES userns (nr),
        given INTEGER NOT NULL,
        PRIMARY KEY (kind, first, userns)
    ) WITHOUT ROWID;
    CREATE INDEX held_by_userns ON held (userns);

    CREATE TABLE container (
        nr INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        userns INTEGER NOT NULL REFERENCES userns (nr),
        state INTEGER NOT NULL,
        starts INTEGER NOT NULL,
        registered INTEGER NOT NULL,
        rootfs BLOB NOT NULL,
        userns_path BLOB,
        userns_dev INTEGER,
        userns_ino INTEGER,
        netns_path BLOB,
        netns_dev INTEGER,
        netns_ino INTEGER,
        uid_mappings TEXT NOT NULL,
        gid_mappings TEXT NOT NULL,
        rootfs_shift INTEGER NOT NULL
    );
    CREATE INDEX container_by_userns ON container (userns);
    CREATE INDEX container_in_userns ON container (userns_ino, userns_dev) WHERE userns_ino IS NOT NULL;
    CREATE INDEX container_in_netns ON container (netns_ino, netns_dev) WHERE netns_ino IS NOT NULL;
",
    "
    CREATE TABLE files (
        container INTEGER PRIMARY KEY REFERENCES container (nr),
        dir TEXT NOT NULL UNIQUE,
        intent INTEGER,
        begun INTEGER
    );

    CREATE TABLE volume (
        container INTEGER NOT NULL REFERENCES files (container),
        kind INTEGER NOT NULL,
        destination BLOB NOT NULL,
        name TEXT NOT NULL,
        synced_at INTEGER,
        rootfs BLOB NOT NULL,
        mounted INTEGER NOT NULL,
        start INTEGER NOT NULL,
        shift INTEGER NOT NULL,
        PRIMARY KEY (container, kind, destination)
    ) WITHOUT ROWID;

    CREATE TABLE prepared (
        container INTEGER NOT NULL REFERENCES files (container),
        source BLOB NOT NULL,
        dev INTEGER NOT NULL,
        ino INTEGER NOT NULL,
        exclusive INTEGER NOT NULL,
        pending INTEGER NOT NULL,
        disk INTEGER,
        PRIMARY KEY (container, source)
    ) WITHOUT ROWID;
    CREATE INDEX prepared_by_source ON prepared (ino, dev);

    CREATE TABLE mark (
        container INTEGER NOT NULL REFERENCES files (container),
        source BLOB NOT NULL,
        readonly INTEGER NOT NULL,
        PRIMARY KEY (container, source)
    ) WITHOUT ROWID;
    CREATE INDEX mark_by_source ON mark (source);

    CREATE TABLE upper (
        container INTEGER PRIMARY KEY REFERENCES files (container),
        path BLOB NOT NULL,
        ids TEXT NOT NULL
    );

    CREATE TABLE clone (
        container INTEGER PRIMARY KEY REFERENCES files (container),
        ids TEXT
    );

    ALTER TABLE container ADD COLUMN rootfs_disk INTEGER;
    CREATE INDEX container_stopped ON container (nr) WHERE state = 2;
",
    "
    ALTER TABLE volume ADD COLUMN rootfs_inode INTEGER;
    ALTER TABLE volume ADD COLUMN rootfs_born INTEGER;
",
];

/// The version that all [`STEPS`] lead to.
pub(super) const VERSION: i64 = 3;

/// The version of a database; 0 is one without any table of ours.
pub(super) fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))
}

/// Whether what the database says of running containers and of the kernel is of this boot.
pub(super) fn is_of_boot(connection: &Connection, boot: &Boot) -> Result<bool, rusqlite::Error> {
    let query = "SELECT value FROM meta WHERE key = 'boot'";
    let known: Option<String> =
        connection.prepare_cached(query)?.query_row([], |row| row.get(0)).optional()?;
    Ok(known.as_deref() == Some(boot.as_str()))
}

/// Takes the steps that are missing, and notes the boot.
pub(super) fn upgrade(connection: &mut Connection, boot: &Boot) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from = version(&transaction)?;
    for step in STEPS.iter().skip(usize::try_from(from).unwrap_or(STEPS.len())) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    if !is_of_boot(&transaction, boot)? {
        note_boot(&transaction, boot)?;
    }
    transaction.commit()
}

/// Nothing survives a reboot: what ran has stopped, though nobody could say so, and another kernel may do other things.
fn note_boot(connection: &Connection, boot: &Boot) -> Result<(), rusqlite::Error> {
    crate::files::intend_to_stop_all(connection)?;
    crate::registry::stop_all(connection)?;
    connection.execute("DELETE FROM probe", [])?;
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('boot', ?1)", [boot.as_str()])?;
    Ok(())
}

/// A database of this version for the tests of what works on one.
#[cfg(test)]
pub(crate) fn in_memory() -> Connection {
    let mut connection = Connection::open_in_memory().expect("memory");
    upgrade(&mut connection, &Boot::named("test")).expect("an empty database");
    connection
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_number_of_steps() {
        assert_eq!(usize::try_from(VERSION), Ok(STEPS.len()));
    }
}
