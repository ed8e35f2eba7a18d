//! Extended attributes: which are carried over, with which ids in them, and which the target may refuse.
//!
//! One value is in memory at a time: an inode of XFS or btrfs may have thousands of 64 KiB.

use std::{convert::Infallible, ffi::CStr, sync::PoisonError};

use rustix::io::Errno;

use super::{MirrorError, call::Call, inode::Inode, place::Place};
use crate::chown::{IdKind, acl, capability, ids::Direction};

/// The longest list of attributes that an inode can have, of the kernel's `include/uapi/linux/limits.h`.
const XATTR_LIST_MAX: usize = 65_536;

/// What is of this host, and not of the tree's contents; and what XFS keeps its ACLs in, which are carried over as such.
const NOT_CARRIED: [&[u8]; 4] =
    [b"trusted.sysbox.", b"security.selinux\0", b"trusted.SGI_ACL_FILE\0", b"trusted.SGI_ACL_DEFAULT\0"];

/// What has become of the attributes of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) changed: bool,
    pub(super) left_out: u64,
}

/// The names, each with its terminator, of the attributes that are carried over; `list` is what calls listxattr(2).
pub(super) fn names(list: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    // The kernel allocates as much as it is offered, which would cost more than the rest of the call.
    let mut short = [0; 256];
    match list(&mut short) {
        Ok(len) => Ok(carried(&short[..len])),
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(Errno::RANGE) => {
            let mut long = vec![0; XATTR_LIST_MAX];
            let len = list(&mut long)?;
            Ok(carried(&long[..len]))
        }
        Err(errno) => Err(errno),
    }
}

fn carried(list: &[u8]) -> Vec<u8> {
    let carried = |name: &&[u8]| !NOT_CARRIED.iter().any(|prefix| name.starts_with(prefix));
    list.split_inclusive(|&byte| byte == 0).filter(carried).flatten().copied().collect()
}

/// The single names in what [`names`] returns.
fn each(names: &[u8]) -> impl Iterator<Item = &CStr> {
    names.split_inclusive(|&byte| byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
}

/// Gives `target` the attributes of `source`, as far as it takes them, and no others.
pub(super) fn align(place: Place<'_>, source: &Inode, target: &Inode) -> Result<Outcome, MirrorError> {
    const LIST: &str = "list the attributes of";
    let wanted = names(|buffer| source.list_attributes(buffer)).map_err(place.source(LIST))?;
    let present = names(|buffer| target.list_attributes(buffer)).map_err(place.target(LIST))?;
    let mut outcome = Outcome::default();
    for name in each(&present).filter(|name| !each(&wanted).any(|wanted| wanted == *name)) {
        match target.remove_attribute(name) {
            Ok(()) => outcome.changed = true,
            Err(Errno::NODATA) => {}
            Err(errno) => refuse(place, name, errno, &mut outcome)?,
        }
    }
    for name in each(&wanted) {
        let value = source.attribute(name).map_err(place.source("read the attributes of"))?;
        let Some(value) = value.map(|value| shifted(name, value, place.call.direction)) else { continue };
        let now = target.attribute(name).map_err(place.target("read the attributes of"))?;
        if now.as_ref() == Some(&value) {
            continue;
        }
        match target.set_attribute(name, &value) {
            Ok(()) => outcome.changed = true,
            Err(errno) => {
                refuse(place, name, errno, &mut outcome)?;
                // The value of before is not the source's.
                if now.is_some() && target.remove_attribute(name).is_ok() {
                    outcome.changed = true;
                }
            }
        }
    }
    Ok(outcome)
}

/// Notes that the target has refused an attribute, if it may.
fn refuse(place: Place<'_>, name: &CStr, errno: Errno, outcome: &mut Outcome) -> Result<(), MirrorError> {
    let name_starts_with = |prefix: &[u8]| name.to_bytes().starts_with(prefix);
    let may = match errno {
        Errno::OPNOTSUPP => true,
        // An overlay keeps these of its layers to itself.
        Errno::PERM => name_starts_with(b"trusted.overlay."),
        // How much the attributes of an inode may take is up to the file system: of ext4 a block, of XFS 64 KiB each.
        Errno::NOSPC | Errno::TOOBIG | Errno::RANGE => name_starts_with(b"user."),
        _ => false,
    };
    if !may {
        return Err(place.target("write the attributes of")(errno));
    }
    outcome.left_out += 1;
    first_refused(place.call, || (place.in_target(), name.to_string_lossy().into_owned()));
    Ok(())
}

fn first_refused(call: &Call<'_>, what: impl FnOnce() -> (std::path::PathBuf, String)) {
    call.refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(what);
}

/// The value with its ids shifted. One of an unknown form has none that are known, and stays.
fn shifted(name: &CStr, mut value: Vec<u8>, direction: Option<Direction>) -> Vec<u8> {
    let Some(direction) = direction else { return value };
    match name.to_bytes() {
        b"system.posix_acl_access" | b"system.posix_acl_default" => {
            let mut acl = value.clone();
            match acl::rewrite(&mut acl, |kind, id| Ok::<_, Infallible>(direction.apply(kind, id))) {
                Some(Ok(())) => value = acl,
                None => {}
            }
            value
        }
        b"security.capability" => capability::root(&value)
            .and_then(|root| capability::with_root(&value, direction.apply(IdKind::User, root)))
            .unwrap_or(value),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_this_host_is_not_carried_over() {
        let list =
            b"user.a\0security.selinux\0trusted.sysbox.shift\0security.selinux2\0trusted.overlay.opaque\0";
        let found = names(|buffer| {
            buffer[..list.len()].copy_from_slice(list);
            Ok(list.len())
        });
        assert_eq!(found.expect("no error"), b"user.a\0security.selinux2\0trusted.overlay.opaque\0",);
    }

    #[test]
    fn a_long_list_is_read_whole() {
        let list = "user.attribute\0".repeat(100);
        let found = names(|buffer| {
            let whole = buffer.get_mut(..list.len()).ok_or(Errno::RANGE)?;
            whole.copy_from_slice(list.as_bytes());
            Ok(list.len())
        });
        assert_eq!(found.expect("no error"), list.as_bytes());
    }
}
