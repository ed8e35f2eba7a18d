//! One directory: what the source has not goes, then its entries are dealt with, and then the directory itself.
//!
//! Only the thread that deals with a directory changes its entries, so its time of modification stays once it is set.

use std::{
    collections::HashSet,
    ffi::CString,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{RawDir, SeekFrom, seek},
    io::Errno,
};

use super::{
    MirrorError, Progress, Report,
    call::Call,
    content::BUFFER,
    facts::{Facts, Identity},
    inode::Inode,
    place::Place,
};
use crate::{
    remove::remove_entry,
    walk::{Directories, DirectoryId, open_directory},
};

/// So many names are noted before they are removed: 256 KiB at most, of 255 bytes each.
const REMOVED_AT_ONCE: usize = 1024;
/// So many names of a directory are remembered: 16 MiB of names at most. The others of a larger one are looked up one by one.
const KNOWN: usize = 64 * 1024;
/// After so many entries a thread tells how far it is.
const STEP: u64 = 256;

/// A directory of both trees.
pub(super) struct Pair {
    pub(super) id: DirectoryId,
    pub(super) source: OwnedFd,
    pub(super) target: OwnedFd,
    /// Whether the target's has no entries, so that there is nothing to compare with.
    pub(super) target_is_empty: bool,
}

/// One thread of a call.
pub(super) struct Worker<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) report: Report,
    pub(super) buffer: Vec<u8>,
    /// The inode that a name was last linked to.
    pub(super) linked_to: Option<(Identity, OwnedFd)>,
    entries: Vec<MaybeUninit<u8>>,
    names: Vec<MaybeUninit<u8>>,
    untold: u64,
    told_bytes: u64,
}

/// What a name that the source has no more, or no more as it was, is told by.
pub(super) const fn vanished(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE)
}

impl<'a> Worker<'a> {
    pub(super) fn new(call: &'a Call<'a>) -> Self {
        Self {
            call,
            report: Report::default(),
            buffer: vec![0; BUFFER],
            linked_to: None,
            entries: vec![MaybeUninit::uninit(); 32 * 1024],
            names: vec![MaybeUninit::uninit(); 32 * 1024],
            untold: 0,
            told_bytes: 0,
        }
    }

    /// Deals with directories until there are no more.
    pub(super) fn run(mut self) -> Result<Report, MirrorError> {
        while let Some(turn) = self.call.queue.next() {
            let found = self.directory(turn.id, &turn.path)?;
            turn.done(found);
        }
        self.tell();
        Ok(self.report)
    }

    /// Deals with a directory and returns the names of the directories in it.
    fn directory(&mut self, id: DirectoryId, path: &[u8]) -> Result<Vec<CString>, MirrorError> {
        let here = Place { call: self.call, directory: path, name: c"." };
        let Some((source, target)) = self.open(here)? else { return Ok(Vec::new()) };
        let left = self.remove_surplus(here, &source, &target)?;
        let pair = Pair { id, source, target, target_is_empty: left == 0 };
        let found = self.entries(here, &pair)?;
        if id != Directories::ROOT {
            self.align_directory(here, pair)?;
        }
        Ok(found)
    }

    fn open(&mut self, here: Place<'_>) -> Result<Option<(OwnedFd, OwnedFd)>, MirrorError> {
        let source = match open_directory(self.call.source, here.directory) {
            Err(errno) if vanished(errno) => {
                self.report.vanished += 1;
                return Ok(None);
            }
            Err(Errno::XDEV) => {
                self.report.mounts += 1;
                return Ok(None);
            }
            result => result.map_err(here.source("open"))?,
        };
        let target = open_directory(self.call.target, here.directory).map_err(here.target("open"))?;
        Ok(Some((source, target)))
    }

    /// Removes what the source has not, but for devices, and returns how many entries are left.
    fn remove_surplus(
        &mut self,
        here: Place<'_>,
        source: &OwnedFd,
        target: &OwnedFd,
    ) -> Result<u64, MirrorError> {
        loop {
            let (left, surplus, skipping) = self.read_surplus(here, source, target)?;
            self.report.removed += remove(here, target, &surplus)?;
            if !skipping {
                return Ok(left);
            }
            seek(target, SeekFrom::Start(0)).map_err(here.target("read the directory"))?;
        }
    }

