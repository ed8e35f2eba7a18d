//! Who owns a file, in the ids of the host.

use std::fmt;

/// A user id of the host, as seen in the initial user namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostUid(pub u32);

/// A group id of the host, as seen in the initial user namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostGid(pub u32);

/// The user and the group that own a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The user.
    pub uid: HostUid,
    /// The group.
    pub gid: HostGid,
}

impl Owner {
    /// The owner with these ids.
    pub const fn new(uid: u32, gid: u32) -> Self {
        Self { uid: HostUid(uid), gid: HostGid(gid) }
    }

    /// Whether it is the host's root, 0:0.
    pub const fn is_root(self) -> bool {
        self.uid.0 == 0 && self.gid.0 == 0
    }
}

impl fmt::Display for HostUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for HostGid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}
