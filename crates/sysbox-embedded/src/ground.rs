//! Work on the files of a container: in turn, by intent.
//!
//! A change of files that must not be left in the middle goes through [`Ground::carry_out`]: one transaction that checks the rules and writes the intent down,
//! then the effects, then one transaction that writes down what they came to and takes the intent back. Effects are such
//! that they can be repeated and undone from any point in the middle; a process that ends there leaves its intent, and
//! [`settle`](crate::settle::settle) is what the next one begins with.

use rusqlite::Connection;
use sysbox_core::{AbsPath, ContainerId, HostPort};

use crate::{
    error::Fault,
    files::{self, ContainerDir, ContainerDirs, Files, Intent},
    lifecycle,
    progress::{Watcher, Work, WorkProgress},
    registry::{self, Container, ContainerNr},
    settle::settle,
    step::step,
    store::Store,
};

/// What the work needs.
#[derive(Clone, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) store: &'a Store,
    pub(crate) host: &'a dyn HostPort,
    pub(crate) data_root: &'a AbsPath,
    pub(crate) dirs: ContainerDirs,
    pub(crate) watcher: Watcher,
}

/// The turn of whoever works on the files of a container: nobody else does, and nothing is half done.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) id: ContainerId,
    pub(crate) nr: ContainerNr,
    pub(crate) dir: ContainerDir,
}

impl Ground<'_> {
    /// Waits for the turn of a container, and finishes or undoes what was left half done. The container is noted to have files
    /// from then on.
    ///
    /// # Errors
    /// `NotFound` where it is not known; whatever keeps what was left from being settled.
    pub(crate) fn turn(&self, id: &ContainerId) -> Result<Turn, Fault> {
        loop {
            let known = self.store.read(|db| Ok((lifecycle::number(db, id)?, files::of(db, id)?)))?;
            let files = match known {
                (_, Some(files)) => files,
                (_, None) => self.store.write(|db| files::give(db, lifecycle::number(db, id)?, id))?,
            };
            let dir = self.dirs.lock(&files.dir)?;
            if let Some(turn) = self.confirm(id, &files, dir)? {
                return Ok(turn);
            }
        }
    }

    /// The same for a container that has files already, without waiting: `None` where somebody else has the turn, or the
    /// container has none any more.
    pub(crate) fn try_turn(&self, id: &ContainerId) -> Result<Option<Turn>, Fault> {
        let Some(files) = self.store.read(|db| files::of(db, id))? else { return Ok(None) };
        let Some(dir) = self.dirs.try_lock(&files.dir)? else { return Ok(None) };
        self.confirm(id, &files, dir)
    }

    /// The turn, if the directory that was locked still is the container's.
    fn confirm(&self, id: &ContainerId, files: &Files, dir: ContainerDir) -> Result<Option<Turn>, Fault> {
        let now = self.store.read(|db| {
            let Some(nr) = registry::number(db, id)? else { return Ok(None) };
            Ok(files::find(db, nr)?.map(|now| (nr, now)))
        })?;
        match now {
            Some((nr, now)) if now.dir == files.dir => {
                let turn = Turn { id: id.clone(), nr, dir };
                turn.dir.label(id)?;
                let settled = settle(self, &turn)?;
                // One whose removal was ended now is gone.
                Ok(Some(turn).filter(|_| settled != Some(Intent::Remove)))
            }
            _ => {
                // It was made just now, for a container that is gone.
                dir.remove_if_empty();
                Ok(None)
            }
        }
    }

    /// Does work on the files of a container.
    ///
    /// `begin` checks the rules and plans, in the transaction that writes the intent down. `finish` writes down what the
    /// effects came to, in the transaction that takes it back. Where the effects fail they are undone, unless they are of the
    /// kind that the next caller goes on with.
    pub(crate) fn carry_out<P, T>(
        &self,
        turn: &Turn,
        intent: Intent,
        begin: impl FnOnce(&Connection) -> Result<P, Fault>,
        effects: impl FnOnce(&P) -> Result<T, Fault>,
        finish: impl FnOnce(&Connection, &P, &T) -> Result<(), Fault>,
    ) -> Result<T, Fault> {
        let plan = self.store.write_durably(|db| {
            let plan = begin(db)?;
            files::intend(db, turn.nr, intent)?;
            Ok(plan)
        })?;
        step("intend");
        let outcome = effects(&plan).and_then(|done| {
            self.store.write_durably(|db| {
                finish(db, &plan, &done)?;
                files::settled(db, turn.nr)
            })?;
            step("finish");
            Ok(done)
        });
        if outcome.is_err()
            && !intent.is_to_be_finished()
            && let Err(further) = settle(self, turn)
        {
            tracing::error!(container = %turn.id, fault = ?further, "undoing it failed too; the next call tries again");
        }
        outcome
    }

    /// The container of a turn, as it is on record now.
    pub(crate) fn container(&self, turn: &Turn) -> Result<Container, Fault> {
        self.store.read(|db| lifecycle::known(db, &turn.id))
    }

    /// Tells how far work has come.
    pub(crate) fn tell(&self, turn: &Turn, work: Work, path: &AbsPath, done: u64, total: u64) {
        let container = turn.id.clone();
        self.watcher.tell(&WorkProgress { container, work, path: path.clone(), done, total });
    }
}
