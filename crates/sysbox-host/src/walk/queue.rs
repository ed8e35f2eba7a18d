//! The directories that are still to be read, shared among the threads of a walk.
//!
//! The last one in is the first one out: the walk goes into the depth, and few directories wait at a time.

use std::{
    ffi::CString,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{Directories, DirectoryId};

/// A queue that ends when nothing waits and nobody could add to it.
#[derive(Debug)]
pub(crate) struct Queue {
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
    pub(crate) fn new() -> Self {
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

    /// The next directory, or `None` at the end.
    pub(crate) fn next(&self) -> Option<Turn<'_>> {
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
        Some(Turn { queue: self, id, path: state.directories.path(id), read: false })
    }

    /// The path of a directory that is or was in it.
    pub(crate) fn path(&self, id: DirectoryId) -> Vec<u8> {
        self.lock().directories.path(id)
    }

    /// The directories that were in it.
    pub(crate) fn into_directories(self) -> Directories {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).directories
    }
}

/// The duty to read a directory. When it is dropped unfulfilled, after an error or in a panic, the queue ends: nobody waits
/// for what would have been found.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    queue: &'a Queue,
    pub(crate) id: DirectoryId,
    /// The path below the root, `.` for the root.
    pub(crate) path: Vec<u8>,
    read: bool,
}

impl Turn<'_> {
    /// The directory was read, and has directories of these names in it.
    pub(crate) fn done(mut self, found: Vec<CString>) {
        let mut state = self.queue.lock();
        for name in found {
            let id = state.directories.push(self.id, name);
            state.waiting.push(id);
        }
        drop(state);
        self.read = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.busy -= 1;
        state.failed |= !self.read;
        drop(state);
        self.queue.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::resume_unwind, thread};

    use super::*;

    #[test]
    fn it_ends_when_the_last_directory_is_read() {
        let queue = Queue::new();
        queue.next().expect("the root waits").done(vec![c"a".to_owned(), c"b".to_owned()]);
        for (name, why) in [(b"b", "two wait"), (b"a", "one waits")] {
            let turn = queue.next().expect(why);
            assert_eq!(turn.path, name);
            turn.done(Vec::new());
        }
        assert!(queue.next().is_none());
    }

    #[test]
    fn a_directory_that_is_not_read_ends_it_for_all() {
        let queue = Queue::new();
        queue.next().expect("the root waits").done(vec![c"a".to_owned(), c"b".to_owned()]);
        drop(queue.next().expect("two wait"));
        assert!(queue.next().is_none());
    }

    #[test]
    fn a_panic_of_one_thread_ends_it_for_those_that_wait() {
        let queue = Queue::new();
        let turn = queue.next().expect("the root waits");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.next().is_none());
            let panicking = scope.spawn(|| {
                let _turn = turn;
                resume_unwind(Box::new("a progress callback"))
            });
            assert!(panicking.join().is_err());
            assert!(waiting.join().expect("no panic"));
        });
    }

    #[test]
    fn a_waiting_thread_gets_what_another_one_finds() {
        let queue = Queue::new();
        let root = queue.next().expect("the root waits");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.next().map(|turn| turn.path.clone()));
            root.done(vec![c"a".to_owned()]);
            assert_eq!(waiting.join().expect("no panic").as_deref(), Some(&b"a"[..]));
        });
    }
}
