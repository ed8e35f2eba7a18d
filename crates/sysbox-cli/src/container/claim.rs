//! The directory of a container, and who may work on it.
//!
//! One process at a time does: it holds a lock that the kernel drops when the process ends, however it ends. So a directory
//! whose lock is free and that still has a record was left behind by a process that died.
//!
//! A directory is done with in one step: it is renamed to what no container can be named, and then removed. So it is there
//! with everything in it or not at all, whenever that process is killed. What it leaves then is removed by whoever comes next.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, fcntl_lock};
use sysbox::{AbsPath, Backend, ContainerId};

use super::Record;

const LOCK: &str = "lock";
const RECORD: &str = "record.json";

/// Starts the names of directories that are done with. No container id can hold it.
const TOMBSTONE: char = '~';

/// How long it takes at most until one who has a container locked has a record of it, or is done with it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether that is so.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The longest file name of Linux file systems (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// The directories of all containers, below the data root.
#[derive(Clone, Debug)]
pub(crate) struct Containers {
    dir: PathBuf,
}

/// A container that only this process works on, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) id: ContainerId,
    dir: AbsPath,
    _lock: File,
}

/// A container cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error("container {id} is in use by another process; choose another name, or end it: {delete}")]
    InUse { id: ContainerId, delete: String },
    #[error(
        "container id has {len} characters; a directory is named after it, and that takes at most {NAME_MAX}"
    )]
    TooLong { len: usize },
    #[error("cannot {operation} {}; is the data root writable? (choose it with --data-root)", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("the record {} cannot be read, so what was done for the container is not known", path.display())]
    Record { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
}

impl Containers {
    /// The containers below a data root.
    pub(crate) fn new(data_root: &AbsPath) -> Self {
        Self { dir: data_root.as_path().join("containers") }
    }

    /// Refuses a name that no directory can have.
    pub(crate) fn check_name(&self, id: &ContainerId) -> Result<(), ClaimError> {
        self.dir_of(id).map(drop)
    }

    /// Claims a container, and makes its directory if it has none. What is in one without a record is removed: whoever made
    /// it had done nothing else yet.
    pub(crate) fn claim(&self, id: &ContainerId) -> Result<Claim, ClaimError> {
        let dir = self.dir_of(id)?;
        fs::create_dir_all(&self.dir).map_err(|e| io_error("make", &self.dir, e))?;
        self.bury();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match fs::create_dir(&dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(io_error("make", &dir, e)),
                _ => {}
            }
            match lock(id, &dir) {
                // Who has it locked without a record has just begun, or is about to be done with it.
                Err(ClaimError::InUse { .. }) if !dir.join(RECORD).exists() && Instant::now() < deadline => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                Err(error) => return Err(error),
                Ok(None) => {}
                Ok(Some(claim)) => {
                    if !dir.join(RECORD).exists() {
                        claim.clear()?;
                    }
                    return Ok(claim);
                }
            }
        }
    }

    /// Removes what processes that died had been removing. Those that still live are helped with it: neither whose process id
    /// it is nor whether that is seen from here matters.
    fn bury(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if is_tombstone(&entry.file_name())
                && let Err(error) = remove_tombstone(&entry.path())
            {
                tracing::debug!(path = %entry.path().display(), %error, "left to whoever comes next");
            }
        }
    }

    /// Claims a container that has a directory; `None` if it has none.
    pub(crate) fn claim_existing(&self, id: &ContainerId) -> Result<Option<Claim>, ClaimError> {
        let dir = self.dir_of(id)?;
        self.bury();
        while dir.try_exists().map_err(|e| io_error("look at", &dir, e))? {
            if let Some(claim) = lock(id, &dir)? {
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    /// Whether a container has a directory, as it has from before it is registered until after it is forgotten.
    pub(crate) fn is_there(&self, id: &ContainerId) -> bool {
        self.dir_of(id).is_ok_and(|dir| dir.exists())
    }

    /// The record of a container as it is now, whoever works on it.
    pub(crate) fn record(&self, id: &ContainerId) -> Result<Option<Record>, ClaimError> {
        read_record(&self.dir_of(id)?)
    }

    /// The records of all containers, by name.
    pub(crate) fn list(&self) -> Result<Vec<Record>, ClaimError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(io_error("list", &self.dir, e)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| io_error("list", &self.dir, e))?;
            if is_tombstone(&entry.file_name()) {
                continue;
            }
            match read_record(&entry.path()) {
                Ok(record) => records.extend(record),
                // One that cannot be read must not hide all others.
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::warn!(container = %entry.file_name().display(), error, "left out; see sysbox delete --force");
                }
            }
        }
        records.sort_by(|a: &Record, b| a.id.cmp(&b.id));
        Ok(records)
    }

    fn dir_of(&self, id: &ContainerId) -> Result<PathBuf, ClaimError> {
        let len = id.as_str().len();
        if len > NAME_MAX {
            return Err(ClaimError::TooLong { len });
        }
        Ok(self.dir.join(id.as_str()))
    }
}

