//! An inode of which more than the owner is at stake: ACLs, file capabilities, set-id bits.
//!
//! It is held by an `O_PATH` descriptor while it is looked at or changed, so that all steps are on the same inode, and reached
//! through `/proc/self/fd`, which works for every type of file and needs no permission on it.
//!
//! Each step is one system call that is done or not, and the [`Mark`] stands from before the first one that loses something
//! until after the last one that restores it. So the change can be broken off anywhere, and the same function, in either
//! direction, mends what it finds.
//!
//! An inode may have no room for the mark, since a container can fill it with attributes of its own, and must be changed all
//! the same. It is changed without one then, where all can be restored that chown(2) drops: only a kill in between loses
//! set-id bits or capabilities, of that one inode, and nothing ever gains any.

use std::{
    convert::Infallible,
    ffi::CStr,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags, chmod, chownat, fstat, getxattr,
        removexattr, setxattr,
    },
    io::Errno,
};

use super::{
    ChownError, IdKind, IdPlace, acl, capability,
    ids::Direction,
    mark::Mark,
    survey::{Trust, check_id},
    tree::Place,
};
use crate::walk::open_below;

/// The longest value that an attribute can have, of the kernel's `include/uapi/linux/limits.h`.
const XATTR_SIZE_MAX: usize = 65_536;

/// An attribute that goes with the owner of an inode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    name: &'static CStr,
    text: &'static str,
}

const ACCESS_ACL: Attribute = Attribute { name: c"system.posix_acl_access", text: "system.posix_acl_access" };
const DEFAULT_ACL: Attribute =
    Attribute { name: c"system.posix_acl_default", text: "system.posix_acl_default" };
const CAPABILITY: Attribute = Attribute { name: c"security.capability", text: "security.capability" };
const MARK: Attribute = Attribute { name: c"trusted.sysbox.pending", text: "trusted.sysbox.pending" };

/// The names in a list of attributes, as listxattr(2) gives it, that make an inode's change more than a chown.
pub(super) fn any_at_stake(list: &[u8]) -> bool {
    let at_stake = [ACCESS_ACL, DEFAULT_ACL, CAPABILITY, MARK].map(|attribute| attribute.name.to_bytes());
    list.split(|&byte| byte == 0).any(|name| at_stake.contains(&name))
}

/// The owner that an inode with this status should have, if it is another one.
pub(super) fn new_owner(stat: &Stat, direction: Direction) -> Option<(Uid, Gid)> {
    let uid = direction.apply(IdKind::User, stat.st_uid);
    let gid = direction.apply(IdKind::Group, stat.st_gid);
    ((uid, gid) != (stat.st_uid, stat.st_gid)).then(|| (Uid::from_raw(uid), Gid::from_raw(gid)))
}

/// Whether chown(2) drops bits from the mode of an inode with this status.
pub(super) fn has_set_id(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) != FileType::Directory
        && Mode::from_raw_mode(stat.st_mode).intersects(Mode::SUID | Mode::SGID)
}

/// An inode of the tree.
#[derive(Debug)]
pub(super) struct Inode<'a> {
    fd: OwnedFd,
    /// Its path in `/proc`.
    path: String,
    place: Place<'a>,
}

impl<'a> Inode<'a> {
    /// Opens what has the place's name in the working directory, which is to be the place's directory.
    pub(super) fn open(place: Place<'a>) -> Result<Self, ChownError> {
        let fd = open_below(rustix::fs::CWD, place.name.to_bytes(), OFlags::PATH)
            .map_err(|errno| place.error("open", errno))?;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        Ok(Self { fd, path, place })
    }

    /// Checks that [`change`](Self::change) can be done, before anything of the tree is changed: that all attributes have a
    /// known form and, if the tree is not on record, that no id is in the destination and no mark is left over.
    pub(super) fn check(&self, direction: Direction, trust: Trust) -> Result<(), ChownError> {
        let check = |place, kind, id| check_id(direction, trust, self.place, place, kind, id);
        for attribute in [ACCESS_ACL, DEFAULT_ACL] {
            let Some(mut value) = self.read(attribute)? else { continue };
            acl::rewrite(&mut value, |kind, id| check(IdPlace::Acl, kind, id).map(|()| id))
                .ok_or_else(|| self.unknown_form(attribute))??;
        }
        if let Some(value) = self.read(CAPABILITY)? {
            let root = capability::root(&value).ok_or_else(|| self.unknown_form(CAPABILITY))?;
            check(IdPlace::Capability, IdKind::User, root)?;
        }
        match self.mark()? {
            Some(_) if trust == Trust::Fresh => Err(ChownError::StrayMark { path: self.place.path() }),
            _ => Ok(()),
        }
    }

