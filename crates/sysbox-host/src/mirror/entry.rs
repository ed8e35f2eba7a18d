//! One entry of a directory: told unchanged by what `statx(2)` says, linked to what was copied, or made anew.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, linkat, mkdirat, readlinkat, renameat},
    io::Errno,
};

use super::{
    MirrorError,
    directory::{Pair, Worker, vanished},
    facts::Facts,
    links::{Claim, Copy, Lead},
    make::{Made, Unfinished},
    place::Place,
};
use crate::{
    remove::remove_entry,
    walk::{open_below, open_directory},
};

impl Worker<'_> {
    /// Deals with an entry of the source; says whether it is a directory that is to be entered.
    pub(super) fn entry(&mut self, place: Place<'_>, pair: &Pair) -> Result<bool, MirrorError> {
        let source = match Facts::of_name(pair.source.as_fd(), place.name) {
            Err(errno) if vanished(errno) => {
                self.report.vanished += 1;
                return Ok(false);
            }
            result => result.map_err(place.source("look at"))?,
        };
        let mut target = self.target_facts(place, pair)?;
        if source.mounted || target.is_some_and(|target| target.mounted) {
            self.report.mounts += 1;
            return Ok(false);
        }
        let is_directory = source.kind == FileType::Directory;
        let fits = |target: Facts| {
            (target.kind == FileType::Directory) == is_directory
                && (target.is_device() || !source.is_device())
        };
        if target.is_some_and(|target| !fits(target)) {
            self.report.removed += remove_entry(pair.target.as_fd(), place.name).map_err(place.removal())?;
            target = None;
        }
        if is_directory {
            self.report.inodes += 1;
            self.make_directory(place, pair, target)?;
        } else if source.is_device() {
            self.report.inodes += 1;
            self.report.left_out_devices += 1;
        } else if source.names > 1 {
            self.linked_inode(place, pair, &source, target)?;
        } else {
            self.report.inodes += 1;
            self.inode(place, pair, &source, target, None)?;
        }
        Ok(is_directory)
    }

    fn target_facts(&self, place: Place<'_>, pair: &Pair) -> Result<Option<Facts>, MirrorError> {
        if pair.target_is_empty {
            return Ok(None);
        }
        match Facts::of_name(pair.target.as_fd(), place.name) {
            Ok(facts) => Ok(Some(facts)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(place.target("look at")(errno)),
        }
    }

    /// Makes a directory that only root may enter until it is finished.
    fn make_directory(
        &mut self,
        place: Place<'_>,
        pair: &Pair,
        target: Option<Facts>,
    ) -> Result<(), MirrorError> {
        if target.is_none() {
            mkdirat(&pair.target, place.name, Mode::RWXU).map_err(place.target("make the directory"))?;
            self.report.copied += 1;
        }
        Ok(())
    }

    /// Deals with a name of an inode that has several.
    fn linked_inode(
        &mut self,
        place: Place<'_>,
        pair: &Pair,
        source: &Facts,
        target: Option<Facts>,
    ) -> Result<(), MirrorError> {
        let links = &self.call.links;
        let mut claim = links.claim(source.identity, source.names);
        loop {
            match claim {
                Claim::First(lead) => {
                    self.report.inodes += 1;
                    return self.inode(place, pair, source, target, Some(lead));
                }
                Claim::Further(copy) => {
                    if self.link(place, pair, &copy, target)? {
                        return Ok(());
                    }
                    claim = links.claim_anew(source.identity, source.names, &copy);
                }
            }
        }
    }

    /// Deals with an inode under its only or first name.
    fn inode(
        &mut self,
        place: Place<'_>,
        pair: &Pair,
        source: &Facts,
        target: Option<Facts>,
        lead: Option<Lead<'_>>,
    ) -> Result<(), MirrorError> {
        let unchanged = match target {
            Some(target) if self.is_unchanged(place, pair, source, &target, lead.is_some())? => Some(target),
            _ => None,
        };
        let made = match unchanged {
            Some(target) => self.align_unchanged(place, pair, source, &target)?,
            None => self.make(place, pair, source, target.is_some())?,
        };
        match made {
            Made::Yes(identity) => {
                if let Some(lead) = lead {
                    lead.made(Copy { directory: pair.id, name: place.name.to_owned(), identity });
                }
            }
            Made::Vanished => self.report.vanished += 1,
            Made::Busy => self.report.busy += 1,
            Made::LeftOut => self.report.left_out_whiteouts += 1,
        }
        Ok(())
    }

    /// Whether the target's inode has the contents of the source's, and can stand for it.
    fn is_unchanged(
        &self,
        place: Place<'_>,
        pair: &Pair,
        source: &Facts,
        target: &Facts,
        linked: bool,
    ) -> Result<bool, MirrorError> {
        let same = source.kind == target.kind
            && match source.kind {
                FileType::RegularFile => {
                    source.size == target.size
                        && source.modified == target.modified
                        && self.call.changed_before.is_none_or(|time| source.changed < time)
                }
                FileType::Symlink => source.size == target.size && same_link(place, pair)?,
                _ => source.device == target.device,
            };
        // An inode of several names may stand for one of the source only, whichever of the names it is met by.
        Ok(same && (target.names == 1 || (linked && self.call.links.take(target.identity))))
    }

    /// Makes the name one of the copy; `false` if that cannot be linked to.
    fn link(
        &mut self,
        place: Place<'_>,
        pair: &Pair,
        copy: &Copy,
        target: Option<Facts>,
    ) -> Result<bool, MirrorError> {
        if target.is_some_and(|target| target.identity == copy.identity) {
            return Ok(true);
        }
        let Some(held) = self.hold_copy(copy) else { return Ok(false) };
        let temporary = if target.is_some() { Some(self.temporary_name(place, pair)?) } else { None };
        let mut unfinished =
            Unfinished { pair, name: temporary.as_deref().unwrap_or(place.name), armed: false };
        match linkat(&held, c"", &pair.target, unfinished.name, AtFlags::EMPTY_PATH) {
            // It has as many names as it can have, or is gone.
            Err(Errno::MLINK | Errno::NOENT) => return Ok(false),
            result => result.map_err(place.target("link"))?,
        }
        unfinished.armed = true;
        if target.is_some() {
            renameat(&pair.target, unfinished.name, &pair.target, place.name)
                .map_err(place.target("replace"))?;
        }
        unfinished.armed = false;
        self.linked_to = Some((copy.identity, held));
        self.report.linked += 1;
        Ok(true)
    }

    /// Takes hold of a copy, if it is still there.
    fn hold_copy(&mut self, copy: &Copy) -> Option<OwnedFd> {
        if let Some((identity, held)) = self.linked_to.take()
            && identity == copy.identity
        {
            return Some(held);
        }
        let directory = open_directory(self.call.target, &self.call.queue.path(copy.directory)).ok()?;
        let held = open_below(directory.as_fd(), copy.name.to_bytes(), OFlags::PATH).ok()?;
        let facts = Facts::of(held.as_fd()).ok()?;
        (facts.identity == copy.identity).then_some(held)
    }
}

fn same_link(place: Place<'_>, pair: &Pair) -> Result<bool, MirrorError> {
    const READ: &str = "read the link";
    let read = |directory: &OwnedFd| match readlinkat(directory, place.name, Vec::new()) {
        Err(Errno::INVAL | Errno::NOENT) => Ok(None),
        result => result.map(Some),
    };
    Ok(read(&pair.source).map_err(place.source(READ))? == read(&pair.target).map_err(place.target(READ))?)
}