impl Claim {
    /// All containers, this one among them.
    pub(crate) fn containers(&self) -> Containers {
        let dir = self.dir.as_path();
        Containers { dir: dir.parent().unwrap_or(dir).to_owned() }
    }

    /// Where libcontainer keeps its state.
    pub(crate) fn libcontainer_root(&self) -> PathBuf {
        self.dir.as_path().join("libcontainer")
    }

    /// The bundle that libcontainer is given: a directory with the converted spec.
    pub(crate) fn shadow_bundle(&self) -> PathBuf {
        self.dir.as_path().join("bundle")
    }

    /// The command that deletes it by force, to be shown.
    pub(crate) fn delete_by_force(&self) -> String {
        delete_by_force(self.dir.as_path(), &self.id)
    }

    /// The command that finishes what was left half done below its data root, to be shown.
    pub(crate) fn repair(&self) -> String {
        command("repair", self.dir.as_path(), "")
    }

    /// The record, if it was written.
    pub(crate) fn record(&self) -> Result<Option<Record>, ClaimError> {
        read_record(self.dir.as_path())
    }

    /// Writes the record, whole or not at all.
    pub(crate) fn save(&self, record: &Record) -> Result<(), ClaimError> {
        let path = self.dir.as_path().join(RECORD);
        let new = path.with_extension("new");
        let text = serde_json::to_vec(record).map_err(|e| io_error("write", &path, e.into()))?;
        fs::write(&new, text).map_err(|e| io_error("write", &new, e))?;
        fs::rename(&new, &path).map_err(|e| io_error("write", &path, e))
    }

    /// Removes the directory with everything in it. Only when there is nothing left to undo.
    pub(crate) fn remove(self) -> Result<(), ClaimError> {
        let dir = self.dir.as_path();
        // No other directory has its inode number as long as it is there, so the name is free.
        let number = fs::metadata(dir).map_err(|e| io_error("look at", dir, e))?.ino();
        let tombstone = dir.with_file_name(format!("{TOMBSTONE}{number}"));
        fs::rename(dir, &tombstone).map_err(|e| io_error("remove", dir, e))?;
        remove_tombstone(&tombstone).map_err(|e| io_error("remove", &tombstone, e))
    }

    /// Removes what is in the directory but for the lock.
    fn clear(&self) -> Result<(), ClaimError> {
        let dir = self.dir.as_path();
        for entry in fs::read_dir(dir).map_err(|e| io_error("list", dir, e))? {
            let entry = entry.map_err(|e| io_error("list", dir, e))?;
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if entry.file_name() != LOCK {
                let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(|e| io_error("remove", &path, e))?;
            }
        }
        Ok(())
    }
}

/// Whether a name is that of a directory that is done with.
fn is_tombstone(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&(TOMBSTONE as u8))
}

