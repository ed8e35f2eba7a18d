//! The directories that are still to be read, shared among the threads of the first pass.
//!
//! The last one in is the first one out: the walk goes into the depth, and few directories wait at a time.

use std::{
    ffi::CString,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::plan::{Directories, DirectoryId};

/// A queue that ends when nothing waits and nobody could add to it.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    directories: Directories,
    waiting: Vec<DirectoryId>,
    /// How many directories are being read.
    busy: usize,
    failed: bool,
}

impl Queue {
    /// A queue in which the root waits.
    pub(super) fn new() -> Self {
        let state = State {
            directories: Directories::default(),
            waiting: vec![Directories::ROOT],
            busy: 0,
            failed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next directory and its path, or `None` at the end. Each must be given back to [`done`](Self::done) or
    /// [`fail`](Self::fail).
    pub(super) fn next(&self) -> Option<(DirectoryId, Vec<u8>)> {
        let ended = |state: &State| state.failed || (state.waiting.is_empty() && state.busy == 0);
        let mut state = self
            .changed
            .wait_while(self.lock(), |state| !ended(state) && state.waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        if ended(&state) {
            return None;
        }
        let id = state.waiting.pop()?;
        state.busy += 1;
        Some((id, state.directories.path(id)))
    }

    /// Gives back a directory that was read, with the names of the directories in it.
    pub(super) fn done(&self, id: DirectoryId, found: Vec<CString>) {
        let mut state = self.lock();
        for name in found {
            let id = state.directories.push(id, name);
            state.waiting.push(id);
        }
        state.busy -= 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Gives back a directory that could not be read, and ends the queue.
    pub(super) fn fail(&self) {
        let mut state = self.lock();
        state.busy -= 1;
        state.failed = true;
        drop(state);
        self.changed.notify_all();
    }

    /// The directories that were in it.
    pub(super) fn into_directories(self) -> Directories {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).directories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_the_last_directory_is_read() {
        let queue = Queue::new();
        let (root, _) = queue.next().expect("the root waits");
        queue.done(root, vec![c"a".to_owned(), c"b".to_owned()]);
        let (b, path) = queue.next().expect("two wait");
        assert_eq!(path, b"b");
        queue.done(b, Vec::new());
        let (a, path) = queue.next().expect("one waits");
        assert_eq!(path, b"a");
        queue.done(a, Vec::new());
        assert!(queue.next().is_none());
    }

    #[test]
    fn a_failure_ends_it_for_all() {
        let queue = Queue::new();
        let (root, _) = queue.next().expect("the root waits");
        queue.done(root, vec![c"a".to_owned(), c"b".to_owned()]);
        queue.next().expect("two wait");
        queue.fail();
        assert!(queue.next().is_none());
    }

    #[test]
    fn a_waiting_thread_gets_what_another_one_finds() {
        let queue = Queue::new();
        let (root, _) = queue.next().expect("the root waits");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.next().map(|(_, path)| path));
            queue.done(root, vec![c"a".to_owned()]);
            assert_eq!(waiting.join().expect("no panic").as_deref(), Some(&b"a"[..]));
        });
    }
}
