//! Files that a case makes and looks at, on the file system that it shares with the backend.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::Path,
};

use crate::{Broken, Outcome, case::same};

/// An owner and a group.
pub(super) type Owners = (u32, u32);

/// Makes a file of this owner, with its directories.
pub(super) fn make(path: impl AsRef<Path>, text: &str, (uid, gid): Owners) -> Outcome {
    let path = path.as_ref();
    let parents = || path.parent().map_or(Ok(()), fs::create_dir_all);
    made(
        path,
        parents().and_then(|()| fs::write(path, text)).and_then(|()| lchown(path, Some(uid), Some(gid))),
    )
}

/// Makes a directory of this owner.
pub(super) fn make_dir(path: impl AsRef<Path>, (uid, gid): Owners) -> Outcome {
    let path = path.as_ref();
    made(path, fs::create_dir_all(path).and_then(|()| lchown(path, Some(uid), Some(gid))))
}

/// Writes another text into a file that is there.
pub(super) fn change(path: impl AsRef<Path>, text: &str) -> Outcome {
    let path = path.as_ref();
    // It is opened without being made, as the container would.
    let changed = fs::OpenOptions::new().write(true).truncate(true).open(path);
    made(path, changed.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes())))
}

/// Deletes a file.
pub(super) fn delete(path: impl AsRef<Path>) -> Outcome {
    made(path.as_ref(), fs::remove_file(path.as_ref()))
}

fn made(path: &Path, done: io::Result<()>) -> Outcome {
    done.map_err(|error| Broken::new(format!("{} cannot be written to: {error}", path.display())))
}

/// Requires a file with this text.
pub(super) fn reads(path: impl AsRef<Path>, text: &str) -> Outcome {
    let path = path.as_ref();
    let found = fs::read_to_string(path).map_err(|error| unseen(path, &error))?;
    same(&format!("the text of {}", path.display()), &found.as_str(), &text)
}

/// Requires that there is nothing.
pub(super) fn is_gone(path: impl AsRef<Path>) -> Outcome {
    let path = path.as_ref();
    same(&format!("{} is there", path.display()), &path.symlink_metadata().is_ok(), &false)
}

/// Requires a file or directory of these owners.
pub(super) fn belongs(path: impl AsRef<Path>, owners: Owners) -> Outcome {
    let path = path.as_ref();
    same(&format!("the owners of {}", path.display()), &owners_of(path)?, &owners)
}

/// Who owns it.
pub(super) fn owners_of(path: &Path) -> Result<Owners, Broken> {
    let metadata = path.symlink_metadata().map_err(|error| unseen(path, &error))?;
    Ok((metadata.uid(), metadata.gid()))
}

/// Its permissions.
pub(super) fn mode_of(path: impl AsRef<Path>) -> Result<u32, Broken> {
    let path = path.as_ref();
    let metadata = path.symlink_metadata().map_err(|error| unseen(path, &error))?;
    Ok(metadata.permissions().mode() & 0o7777)
}

fn unseen(path: &Path, error: &io::Error) -> Broken {
    Broken::new(format!("{} is not as it should be: {error}", path.display()))
}
