//! Making an inode anew: finished under a name of its own where something is to be replaced, and then put in its place.

use std::{
    ffi::{CStr, CString},
    os::fd::AsFd,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, mknodat, openat, readlinkat, renameat, symlinkat, unlinkat},
    io::Errno,
};

use super::{
    MirrorError,
    content::{Content, Failure},
    directory::{Pair, Worker, vanished},
    facts::{Facts, Identity},
    inode::Inode,
    place::Place,
};

/// What became of an attempt to make something in the target.
pub(super) enum Made {
    Yes(Identity),
    /// There is nothing to be made of any more.
    Vanished,
    /// It cannot be read now, since somebody holds a lease on it.
    Busy,
    /// The target's file system does not take it.
    LeftOut,
}

impl Worker<'_> {
    /// Makes the inode anew, and puts it in the place of what has its name.
    pub(super) fn make(
        &mut self,
        place: Place<'_>,
        pair: &Pair,
        source: &Facts,
        replace: bool,
    ) -> Result<Made, MirrorError> {
        let Some(held) = hold_source(place, pair, source.kind)? else { return Ok(Made::Vanished) };
        let temporary = if replace { Some(self.temporary_name(place, pair)?) } else { None };
        let mut unfinished =
            Unfinished { pair, name: temporary.as_deref().unwrap_or(place.name), armed: false };
        let (source, target) = match source.kind {
            FileType::RegularFile => {
                let opened = held.open_to_read().map_err(place.source("open"))?;
                let Some(opened) = opened else { return Ok(Made::Busy) };
                let target = create(&mut unfinished).map_err(place.target("make"))?;
                (opened, target)
            }
            kind => match self.create_special(place, kind, &held, &mut unfinished)? {
                Some(target) => (held, target),
                None => return Ok(Made::LeftOut),
            },
        };
        // Looked at before the contents are read: what is changed after that shows by the time.
        let wanted = Facts::of(source.fd()).map_err(place.source("look at"))?;
        if wanted.kind == FileType::RegularFile {
            self.report.bytes += self.copy_content(place, &source, &wanted, &target)?;
        }
        self.align(place, (&source, &wanted), &target, None)?;
        let identity = Facts::of(target.fd()).map_err(place.target("look at"))?.identity;
        if replace {
            renameat(&pair.target, unfinished.name, &pair.target, place.name)
                .map_err(place.target("replace"))?;
        }
        unfinished.armed = false;
        self.report.copied += 1;
        Ok(Made::Yes(identity))
    }

    /// A name that nothing in the target has.
    pub(super) fn temporary_name(&self, place: Place<'_>, pair: &Pair) -> Result<CString, MirrorError> {
        loop {
            let name = CString::new(self.call.temporary_name()).unwrap_or_default();
            match Facts::of_name(pair.target.as_fd(), &name) {
                // The source has a file that looks as if it were one.
                Ok(_) => {}
                Err(Errno::NOENT) => return Ok(name),
                Err(errno) => return Err(place.target("look for a new name beside")(errno)),
            }
        }
    }

    fn copy_content(
        &mut self,
        place: Place<'_>,
        source: &Inode,
        wanted: &Facts,
        target: &Inode,
    ) -> Result<u64, MirrorError> {
        let mut content = Content {
            source: source.fd(),
            target: target.fd(),
            clones: &self.call.clones,
            buffer: &mut self.buffer,
        };
        content.copy(wanted).map_err(|failure| match failure {
            Failure::Read(errno) => place.source("read")(errno),
            Failure::Write(errno) => place.target("write")(errno),
        })
    }

    /// Makes what is no regular file; `None` if the target does not take it.
    fn create_special(
        &self,
        place: Place<'_>,
        kind: FileType,
        source: &Inode,
        unfinished: &mut Unfinished<'_>,
    ) -> Result<Option<Inode>, MirrorError> {
        let (directory, name) = (unfinished.pair.target.as_fd(), unfinished.name);
        let result = if kind == FileType::Symlink {
            let link = readlinkat(source.fd(), c"", Vec::new()).map_err(place.source("read the link"))?;
            symlinkat(link.as_c_str(), directory, name)
        } else {
            mknodat(directory, name, kind, Mode::RUSR | Mode::WUSR, 0)
        };
        match result {
            // An overlay does not let anybody make a whiteout.
            Err(Errno::PERM) if kind == FileType::CharacterDevice => return Ok(None),
            result => result.map_err(place.target("make"))?,
        }
        unfinished.armed = true;
        Inode::hold(directory, name).map(Some).map_err(place.target("open"))
    }
}

/// Takes hold of an entry of the source, if it is still there and of this type.
pub(super) fn hold_source(
    place: Place<'_>,
    pair: &Pair,
    kind: FileType,
) -> Result<Option<Inode>, MirrorError> {
    let held = match Inode::hold(pair.source.as_fd(), place.name) {
        // Something was mounted on it just now.
        Err(errno) if vanished(errno) || errno == Errno::XDEV => return Ok(None),
        result => result.map_err(place.source("open"))?,
    };
    let facts = Facts::of(held.fd()).map_err(place.source("look at"))?;
    Ok((facts.kind == kind && !facts.is_device()).then_some(held))
}

/// Makes a file that nobody else may use until it is finished.
fn create(unfinished: &mut Unfinished<'_>) -> Result<Inode, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&unfinished.pair.target, unfinished.name, flags, Mode::RUSR | Mode::WUSR)?;
    unfinished.armed = true;
    Ok(Inode::opened(fd))
}

/// A new name in the target, that is removed when what is to have it does not get finished.
pub(super) struct Unfinished<'a> {
    pub(super) pair: &'a Pair,
    pub(super) name: &'a CStr,
    /// Whether something has the name.
    pub(super) armed: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.armed {
            // What is left is not taken for the whole, and goes with the next call.
            let _ = unlinkat(&self.pair.target, self.name, AtFlags::empty());
        }
    }
}
