//! What a call has done, and what it had to leave out.

/// What a call found, did and left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Inodes below the source, hard-linked ones once.
    pub inodes: u64,
    /// Inodes that were made in the target: new ones, and those whose contents had changed.
    pub copied: u64,
    /// Names that were made in the target for an inode that has another name there.
    pub linked: u64,
    /// Inodes of the target whose owner, mode, time or attributes alone were changed, or, of a directory, at the end.
    pub adjusted: u64,
    /// Names that were removed from the target.
    pub removed: u64,
    /// Bytes of contents that were copied, holes not counted.
    pub bytes: u64,
    /// Devices of the source that were not copied.
    pub left_out_devices: u64,
    /// Whiteouts of overlayfs that the target did not take: an overlay takes none from outside, and where it has them as files, its
    /// layers show names that were removed.
    pub left_out_whiteouts: u64,
    /// Extended attributes that the target did not take.
    pub left_out_attributes: u64,
    /// Names in either tree on which something is mounted: nothing was done about them.
    pub mounts: u64,
    /// Names that vanished from the source, or became something else, while they were being dealt with.
    pub vanished: u64,
    /// Names of files that could not be read, since somebody held a write lease on them: the target has what it had before.
    ///
    /// Unless this is 0, the target is not known to be the same as the source: what was
    /// [`unchanged_since`](super::Options::unchanged_since) for this call has to be that for the next one too.
    pub busy: u64,
}

impl Report {
    /// Whether anything in the target was changed.
    pub const fn changed(&self) -> bool {
        self.copied + self.linked + self.adjusted + self.removed > 0
    }

    pub(super) const fn add(&mut self, other: Self) {
        let Self {
            inodes,
            copied,
            linked,
            adjusted,
            removed,
            bytes,
            left_out_devices,
            left_out_whiteouts,
            left_out_attributes,
            mounts,
            vanished,
            busy,
        } = other;
        self.inodes += inodes;
        self.copied += copied;
        self.linked += linked;
        self.adjusted += adjusted;
        self.removed += removed;
        self.bytes += bytes;
        self.left_out_devices += left_out_devices;
        self.left_out_whiteouts += left_out_whiteouts;
        self.left_out_attributes += left_out_attributes;
        self.mounts += mounts;
        self.vanished += vanished;
        self.busy += busy;
    }
}
