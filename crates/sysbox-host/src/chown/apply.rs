//! The second pass: changes what the first one has noted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::{
    fs::{AtFlags, CWD, chownat},
    process::fchdir,
};

use super::{
    ChownError, Progress,
    ids::Direction,
    inode::Inode,
    plan::{Batch, Change, Plan},
    tree::{Place, Tree},
};
use crate::walk::workers;

/// So many inodes a thread deals with before it tells.
const STEP: u64 = 256;

/// Does what is in the plan and returns how many inodes it has changed.
pub(super) fn apply(
    tree: &Tree,
    direction: Direction,
    plan: &Plan,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<u64, ChownError> {
    let total = plan.batches.iter().map(|batch| batch.len() as u64).sum();
    let changed =
        round(tree, direction, plan, &plan.batches, &Meter { done: AtomicU64::new(0), total, progress })?;
    if !plan.further.is_empty() {
        round(
            tree,
            direction,
            plan,
            &plan.further,
            &Meter { done: AtomicU64::new(0), total: 0, progress: &|_| () },
        )?;
    }
    Ok(changed)
}

/// Does what is in these batches, in several threads.
fn round(
    tree: &Tree,
    direction: Direction,
    plan: &Plan,
    batches: &[Batch],
    meter: &Meter<'_>,
) -> Result<u64, ChownError> {
    let next = AtomicUsize::new(0);
    let changed = workers::run::<_, ChownError>(|| {
        let mut worker = Worker { tree, direction, meter, untold: 0, changed: 0 };
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = plan.directories.path(batch.directory);
            // After an error there is nothing left for the others to take.
            worker.change(batch, &path).inspect_err(|_| next.store(batches.len(), Ordering::Relaxed))?;
        }
        meter.add(worker.untold);
        Ok(worker.changed)
    })?;
    Ok(changed.into_iter().sum())
}

/// Counts what all threads have done.
struct Meter<'a> {
    done: AtomicU64,
    total: u64,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Meter<'_> {
    fn add(&self, inodes: u64) {
        let done = self.done.fetch_add(inodes, Ordering::Relaxed) + inodes;
        (self.progress)(Progress { done, total: self.total });
    }
}

/// One thread of the pass.
struct Worker<'a> {
    tree: &'a Tree,
    direction: Direction,
    meter: &'a Meter<'a>,
    /// What was done since the meter was told.
    untold: u64,
    changed: u64,
}

impl Worker<'_> {
    /// Does what is in a batch of the directory with this path.
    fn change(&mut self, batch: &Batch, path: &[u8]) -> Result<(), ChownError> {
        let here = Place { tree: self.tree, directory: path, name: c"." };
        let directory = self.tree.directory(path)?;
        fchdir(&directory).map_err(|errno| here.error("enter", errno))?;
        for (name, change) in batch.iter() {
            let place = Place { name, ..here };
            let changed = match change {
                Change::Owner(uid, gid) => {
                    chownat(CWD, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(|errno| place.error("change the owner of", errno))?;
                    true
                }
                Change::Whole => Inode::open(place)?.change(self.direction)?,
            };
            self.changed += u64::from(changed);
            self.untold += 1;
            if self.untold == STEP {
                self.meter.add(std::mem::take(&mut self.untold));
            }
        }
        Ok(())
    }
}