    /// Reads the directory to its end: how many entries stay, the names of those that do not, and whether entries may have
    /// been skipped, since so many do not stay that some were removed on the way. That moves no entry on most file systems,
    /// so one more time shows that all were seen, and the time is in proportion to the number of entries.
    fn read_surplus(
        &mut self,
        here: Place<'_>,
        source: &OwnedFd,
        target: &OwnedFd,
    ) -> Result<(u64, Vec<CString>, bool), MirrorError> {
        let (mut left, mut surplus, mut known, mut skipping) = (0, Vec::new(), None, false);
        let mut entries = RawDir::new(target, &mut self.entries);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(here.target("read the directory"))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let place = Place { name, ..here };
            if known.is_none() {
                known =
                    Some(known_names(source, &mut self.names).map_err(here.source("read the directory"))?);
            }
            if known.as_ref().is_some_and(|known: &HashSet<CString>| known.contains(name)) {
                left += 1;
                continue;
            }
            match Facts::of_name(source.as_fd(), name) {
                Ok(_) => left += 1,
                Err(Errno::NOENT) => match Facts::of_name(target.as_fd(), name) {
                    Ok(facts) if facts.is_device() => left += 1,
                    Err(Errno::NOENT) => {}
                    Ok(_) => surplus.push(name.to_owned()),
                    Err(errno) => return Err(place.target("look at")(errno)),
                },
                Err(errno) => return Err(place.source("look at")(errno)),
            }
            if surplus.len() == REMOVED_AT_ONCE {
                self.report.removed += remove(here, target, &surplus)?;
                surplus.clear();
                skipping = true;
            }
        }
        Ok((left, surplus, skipping))
    }

    /// Deals with the entries of a directory and returns the names of the directories among them.
    fn entries(&mut self, here: Place<'_>, pair: &Pair) -> Result<Vec<CString>, MirrorError> {
        let mut found = Vec::new();
        // Taken out for the time being, since dealing with an entry needs the rest.
        let mut buffer = std::mem::take(&mut self.entries);
        let mut entries = RawDir::new(&pair.source, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(here.source("read the directory"))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if self.entry(Place { name, ..here }, pair)? {
                found.push(name.to_owned());
            }
            self.untold += 1;
            if self.untold == STEP {
                self.tell();
            }
        }
        self.entries = buffer;
        Ok(found)
    }

    fn align_directory(&mut self, here: Place<'_>, pair: Pair) -> Result<(), MirrorError> {
        let wanted = Facts::of(pair.source.as_fd()).map_err(here.source("look at"))?;
        let now = Facts::of(pair.target.as_fd()).map_err(here.target("look at"))?;
        let (source, target) = (Inode::opened(pair.source), Inode::opened(pair.target));
        let changed = self.align(here, (&source, &wanted), &target, Some(&now))?;
        self.report.adjusted += u64::from(changed);
        Ok(())
    }

    fn tell(&mut self) {
        let bytes = self.report.bytes - std::mem::replace(&mut self.told_bytes, self.report.bytes);
        self.call.tell(Progress { entries: std::mem::take(&mut self.untold), bytes });
    }
}

/// Removes these entries of a directory and returns how many names were removed.
fn remove(here: Place<'_>, directory: &OwnedFd, names: &[CString]) -> Result<u64, MirrorError> {
    let one = |name| remove_entry(directory.as_fd(), name).map_err(Place { name, ..here }.removal());
    names.iter().map(|name| one(name)).sum()
}

/// The names in a directory, or as many as are remembered. It is read from its beginning again afterwards.
fn known_names(directory: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> Result<HashSet<CString>, Errno> {
    let mut known = HashSet::new();
    let mut entries = RawDir::new(directory, buffer);
    while let Some(entry) = entries.next() {
        known.insert(entry?.file_name().to_owned());
        if known.len() == KNOWN {
            break;
        }
    }
    seek(directory, SeekFrom::Start(0))?;
    Ok(known)
}