/// Removes a directory that is done with, which other processes may be removing as well.
fn remove_tombstone(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The command that deletes the container of a directory.
fn delete_by_force(dir: &Path, id: &ContainerId) -> String {
    command("delete --force", dir, id.as_str())
}

/// A command for the container of a directory. It names the data root unless that is where it is looked for anyway.
fn command(verb: &str, dir: &Path, operand: &str) -> String {
    let data_root = dir.ancestors().nth(2).filter(|root| *root != Path::new(Backend::DEFAULT_DATA_ROOT));
    let named = data_root.map(|root| format!(" --data-root {}", root.display())).unwrap_or_default();
    format!("sysbox {verb}{named} {operand}").trim_end().to_owned()
}

/// Locks a directory; `None` if it vanished meanwhile, so that the caller looks again.
fn lock(id: &ContainerId, dir: &Path) -> Result<Option<Claim>, ClaimError> {
    let path = dir.join(LOCK);
    let file = match File::options().read(true).write(true).create(true).truncate(false).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error("open", &path, e)),
    };
    // A lock of the process, not of the descriptor: a forked container init does not inherit it.
    match fcntl_lock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => {
            return Err(ClaimError::InUse { id: id.clone(), delete: delete_by_force(dir, id) });
        }
        Err(e) => return Err(io_error("lock", &path, e.into())),
    }
    let locked = file.metadata().map_err(|e| io_error("look at", &path, e))?;
    match fs::metadata(&path) {
        // Who held the lock before may have removed the directory, and another may have made it anew.
        Ok(there) if (there.dev(), there.ino()) == (locked.dev(), locked.ino()) => {
            let dir = AbsPath::new(dir).map_err(|e| io_error("use", dir, io::Error::other(e)))?;
            Ok(Some(Claim { id: id.clone(), dir, _lock: file }))
        }
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("look at", &path, e)),
    }
}

fn read_record(dir: &Path) -> Result<Option<Record>, ClaimError> {
    let path = dir.join(RECORD);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error("read", &path, e)),
    };
    let record: Record = serde_json::from_slice(&text)
        .map_err(|e| ClaimError::Record { path: path.clone(), source: e.into() })?;
    if record.is_known_version() {
        Ok(Some(record))
    } else {
        let source = "it was written by another version of this program".into();
        Err(ClaimError::Record { path, source })
    }
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> ClaimError {
    ClaimError::Io { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_left_half_removed_is_in_the_way_of_no_other() {
        let root = tempfile::tempdir().expect("a directory for temporary files");
        let containers = Containers::new(&AbsPath::new(root.path()).expect("absolute"));
        let left =
            [std::process::id(), 1, u32::MAX].map(|pid| containers.dir.join(format!("~{pid}/libcontainer")));
        for id in ["c1", "c2"] {
            let id: ContainerId = id.parse().expect("valid");
            for dir in &left {
                fs::create_dir_all(dir).expect("a new directory");
            }
            let claim = containers.claim(&id).expect("it is nobody's");
            for dir in &left {
                assert!(!dir.exists(), "{dir:?} is removed by whoever comes next");
                fs::create_dir_all(dir).expect("a new directory");
            }
            claim.remove().expect("nothing is in the way");
            assert!(containers.claim_existing(&id).expect("it can be looked for").is_none());
            assert_eq!(fs::read_dir(&containers.dir).expect("readable").count(), 0);
        }
    }

    #[test]
    fn directories_that_others_remove_at_the_same_time_are_removed_without_an_error() {
        let root = tempfile::tempdir().expect("a directory for temporary files");
        let path = root.path().join("~1");
        for _ in 0..10 {
            for name in 0..50 {
                fs::create_dir_all(path.join(name.to_string()).join("a/b")).expect("new directories");
            }
            std::thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(|| remove_tombstone(&path)));
                for thread in threads {
                    thread.join().expect("no panic").expect("it can be removed");
                }
            });
        }
    }

    #[test]
    fn the_command_that_deletes_names_the_data_root_where_it_is_not_the_default() {
        let id: ContainerId = "c1".parse().expect("valid");
        let command = |root: &str| delete_by_force(&Path::new(root).join("containers/c1"), &id);
        assert_eq!(command("/srv/data"), "sysbox delete --force --data-root /srv/data c1");
        assert_eq!(command(Backend::DEFAULT_DATA_ROOT), "sysbox delete --force c1");
        assert_eq!(
            super::command("repair", Path::new("/srv/data/containers/c1"), ""),
            "sysbox repair --data-root /srv/data"
        );
    }
}
