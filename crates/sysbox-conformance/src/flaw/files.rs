//! What flaws do to the files that are directly in a directory. What cannot be done is left: then nothing is spoiled.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

/// Files of a directory as they were: their texts and owners.
#[derive(Clone, Debug, Default)]
pub(super) struct Before(BTreeMap<OsString, (Vec<u8>, u32, u32)>);

impl Before {
    pub(super) fn of(directory: &Path) -> Self {
        let files = files(directory).filter_map(|path| {
            let metadata = path.symlink_metadata().ok()?;
            Some((path.file_name()?.to_owned(), (fs::read(&path).ok()?, metadata.uid(), metadata.gid())))
        });
        Self(files.collect())
    }

    /// Deletes the files that were not there.
    pub(super) fn undo_added(&self, directory: &Path) {
        for path in files(directory) {
            if path.file_name().is_some_and(|name| !self.0.contains_key(name)) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Gives files the texts that they had.
    pub(super) fn undo_changed(&self, directory: &Path) {
        for (name, (text, ..)) in &self.0 {
            let path = directory.join(name);
            if path.exists() {
                let _ = fs::write(path, text);
            }
        }
    }

    /// Makes the files again that are no longer there.
    pub(super) fn undo_deleted(&self, directory: &Path) {
        for (name, (text, uid, gid)) in &self.0 {
            let path = directory.join(name);
            if !path.exists() {
                let _ = fs::write(&path, text);
                let _ = lchown(&path, Some(*uid), Some(*gid));
            }
        }
    }

    /// Gives files the owners that they had, here or in another directory.
    pub(super) fn undo_owners(&self, directory: &Path) {
        for (name, (_, uid, gid)) in &self.0 {
            let _ = lchown(directory.join(name), Some(*uid), Some(*gid));
        }
    }
}

/// Deletes the files of a directory.
pub(super) fn empty(directory: &Path) {
    Before::default().undo_added(directory);
}

/// Gives the files of a directory to root.
pub(super) fn give_to_root(directory: &Path) {
    files(directory).for_each(|path| own(&path, (0, 0)));
}

pub(super) fn own(path: &Path, (uid, gid): (u32, u32)) {
    let _ = lchown(path, Some(uid), Some(gid));
}

pub(super) fn owners(path: &Path) -> Option<(u32, u32)> {
    path.symlink_metadata().ok().map(|metadata| (metadata.uid(), metadata.gid()))
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
}

pub(super) fn make_dir(path: &Path) {
    let _ = fs::create_dir_all(path);
}

fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file())
}
