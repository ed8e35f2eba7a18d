//! Which inodes of the source with several names were copied, and to where.
//!
//! The first name of an inode that a thread comes to is copied, the others are linked to that. Who comes to another name in the
//! meantime waits. A copy waits for nothing, so this ends.

use std::{
    collections::{HashMap, HashSet},
    ffi::CString,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::facts::Identity;
use crate::walk::DirectoryId;

/// Where the copy of an inode is.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) directory: DirectoryId,
    pub(super) name: CString,
    pub(super) identity: Identity,
}

#[derive(Debug)]
enum State {
    /// Some thread copies it.
    InTheMaking,
    /// It is there, and so many names are still to come.
    Made(Arc<Copy>, u32),
}

#[derive(Debug, Default)]
struct Tables {
    states: HashMap<Identity, State>,
    /// The inodes of the target that stand for one of the source.
    taken: HashSet<Identity>,
}

/// The inodes of the source with several names.
#[derive(Debug, Default)]
pub(super) struct Links {
    tables: Mutex<Tables>,
    changed: Condvar,
}

/// What is to be done with a name.
#[derive(Debug)]
pub(super) enum Claim<'a> {
    /// The inode is to be copied.
    First(Lead<'a>),
    /// The name is to be linked to this.
    Further(Arc<Copy>),
}

impl Links {
    /// What is to be done with another name of this inode, which has so many.
    pub(super) fn claim(&self, source: Identity, names: u32) -> Claim<'_> {
        let in_the_making =
            |tables: &mut Tables| matches!(tables.states.get(&source), Some(State::InTheMaking));
        let mut tables =
            self.changed.wait_while(self.lock(), in_the_making).unwrap_or_else(PoisonError::into_inner);
        if let Some(State::Made(copy, left)) = tables.states.get_mut(&source) {
            let copy = Arc::clone(copy);
            *left = left.saturating_sub(1);
            if *left == 0 {
                // So that the table grows with the inodes that are half done, and not with the tree.
                tables.states.remove(&source);
            }
            return Claim::Further(copy);
        }
        tables.states.insert(source, State::InTheMaking);
        Claim::First(Lead { links: self, source, names, made: false })
    }

    /// The same, to be asked when the copy that an earlier claim gave cannot be linked to: it is not offered again.
    pub(super) fn claim_anew(&self, source: Identity, names: u32, useless: &Copy) -> Claim<'_> {
        let mut tables = self.lock();
        if let Some(State::Made(copy, _)) = tables.states.get(&source)
            && copy.identity == useless.identity
        {
            tables.states.remove(&source);
        }
        drop(tables);
        self.claim(source, names)
    }

    /// Takes an inode of the target for one of the source; `false` if it stands for another one already.
    pub(super) fn take(&self, target: Identity) -> bool {
        self.lock().taken.insert(target)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to copy an inode. When it is dropped unfulfilled, it goes to who waits.
#[derive(Debug)]
pub(super) struct Lead<'a> {
    links: &'a Links,
    source: Identity,
    names: u32,
    made: bool,
}

impl Lead<'_> {
    /// The copy is there.
    pub(super) fn made(mut self, copy: Copy) {
        self.made = true;
        let state = State::Made(Arc::new(copy), self.names.saturating_sub(1));
        self.links.lock().states.insert(self.source, state);
        self.links.changed.notify_all();
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.made {
            self.links.lock().states.remove(&self.source);
            self.links.changed.notify_all();
        }
    }
}
