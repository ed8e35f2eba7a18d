//! What a read-only rootfs takes: places that can be written, and mounts below `/sys` that cannot.

use oci_spec::runtime::{Mount, Spec};

use super::list::{Row, field, is_at};
use crate::syscont::Changes;

/// What programs expect to be able to write.
const WRITABLE: [Row; 2] = [
    Row::tmpfs("/run", &["rw", "rprivate", "noexec", "nosuid", "nodev", "mode=755", "size=64m"]),
    // Everybody writes there, as everywhere.
    Row::tmpfs("/tmp", &["rw", "rprivate", "noexec", "nosuid", "nodev", "mode=1777", "size=64m"]),
];

/// With `root.readonly`: a tmpfs at `/run` and `/tmp` unless the spec mounts something there, and mounts at and below `/sys` read-only; or
/// read-write where the manager is relaxed about it. Does nothing to other specs.
pub fn complete_read_only(spec: &mut Spec, relaxed: bool, changes: &mut Changes) {
    let access = Access::of_rootfs(spec, relaxed);
    if access == Access::AsGiven {
        return;
    }
    let mounts = spec.mounts_mut().get_or_insert_default();
    for mount in mounts.iter_mut() {
        if access.give_below_sys(mount) {
            changes.note(field(mount.destination()), access.reason());
        }
    }
    for row in WRITABLE {
        if !mounts.iter().any(|mount| is_at(mount, row.destination)) {
            let mount = row.mount();
            changes.note(field(mount.destination()), "programs write there, and the rootfs is read-only");
            mounts.push(mount);
        }
    }
}

/// Whether the rootfs of a spec is read-only.
pub(super) fn is_read_only(spec: &Spec) -> bool {
    spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false)
}

/// Lets a mount that is to replace others have the access that they have, if it is at or below `/sys`. In a read-only rootfs it is
/// [`complete_read_only`] that decides on that, so the next conversion has to find what it would put there.
pub(super) fn keep_access(mounts: &[Mount], mount: &mut Mount) {
    let there = mounts.iter().find(|other| is_at(other, mount.destination()));
    let mut options = there.into_iter().flat_map(|there| there.options()).flatten();
    let access = options.find(|option| *option == "ro" || *option == "rw").cloned();
    if mount.destination().starts_with("/sys") {
        mount.options_mut().get_or_insert_default().extend(access);
    }
}

/// What a rootfs makes of mounts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The rootfs can be written: mounts stay as they are.
    AsGiven,
    /// It is read-only, and so are mounts.
    ReadOnly,
    /// It is read-only, and the manager is relaxed about mounts.
    ReadWrite,
}

impl Access {
    pub(super) fn of_rootfs(spec: &Spec, relaxed: bool) -> Self {
        match (is_read_only(spec), relaxed) {
            (false, _) => Self::AsGiven,
            (true, false) => Self::ReadOnly,
            (true, true) => Self::ReadWrite,
        }
    }

    /// Gives a mount at or below `/sys` this access, and leaves others alone. Tells whether that changed it.
    pub(super) fn give_below_sys(self, mount: &mut Mount) -> bool {
        mount.destination().starts_with("/sys") && self.give(mount)
    }

    /// Gives a mount of the manager's this access: relaxed, it is as the manager says. Tells whether that changed it.
    pub(super) fn give_to_mount_of_manager(self, mount: &mut Mount) -> bool {
        if self == Self::ReadOnly { self.give(mount) } else { self.give_below_sys(mount) }
    }

    fn give(self, mount: &mut Mount) -> bool {
        let (wanted, other) = match self {
            Self::AsGiven => return false,
            Self::ReadOnly => ("ro", "rw"),
            Self::ReadWrite => ("rw", "ro"),
        };
        let options = mount.options_mut().get_or_insert_default();
        let has = |wanted: &str| options.iter().any(|option| option == wanted);
        if has(wanted) && !has(other) {
            return false;
        }
        let place = options.iter().position(|option| option == wanted || option == other);
        options.retain(|option| option != wanted && option != other);
        options.insert(place.unwrap_or(options.len()), wanted.to_owned());
        true
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::ReadWrite => "the manager lets it be written although the rootfs is read-only",
            Self::AsGiven | Self::ReadOnly => {
                "the rootfs is read-only, and so is what the kernel shows there"
            }
        }
    }
}

#[cfg(test)]
mod tests;
