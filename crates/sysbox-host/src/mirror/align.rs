//! Bringing owner, mode, attributes and time of an inode in line, the time last.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{FileType, Gid, Uid, llistxattr},
    io::Errno,
    process::fchdir,
};

use super::{
    MirrorError, attributes,
    directory::{Pair, Worker},
    facts::Facts,
    inode::Inode,
    make::{Made, hold_source},
    place::Place,
};
use crate::chown::IdKind;

impl Worker<'_> {
    /// Brings owner, mode, time and attributes in line.
    pub(super) fn align_unchanged(
        &mut self,
        place: Place<'_>,
        pair: &Pair,
        wanted: &Facts,
        now: &Facts,
    ) -> Result<Made, MirrorError> {
        let aligned =
            wanted.mode == now.mode && wanted.modified == now.modified && self.new_owner(wanted) == now.owner;
        if aligned && !self.has_attributes(place, pair)? {
            return Ok(Made::Yes(now.identity));
        }
        let Some(source) = hold_source(place, pair, wanted.kind)? else { return Ok(Made::Vanished) };
        let target = Inode::hold(pair.target.as_fd(), place.name).map_err(place.target("open"))?;
        let held = (
            Facts::of(source.fd()).map_err(place.source("look at"))?,
            Facts::of(target.fd()).map_err(place.target("look at"))?,
        );
        // The time of a file that has taken the name since, or was written to, would tell that its contents are there.
        if (held.0.identity, held.0.modified) != (wanted.identity, wanted.modified)
            || held.1.identity != now.identity
        {
            return Ok(Made::Vanished);
        }
        let changed = self.align(place, (&source, &held.0), &target, Some(&held.1))?;
        self.report.adjusted += u64::from(changed);
        Ok(Made::Yes(now.identity))
    }

    /// Whether the entry has attributes in either tree.
    ///
    /// From a working directory, which each thread has for itself, that takes a third of the time of a path in `/proc`.
    fn has_attributes(&self, place: Place<'_>, pair: &Pair) -> Result<bool, MirrorError> {
        let any = |directory: &OwnedFd| {
            fchdir(directory)?;
            match attributes::names(|buffer| llistxattr(place.name, buffer)) {
                Err(Errno::NOENT) => Ok(false),
                result => result.map(|names| !names.is_empty()),
            }
        };
        const LIST: &str = "list the attributes of";
        Ok(any(&pair.source).map_err(place.source(LIST))? || any(&pair.target).map_err(place.target(LIST))?)
    }

    /// Gives the target's inode the owner, mode, attributes and time of the source's; says whether it had others. `now` is
    /// what it has, if it was not just made.
    pub(super) fn align(
        &mut self,
        place: Place<'_>,
        (source, wanted): (&Inode, &Facts),
        target: &Inode,
        now: Option<&Facts>,
    ) -> Result<bool, MirrorError> {
        let owner = self.new_owner(wanted);
        let mut changed = false;
        if now.is_none_or(|now| now.owner != owner) {
            target.set_owner(owner).map_err(place.target("change the owner of"))?;
            changed = true;
        }
        // A change of owner drops set-id bits, and file capabilities.
        if wanted.kind != FileType::Symlink && (changed || now.is_none_or(|now| now.mode != wanted.mode)) {
            target.set_mode(wanted.mode).map_err(place.target("change the mode of"))?;
            changed = true;
        }
        let outcome = attributes::align(place, source, target)?;
        self.report.left_out_attributes += outcome.left_out;
        changed |= outcome.changed;
        if now.is_none_or(|now| now.modified != wanted.modified) {
            target.set_modified(wanted.modified).map_err(place.target("set the time of"))?;
            changed = true;
        }
        Ok(changed)
    }

    fn new_owner(&self, facts: &Facts) -> (Uid, Gid) {
        let (uid, gid) = facts.owner;
        match self.call.direction {
            None => (uid, gid),
            Some(direction) => (
                Uid::from_raw(direction.apply(IdKind::User, uid.as_raw())),
                Gid::from_raw(direction.apply(IdKind::Group, gid.as_raw())),
            ),
        }
    }
}
