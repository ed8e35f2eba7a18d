//! Removing everything that is kept for a container.

use std::{fs, io};

use rusqlite::Connection;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use sysbox_core::{AbsPath, ContainerId};
use sysbox_host::remove::remove_tree;

use crate::{
    clone,
    error::Fault,
    files::{self, Intent, make_dir},
    ground::{Ground, Turn},
    lifecycle, prepared, registry,
    step::step,
    upper, volumes,
};

/// Forgets a stopped container without files.
pub(crate) fn forget_plain(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    lifecycle::removable(db, id)?;
    forget(db, id)
}

/// Removes a stopped container with its files.
pub(crate) fn remove(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    let rule = |db: &Connection| lifecycle::removable(db, &turn.id);
    ground.store.read(rule)?;
    // What was out of reach when it stopped may be there by now. Until all of that is done it can be started again.
    upper::unshift(ground, turn)?;
    prepared::take_back(ground, turn)?;
    volumes::sync_out_late(ground, turn)?;
    let effects = |(): &()| remove_files(ground, turn);
    ground.carry_out(turn, Intent::Remove, rule, effects, |db, (), ()| forget(db, &turn.id))?;
    leave(turn);
    Ok(())
}

/// Removes all that is in the directory of a stopped container. The directory itself stays, and the lock on it with it, until the
/// container is forgotten ([`leave`]): who waits for the lock must not find another one to lock, for a container that is
/// going.
pub(crate) fn remove_files(ground: &Ground<'_>, turn: &Turn) -> Result<(), Fault> {
    clone::remove(ground, turn)?;
    step("remove the clone");
    let dir = &turn.dir.path;
    let failed = |source| Fault::files(format!("cannot have {dir} removed"), source);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = AbsPath::new(entry.map_err(failed)?.path());
        let path = path.map_err(|source| Fault::files(format!("cannot have {dir} removed"), source))?;
        move_to_trash(ground, &path)?;
        step("move to the trash");
    }
    empty_trash_if_possible(ground);
    step("empty the trash");
    Ok(())
}

/// Removes the directory of a container that is forgotten. One that stays, of a process that ends before, is empty and nobody's.
pub(crate) fn leave(turn: &Turn) {
    if let Err(error) = fs::remove_dir(&turn.dir.path) {
        tracing::debug!(path = %turn.dir.path, %error, "an empty directory stays until it is looked for");
    }
    step("leave the directory");
}

/// Forgets a container, and releases its ids if it was the last that had them. Does nothing where it is forgotten already.
pub(crate) fn forget(db: &Connection, id: &ContainerId) -> Result<(), Fault> {
    let Some(container) = registry::find(db, id)? else { return Ok(()) };
    if let Some(nr) = registry::number(db, id)? {
        files::forget(db, nr)?;
    }
    registry::delete(db, id)?;
    registry::remove_if_unused(db, container.userns)
}

/// Removes a tree of the data root: first its name, at once, then what is in it.
pub(crate) fn discard(ground: &Ground<'_>, path: &AbsPath) -> Result<(), Fault> {
    move_to_trash(ground, path)?;
    step("discard");
    empty_trash_if_possible(ground);
    Ok(())
}

/// What cannot be removed now keeps nobody from going on: it is out of the way, and tried again by `repair` and `gc`.
fn empty_trash_if_possible(ground: &Ground<'_>) {
    if let Err(fault) = empty_trash(ground) {
        tracing::warn!(?fault, "what is in the trash stays there for now");
    }
}

fn move_to_trash(ground: &Ground<'_>, path: &AbsPath) -> Result<(), Fault> {
    let trash = ground.dirs.trash()?;
    make_dir(&trash)?;
    let Some(name) = path.as_path().file_name() else { return Ok(()) };
    for n in 0u32.. {
        let mut target = name.to_owned();
        target.push(format!(".{n}"));
        // What another process has put there meanwhile stays.
        match renameat_with(CWD, path.as_path(), CWD, trash.as_path().join(target), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            Ok(()) | Err(Errno::NOENT) => break,
            Err(errno) => {
                return Err(Fault::files(format!("cannot have {path} removed"), io::Error::from(errno)));
            }
        }
    }
    Ok(())
}

/// Removes what is in the trash. Any number of processes may do so at once.
pub(crate) fn empty_trash(ground: &Ground<'_>) -> Result<(), Fault> {
    let trash = ground.dirs.trash()?;
    let failed = |source| Fault::files(format!("cannot have {trash} emptied"), source);
    let entries = match fs::read_dir(&trash) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut failure = Ok(());
    for entry in entries {
        let path = AbsPath::new(entry.map_err(failed)?.path());
        let path = path.map_err(|source| Fault::files(format!("cannot have {trash} emptied"), source))?;
        if let Err(source) = remove_tree(&path) {
            failure = Err(Fault::files(format!("cannot have {path} removed"), source));
        }
    }
    failure
}
