//! With which rights the suite is run: with those of root, or with none, whoever the caller is.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// The rights of this thread and of those that it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Owners can be changed, and file systems mounted.
    Root,
    /// No capability at all.
    None,
}

impl Rights {
    /// Those of root, which must be there.
    ///
    /// # Panics
    /// When they are not.
    pub fn of_root() -> Self {
        let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::CHOWN;
        let effective = capabilities(None).expect("a thread may ask that").effective;
        assert!(effective.contains(needed), "root is needed, to mount and to change owners");
        Self::Root
    }

    /// None, from now on.
    ///
    /// # Panics
    /// When they cannot be given up.
    pub fn give_up() -> Self {
        let nothing = CapabilitySet::empty();
        let sets = CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
        set_capabilities(None, sets).expect("a thread may always have fewer");
        Self::None
    }
}
