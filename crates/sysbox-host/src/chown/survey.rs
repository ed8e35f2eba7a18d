//! The first pass: looks at every inode of the tree, checks that it can be changed, and notes what must change. It changes
//! nothing.

use std::{
    collections::HashSet,
    ffi::CString,
    mem::MaybeUninit,
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, RawDir, Stat, llistxattr, statat},
    io::Errno,
    process::fchdir,
};

use super::{
    ChownError, IdKind, IdPlace,
    ids::Direction,
    inode::{Inode, any_at_stake, has_set_id, new_owner},
    plan::{Batches, Change, Plan},
    tree::{Place, Tree},
};
use crate::walk::{Directories, DirectoryId, Queue, workers};

/// The longest list of attributes that an inode can have, of the kernel's `include/uapi/linux/limits.h`.
const XATTR_LIST_MAX: usize = 65_536;

/// Whether an id in the destination range has come there by a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The tree has no record: an id in the destination is an error, since the way back would take it along.
    Fresh,
    /// The tree is on record.
    OnRecord,
}

/// Looks at the whole tree.
pub(super) fn survey(tree: &Tree, direction: Direction, trust: Trust) -> Result<Plan, ChownError> {
    let queue = Queue::new();
    let links = Mutex::default();
    let parts = workers::run::<_, ChownError>(|| {
        let mut surveyor = Surveyor {
            tree,
            direction,
            trust,
            links: &links,
            entries: vec![MaybeUninit::uninit(); 32 * 1024],
            batches: Batches::default(),
            further: Batches::default(),
            inodes: 0,
        };
        while let Some(turn) = queue.next() {
            let found = surveyor.read(turn.id, &turn.path)?;
            turn.done(found);
        }
        Ok(surveyor)
    })?;
    let (mut batches, mut further, mut inodes) = (Vec::new(), Vec::new(), 0);
    for part in parts {
        batches.append(&mut part.batches.into_vec());
        further.append(&mut part.further.into_vec());
        inodes += part.inodes;
    }
    Ok(Plan { batches, further, directories: queue.into_directories(), inodes })
}

/// Checks that a tree without a record has not got this id in the destination already.
pub(super) fn check_id(
    direction: Direction,
    trust: Trust,
    at: Place<'_>,
    place: IdPlace,
    kind: IdKind,
    id: u32,
) -> Result<(), ChownError> {
    let range = direction.destination(kind);
    if trust == Trust::Fresh && range.contains(id) {
        return Err(ChownError::IdInRange { path: at.path(), place, kind, id, range });
    }
    Ok(())
}

/// One thread of the pass.
struct Surveyor<'a> {
    tree: &'a Tree,
    direction: Direction,
    trust: Trust,
    /// The inodes with several names that were seen under one of them, by device and number.
    links: &'a Mutex<HashSet<(u64, u64)>>,
    entries: Vec<MaybeUninit<u8>>,
    batches: Batches,
    further: Batches,
    inodes: u64,
}

impl Surveyor<'_> {
    /// Reads a directory and looks at what is in it; returns the names of the directories among that.
    fn read(&mut self, id: DirectoryId, path: &[u8]) -> Result<Vec<CString>, ChownError> {
        let here = Place { tree: self.tree, directory: path, name: c"." };
        let directory = self.tree.directory(path)?;
        fchdir(&directory).map_err(|errno| here.error("enter", errno))?;
        if id == Directories::ROOT {
            self.look(id, here)?;
        }
        let mut found = Vec::new();
        // Taken out for the time being, since looking at an entry needs the rest.
        let mut buffer = std::mem::take(&mut self.entries);
        let mut entries = RawDir::new(&directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| here.error("read the directory", errno))?;
            let name = entry.file_name();
            if name != c"." && name != c".." && self.look(id, Place { name, ..here })? == FileType::Directory
            {
                found.push(name.to_owned());
            }
        }
        self.entries = buffer;
        Ok(found)
    }

    /// Looks at an inode in the working directory and notes what must change; returns its type.
    fn look(&mut self, directory: DirectoryId, place: Place<'_>) -> Result<FileType, ChownError> {
        let stat = statat(CWD, place.name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| place.error("look at", errno))?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let linked = file_type != FileType::Directory && stat.st_nlink > 1;
        let first = !linked || self.is_first_link(&stat);
        self.inodes += u64::from(first);
        let check = |kind, id| check_id(self.direction, self.trust, place, IdPlace::Owner, kind, id);
        check(IdKind::User, stat.st_uid)?;
        check(IdKind::Group, stat.st_gid)?;
        let owner = new_owner(&stat, self.direction);
        // A symbolic link has neither ACL nor capabilities.
        let at_stake = file_type != FileType::Symlink && self.any_at_stake(place)?;
        if at_stake {
            Inode::open(place)?.check(self.direction, self.trust)?;
        }
        let batches = if first { &mut self.batches } else { &mut self.further };
        if at_stake || (owner.is_some() && has_set_id(&stat)) {
            batches.push(directory, place.name, Change::Whole);
        } else if let Some((uid, gid)) = owner {
            batches.push(directory, place.name, Change::Owner(uid, gid));
        }
        Ok(file_type)
    }

    fn is_first_link(&self, stat: &Stat) -> bool {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).insert((stat.st_dev, stat.st_ino))
    }

    fn any_at_stake(&self, place: Place<'_>) -> Result<bool, ChownError> {
        let list =
            |buffer: &mut [u8]| llistxattr(place.name, &mut *buffer).map(|len| any_at_stake(&buffer[..len]));
        // The kernel allocates as much as it is offered, which would cost more than the rest of the call.
        match list(&mut [0; 256]) {
            Ok(found) => Ok(found),
            Err(Errno::OPNOTSUPP) => Ok(false),
            Err(Errno::RANGE) => list(&mut vec![0; XATTR_LIST_MAX]),
            Err(errno) => Err(errno),
        }
        .map_err(|errno| place.error("list the attributes of", errno))
    }
}
