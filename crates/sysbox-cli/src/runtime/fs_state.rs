//! The entries that the manager wants in a rootfs beside those for mounts, such as a link to the headers of the kernel.

use anyhow::{Context, bail};
use sysbox::{
    AbsPath, Converted, FsEntry, FsEntryKind, SessionError, Sysbox, blocking::wait, linux::within::LastName,
};

use super::{
    Ground, clone,
    mount_points::{Tree, is_read_only, put_down, roots_owner},
};
use crate::container::{Made, Record};

/// The permissions of directories above an entry.
const ABOVE: u32 = 0o755;

/// Makes the entries that the manager wants in the rootfs, or its clone, as far as they are not there. Containers run without them,
/// so on a read-only file system none is made.
pub(super) fn make(
    sysbox: &Sysbox,
    ground: Ground<'_>,
    record: &mut Record,
    converted: &Converted,
    tree: &Tree,
) -> anyhow::Result<()> {
    let owner = roots_owner(converted);
    let is_read_only = is_read_only(&ground.wiring.host, &tree.name)?;
    for entry in entries(sysbox, tree)? {
        // One by one, since one may be a link that leads to the next.
        let missing = missing(&entry, tree).with_context(|| format!("the manager wants {}", entry.path))?;
        if is_read_only && !missing.is_empty() {
            tracing::info!(path = %entry.path, rootfs = %tree.name, "is not made: the file system is read-only");
            continue;
        }
        put_down(missing.clone(), ground.claim, record)?;
        let modes = (1..missing.len()).map(|_| ABOVE).chain([entry.mode & 0o7777]);
        for (made, mode) in missing.iter().zip(modes) {
            tree.make(made, owner, mode)?;
        }
    }
    Ok(())
}

/// What the manager wants; nothing where it does not know of such entries.
fn entries(sysbox: &Sysbox, tree: &Tree) -> Result<Vec<FsEntry>, SessionError> {
    match wait(sysbox.mgr.req_fs_state(tree.name.clone())) {
        Err(error) if error.is_unimplemented() => {
            clone::tell_refusal(&error);
            Ok(Vec::new())
        }
        answer => answer,
    }
}

/// What must be made for an entry, from the top, itself the last; nothing if it is there.
fn missing(entry: &FsEntry, tree: &Tree) -> anyhow::Result<Vec<Made>> {
    let last = if entry.kind == FsEntryKind::Softlink { LastName::Itself } else { LastName::Followed };
    let place = tree.look_up(&entry.path, last)?;
    let text = |path: &AbsPath| path.as_path().to_str().map(str::to_owned);
    let paths: Option<Vec<String>> = place.missing.iter().map(text).collect();
    let mut paths = paths.context("its path in the rootfs is no text")?;
    let Some(path) = paths.pop() else { return Ok(Vec::new()) };
    let made = match (entry.kind, &entry.target) {
        (FsEntryKind::Dir, _) => Made::Directory(path),
        (FsEntryKind::File, _) => Made::File(path),
        (FsEntryKind::Softlink, Some(target)) if !target.is_empty() => {
            Made::Link { path, target: target.clone() }
        }
        (FsEntryKind::Softlink, _) => bail!("a symbolic link that leads nowhere cannot be made"),
        (FsEntryKind::Invalid, _) => bail!("an entry of no kind cannot be made"),
    };
    Ok(paths.into_iter().map(Made::Directory).chain([made]).collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn entry(kind: FsEntryKind, path: &str, target: Option<&str>) -> FsEntry {
        FsEntry {
            kind,
            path: path.parse().expect("absolute"),
            mode: 0o755,
            target: target.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_there_is_not_made_and_what_is_above_an_entry_is_made_before_it() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("usr")).expect("made");
        symlink("nowhere", dir.path().join("link")).expect("made");
        let tree = Tree::of_test(dir.path());
        let missing =
            |kind, path, target| missing(&entry(kind, path, target), &tree).expect("it can be made");
        let directory = |path: &str| Made::Directory(path.to_owned());
        assert_eq!(missing(FsEntryKind::Dir, "/usr/src", None), [directory("/usr/src")]);
        assert_eq!(
            missing(FsEntryKind::File, "/usr/src/file", None),
            [directory("/usr/src"), Made::File("/usr/src/file".to_owned())]
        );
        let link = Made::Link { path: "/usr/lib64".to_owned(), target: "lib".to_owned() };
        assert_eq!(missing(FsEntryKind::Softlink, "/usr/lib64", Some("lib")), [link]);
        assert_eq!(missing(FsEntryKind::Softlink, "/link", Some("lib")), []);
        assert_eq!(missing(FsEntryKind::Dir, "/usr", None), []);
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = Tree::of_test(dir.path());
        for (kind, target) in
            [(FsEntryKind::Invalid, None), (FsEntryKind::Softlink, None), (FsEntryKind::Softlink, Some(""))]
        {
            missing(&entry(kind, "/entry", target), &tree).expect_err("it cannot be made");
        }
    }
}
