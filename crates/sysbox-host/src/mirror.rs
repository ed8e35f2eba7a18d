//! Mirroring a tree: afterwards, what is below the target directory is what is below the source directory.
//!
//! - **Whole.** Contents with their holes, hard links, modes, owners, times of modification and extended attributes are
//!   carried over, and what the source has not is removed. Devices are not copied, but for the whiteouts of overlayfs.
//! - **Shifted.** Owners, ACLs and file capabilities are carried from the container's ids to the host's, or back, on the way.
//! - **Never half.** An existing file is replaced by renaming a finished one over it, and the time of modification, by which
//!   a file is known as unchanged, is set last: a call that was broken off is finished by the next one.
//! - **Never outside.** Both trees may be hostile and change meanwhile: everything is opened by descriptor, without following
//!   symbolic links or entering mounts, and no device or fifo is ever opened.
//!
//! Each directory is dealt with by one of several threads, none of which outlives the call, and just once: its entries, and then
//! itself.

mod align;
mod attributes;
mod call;
mod content;
mod directory;
mod entry;
mod error;
mod facts;
mod inode;
mod links;
mod make;
mod place;
mod report;

use std::{
    os::fd::BorrowedFd,
    thread,
    time::{Duration, SystemTime},
};

use rustix::time::{ClockId, clock_gettime};
use sysbox_core::tree::TreeIds;

use self::{call::Call, directory::Worker};
pub use self::{error::MirrorError, report::Report};
use crate::walk::workers;

/// What becomes of the ids of owners, ACLs and file capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// They stay.
    Kept,
    /// Those of the container, from 0 on, become these ids of the host.
    ToHost(TreeIds),
    /// These ids of the host become the container's, from 0 on.
    ToContainer(TreeIds),
}

/// How a tree is to be mirrored.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What becomes of the owners.
    pub owners: Owners,
    /// A time by [`clock`] since when this source and this target were known to be the same, but for changes of the source.
    ///
    /// A file is taken as unchanged when its size and its time of modification are those of the target's. With this, its inode
    /// must not have been changed since then either, which sees through programs that set the time back.
    pub unchanged_since: Option<SystemTime>,
    /// Told about every 256 inodes, from several threads, and at the end.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { owners, unchanged_since, progress: _ } = self;
        f.debug_struct("Options")
            .field("owners", owners)
            .field("unchanged_since", unchanged_since)
            .finish_non_exhaustive()
    }
}

/// How far a call has come. How far it has to go is not known before the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Names of the source that were dealt with.
    pub entries: u64,
    /// Bytes of contents that were copied, holes not counted.
    pub bytes: u64,
}

/// Makes what is below `target` the same as what is below `source`. The two directories themselves stay as they are.
///
/// Devices in the target that the source has not are left alone. Nothing of what is mounted in either tree is read or changed.
/// What vanishes from the source meanwhile is left out. Attributes `trusted.sysbox.*` and `security.selinux` are not copied, and
/// those that the target does not take, since its file system has no such or is an overlay, are left out and counted.
///
/// All is on disk when it returns, if anything was changed. Needs the rights of root in the initial user namespace, and `/proc`.
/// The target must not be changed by others meanwhile, or what they do may be lost; two calls must not have the same target.
///
/// # Errors
/// [`MirrorError::RangeTooLow`] comes before the first change. After all others a part of the target is as the source and the
/// rest as it was, and another call goes on.
pub fn mirror(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    options: &Options<'_>,
) -> Result<Report, MirrorError> {
    let call = Call::new(source, target, options)?;
    let reports = workers::run(|| Worker::new(&call).run())?;
    let mut report = Report::default();
    reports.into_iter().for_each(|part| report.add(part));
    call.finish(&mut report)?;
    Ok(report)
}

/// The time now, by the clock by which the kernel stamps changes of inodes (`CLOCK_REALTIME_COARSE`): a change that comes after this
/// call bears this time or a later one. It ticks at least 100 times a second.
pub fn clock() -> SystemTime {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or_default());
    SystemTime::UNIX_EPOCH + seconds + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or_default())
}

/// A time by [`clock`] that no change before this call bears, though every change after it does, or a later one. Waits for a tick.
pub fn clock_after_changes() -> SystemTime {
    // Kernels from 6.13 on may stamp a change more finely than the clock ticks.
    let fine = SystemTime::now();
    loop {
        let coarse = clock();
        if coarse > fine {
            return coarse;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// What an inode must have been last changed before to be taken as unchanged, in seconds and nanoseconds.
fn changed_before(since: SystemTime) -> (i64, u32) {
    match since.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        // Nothing was changed before 1970, or all of it is to be copied.
        Err(_) => (i64::MIN, 0),
    }
}