    /// Gives the inode the ids of this direction, and back what a chown drops; says whether anything was to be done.
    pub(super) fn change(&self, direction: Direction) -> Result<bool, ChownError> {
        let acls = self.shift_acl(ACCESS_ACL, direction)? | self.shift_acl(DEFAULT_ACL, direction)?;
        let stat = fstat(&self.fd).map_err(self.failed("look at"))?;
        let owner = new_owner(&stat, direction);
        let capability = self.read(CAPABILITY)?;
        let mark = match self.mark()? {
            None if owner.is_some() && (has_set_id(&stat) || capability.is_some()) => {
                let mark = Mark { mode: Mode::from_raw_mode(stat.st_mode), capability: capability.clone() };
                self.write_mark(&mark, direction)?;
                Some(mark)
            }
            found => found,
        };
        if let Some((uid, gid)) = owner {
            chownat(&self.fd, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
                .map_err(self.failed("change the owner of"))?;
        }
        if let Some(mark) = mark {
            self.restore(mark, direction)?;
            return Ok(true);
        }
        let capability = self.shift_capability(capability, direction)?;
        Ok(acls | owner.is_some() | capability)
    }

    /// Writes the mark, or does without one if there is no room for it and what it holds can be restored even so: permissions
    /// always, and capabilities that do not grow, as none do on the way back, since the chown frees the room of the old ones.
    fn write_mark(&self, mark: &Mark, direction: Direction) -> Result<(), ChownError> {
        let Err(error) = self.write(MARK, mark.to_string().as_bytes()) else { return Ok(()) };
        let fits = match &mark.capability {
            Some(old) => self.shifted_capability(old, direction)?.len() <= old.len(),
            None => true,
        };
        if !(error.is_want_of_room() && fits) {
            return Err(error);
        }
        let path = self.place.path();
        tracing::warn!(path = %path.display(), "changed without a mark, for which its attributes leave no room");
        Ok(())
    }

    /// Gives the inode back what the mark holds, and removes the mark, if it could be written.
    fn restore(&self, mark: Mark, direction: Direction) -> Result<(), ChownError> {
        chmod(&self.path, mark.mode).map_err(self.failed("restore the mode of"))?;
        if let Some(value) = mark.capability {
            self.write(CAPABILITY, &self.shifted_capability(&value, direction)?)?;
        }
        match removexattr(&self.path, MARK.name) {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(errno) => Err(self.failed("remove the mark of the change of")(errno)),
        }
    }

    fn shift_acl(&self, attribute: Attribute, direction: Direction) -> Result<bool, ChownError> {
        let Some(old) = self.read(attribute)? else { return Ok(false) };
        let mut new = old.clone();
        let Ok(()) = acl::rewrite(&mut new, |kind, id| Ok::<_, Infallible>(direction.apply(kind, id)))
            .ok_or_else(|| self.unknown_form(attribute))?;
        self.replace(attribute, &old, &new)
    }

    fn shift_capability(&self, old: Option<Vec<u8>>, direction: Direction) -> Result<bool, ChownError> {
        let Some(old) = old else { return Ok(false) };
        self.replace(CAPABILITY, &old, &self.shifted_capability(&old, direction)?)
    }

    fn shifted_capability(&self, value: &[u8], direction: Direction) -> Result<Vec<u8>, ChownError> {
        capability::root(value)
            .and_then(|root| capability::with_root(value, direction.apply(IdKind::User, root)))
            .ok_or_else(|| self.unknown_form(CAPABILITY))
    }

    fn mark(&self) -> Result<Option<Mark>, ChownError> {
        let Some(text) = self.read(MARK)? else { return Ok(None) };
        Mark::parse(&text).map(Some).ok_or_else(|| self.unknown_form(MARK))
    }

    /// The value of an attribute, if the inode has it and its file system knows it.
    fn read(&self, attribute: Attribute) -> Result<Option<Vec<u8>>, ChownError> {
        let mut value = Vec::with_capacity(256);
        loop {
            match getxattr(&self.path, attribute.name, spare_capacity(&mut value)) {
                Ok(_) => return Ok(Some(value)),
                Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
                Err(Errno::RANGE) if value.capacity() < XATTR_SIZE_MAX => value.reserve(value.capacity() * 2),
                Err(errno) => return Err(self.failed("read the attributes of")(errno)),
            }
        }
    }

    fn replace(&self, attribute: Attribute, old: &[u8], new: &[u8]) -> Result<bool, ChownError> {
        if old != new {
            self.write(attribute, new)?;
        }
        Ok(old != new)
    }

    fn write(&self, attribute: Attribute, value: &[u8]) -> Result<(), ChownError> {
        setxattr(&self.path, attribute.name, value, XattrFlags::empty())
            .map_err(self.failed("write the attributes of"))
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(Errno) -> ChownError {
        move |errno| self.place.error(operation, errno)
    }

    fn unknown_form(&self, attribute: Attribute) -> ChownError {
        ChownError::Attribute { path: self.place.path(), attribute: attribute.text }
    }
}
