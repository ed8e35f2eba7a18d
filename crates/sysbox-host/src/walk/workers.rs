//! The threads of a call. Each has a working directory of its own, so that a single name is a whole path.
//!
//! The calls for extended attributes take no directory descriptor before Linux 6.13; relative to a working directory they
//! cost one lookup and leave the directory no more than the calls that take one.
#![expect(unsafe_code, reason = "rustix marks unshare as unsafe for what some of its flags do")]

use std::{
    io,
    num::NonZero,
    panic::resume_unwind,
    thread::{self, Builder},
};

use rustix::{
    fs::{Access, access},
    thread::{Pid, UnshareFlags, gettid, unshare_unsafe},
};

/// More threads than this wait for each other in the file system.
const MOST: usize = 8;

/// No thread could be started, or none with a working directory of its own.
#[derive(Debug)]
pub(crate) struct NoThread(pub(crate) io::Error);

/// Does the same work in several threads and returns what each made of it, or the first error.
///
/// All have ended when it returns. Work that fails must make the work of the others end.
pub(crate) fn run<T, E>(work: impl Fn() -> Result<T, E> + Sync) -> Result<Vec<T>, E>
where
    T: Send,
    E: Send + From<NoThread>,
{
    // Two for each processor: where inodes are not in memory, one goes on while another waits for the disk.
    let count = (2 * thread::available_parallelism().map_or(1, NonZero::get)).min(MOST);
    let work = || (gettid(), own_working_directory().map_err(E::from).and_then(|()| work()));
    thread::scope(|scope| {
        let mut started = Vec::with_capacity(count);
        for _ in 0..count {
            match Builder::new().spawn_scoped(scope, work) {
                Ok(thread) => started.push(thread),
                // Fewer threads do the same, more slowly.
                Err(_) if !started.is_empty() => break,
                Err(source) => return Err(NoThread(source).into()),
            }
        }
        let joined =
            started.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        let (threads, results): (Vec<_>, Vec<_>) = joined.unzip();
        threads.into_iter().for_each(wait_until_gone);
        results.into_iter().collect()
    })
}

/// Gives the calling thread, and no other, a working directory that it can change without moving others.
fn own_working_directory() -> Result<(), NoThread> {
    // SAFETY: CLONE_FS ends the sharing of the root, the working directory and the umask between threads, and of nothing
    // else: memory and descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::FS) }.map_err(|errno| NoThread(errno.into()))
}

/// Waits until the kernel has forgotten a thread that was joined.
///
/// A join returns a moment earlier, and in that moment the process still counts as one with several threads, to which
/// unshare(2) and setns(2) refuse a user namespace.
fn wait_until_gone(thread: Pid) {
    let task = format!("/proc/self/task/{}", thread.as_raw_nonzero());
    while access(&task, Access::EXISTS).is_ok() {
        thread::yield_now();
    }
}
