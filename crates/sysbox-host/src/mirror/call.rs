//! What the threads of a call share.

use std::{
    fs,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rustix::fs::syncfs;

use super::{MirrorError, Options, Owners, Progress, Report, changed_before, links::Links};
use crate::{chown::ids::Direction, walk::Queue, within::descriptor_path};

/// A call of [`mirror`](super::mirror).
pub(super) struct Call<'a> {
    pub(super) source: BorrowedFd<'a>,
    pub(super) target: BorrowedFd<'a>,
    /// The paths of the two, for messages.
    pub(super) source_path: PathBuf,
    pub(super) target_path: PathBuf,
    pub(super) direction: Option<Direction>,
    /// What a file's inode must have been changed before to be taken as unchanged.
    pub(super) changed_before: Option<(i64, u32)>,
    pub(super) queue: Queue,
    pub(super) links: Links,
    /// Whether the file systems are not known yet to share no blocks.
    pub(super) clones: AtomicBool,
    /// The first file with an attribute that the target did not take, and the attribute.
    pub(super) refused: Mutex<Option<(PathBuf, String)>>,
    names: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> Call<'a> {
    pub(super) fn new(
        source: BorrowedFd<'a>,
        target: BorrowedFd<'a>,
        options: &Options<'a>,
    ) -> Result<Self, MirrorError> {
        let direction = match options.owners {
            Owners::Kept => Ok(None),
            Owners::ToHost(ids) => Direction::to_host(ids).map(Some),
            Owners::ToContainer(ids) => Direction::to_container(ids).map(Some),
        };
        let path = |fd: BorrowedFd<'_>| fs::read_link(descriptor_path(fd)).unwrap_or_default();
        Ok(Self {
            source,
            target,
            source_path: path(source),
            target_path: path(target),
            direction: direction.map_err(MirrorError::range)?,
            changed_before: options.unchanged_since.map(changed_before),
            queue: Queue::new(),
            links: Links::default(),
            clones: AtomicBool::new(true),
            refused: Mutex::default(),
            names: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            progress: options.progress,
        })
    }

    /// A name that is given once in this call, for a file that gets its own name when it is finished.
    ///
    /// One that was left over by an earlier call is removed as everything that the source has not.
    pub(super) fn temporary_name(&self) -> String {
        format!(".sysbox-mirror-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Tells of what was done since the last time.
    pub(super) fn tell(&self, done: Progress) {
        let entries = self.entries.fetch_add(done.entries, Ordering::Relaxed) + done.entries;
        let bytes = self.bytes.fetch_add(done.bytes, Ordering::Relaxed) + done.bytes;
        (self.progress)(Progress { entries, bytes });
    }

    /// Ends the call: what was changed goes to the disk.
    pub(super) fn finish(&self, report: &mut Report) -> Result<(), MirrorError> {
        if let Some((path, attribute)) = &*self.refused.lock().unwrap_or_else(PoisonError::into_inner) {
            tracing::warn!(
                count = report.left_out_attributes,
                first = %path.display(),
                attribute,
                "the target does not take some extended attributes"
            );
        }
        if report.changed() {
            syncfs(self.target.as_fd()).map_err(|errno| {
                MirrorError::system("write to the disk what belongs to", self.target_path.clone(), errno)
            })?;
        }
        tracing::debug!(source = %self.source_path.display(), target = %self.target_path.display(), ?report, "mirrored");
        Ok(())
    }
}
