//! What is below a cgroup, in one hierarchy.
//!
//! A container makes cgroups below its own, and so deep that no path to them is short enough for the kernel. So a walk names
//! each by its name alone, from the one above it.

use std::{ffi::CString, fs::File, io, io::Read, io::Write, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, unlinkat},
    io::Errno,
};

/// A cgroup, or one below it, that a walk has come to.
#[derive(Debug)]
pub(super) struct Open(OwnedFd);

impl Open {
    /// What is in one of its files; nothing where there is no such file.
    pub(super) fn read(&self, file: &str) -> io::Result<String> {
        let Some(mut file) = unless_gone(self.open(file, OFlags::RDONLY))? else { return Ok(String::new()) };
        let mut text = String::new();
        unless_gone(file.read_to_string(&mut text))?;
        Ok(text)
    }

    pub(super) fn write(&self, file: &str, value: &str) -> io::Result<()> {
        self.open(file, OFlags::WRONLY)?.write_all(value.as_bytes())
    }

    fn open(&self, file: &str, access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.0, file, flags, Mode::empty())?.into())
    }

    fn go_to(&self, name: impl rustix::path::Arg) -> io::Result<Self> {
        Ok(Self(openat(&self.0, name, DIRECTORY, Mode::empty())?))
    }

    /// The names of those right below it.
    fn children(&self) -> io::Result<Vec<CString>> {
        let mut children = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            match entry {
                Ok(entry) if entry.file_type() == FileType::Directory => {
                    let name = entry.file_name();
                    children.extend((name != c"." && name != c"..").then(|| name.to_owned()));
                }
                Ok(_) => {}
                Err(e) => return unless_gone(Err(e.into())).map(|_: Option<()>| children),
            }
        }
        Ok(children)
    }
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Comes to a cgroup and those below it, to each before those below it. One that is removed meanwhile is passed over.
///
/// # Errors
/// Those of `visit`; and what cannot be looked into, since what cannot be seen is not known to be empty.
pub(super) fn visit(root: &Path, visit: impl FnMut(&Open) -> io::Result<()>) -> io::Result<()> {
    walk(root, visit, |_, _| Ok(()))
}

/// Removes a cgroup and those below it.
///
/// # Errors
/// When a process is in one of them, for example.
pub(super) fn remove(root: &Path) -> io::Result<()> {
    walk(
        root,
        |_| Ok(()),
        |above, name| match unlinkat(&above.0, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        },
    )?;
    unless_gone(std::fs::remove_dir(root)).map(drop)
}

/// Calls `enter` with each cgroup before those below it, and `leave` with the one above and the name of each that is not the
/// root after those below it.
fn walk(
    root: &Path,
    mut enter: impl FnMut(&Open) -> io::Result<()>,
    mut leave: impl FnMut(&Open, &CString) -> io::Result<()>,
) -> io::Result<()> {
    let opened = openat(CWD, root, DIRECTORY, Mode::empty()).map_err(io::Error::from);
    let Some(mut here) = unless_gone(opened)?.map(Open) else { return Ok(()) };
    enter(&here)?;
    // Of each cgroup on the way from the root to here what is left below it; the last of each is on the way.
    let mut way = vec![here.children()?];
    while let Some(left) = way.last_mut() {
        if let Some(name) = left.last() {
            let Some(below) = unless_gone(here.go_to(name))? else {
                left.pop();
                continue;
            };
            here = below;
            enter(&here)?;
            way.push(here.children()?);
        } else {
            way.pop();
            let Some(name) = way.last_mut().and_then(Vec::pop) else { break };
            here = here.go_to("..")?;
            leave(&here, &name)?;
        }
    }
    Ok(())
}

/// What came of work on a cgroup, if that was not removed meanwhile.
pub(super) fn unless_gone<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(e)
            if [Errno::NOENT, Errno::NODEV].map(|e| Some(e.raw_os_error())).contains(&e.raw_os_error()) =>
        {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, fs};

    use rustix::fs::mkdirat;

    use super::*;

    /// Makes directories of these names each below the one before, below a new directory.
    fn nested(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let mut here = Open(openat(CWD, root.path(), DIRECTORY, Mode::empty()).expect("open"));
        for name in names {
            mkdirat(&here.0, *name, Mode::from(0o755)).expect("made");
            here = here.go_to(*name).expect("open");
        }
        root
    }

    #[test]
    fn what_is_deeper_than_a_path_is_long_is_visited_and_removed() {
        let name = "x".repeat(250);
        let root = nested(&vec![name.as_str(); 40]);
        let mut count = 0;
        visit(root.path(), |_| {
            count += 1;
            Ok(())
        })
        .expect("visited");
        assert_eq!(count, 41);
        remove(root.path()).expect("removed");
        assert!(!root.path().exists());
    }

    #[test]
    fn each_is_entered_before_those_below_it_and_left_after_them() {
        let root = tempfile::tempdir().expect("a directory");
        for path in ["a/b", "a/c", "d"] {
            let path = root.path().join(path);
            fs::create_dir_all(&path).expect("made");
            fs::write(path.join("name"), path.file_name().expect("named").as_encoded_bytes())
                .expect("written");
        }
        let seen = RefCell::new(Vec::new());
        let enter = |here: &Open| {
            seen.borrow_mut().push(format!("+{}", here.read("name")?));
            Ok(())
        };
        walk(root.path(), enter, |_, name| {
            seen.borrow_mut().push(format!("-{}", name.to_string_lossy()));
            Ok(())
        })
        .expect("walked");
        let seen = seen.into_inner();
        let at = |what: &str| seen.iter().position(|seen| seen == what).expect(what);
        assert_eq!(seen.len(), 9, "{seen:?}");
        // `a` has no file of its own, nor has the root.
        assert_eq!(at("+"), 0);
        assert!(["b", "c"].iter().all(|below| at(&format!("+{below}")) < at(&format!("-{below}"))));
        assert!(at("-b") < at("-a") && at("-c") < at("-a") && seen.contains(&"-d".to_owned()));
    }

    #[test]
    fn one_that_is_removed_meanwhile_is_passed_over() {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["a", "b"] {
            fs::create_dir(root.path().join(name)).expect("made");
        }
        let mut count = 0;
        visit(root.path(), |_| {
            count += 1;
            unless_gone(fs::remove_dir(root.path().join("a"))).map(drop)
        })
        .expect("visited");
        assert_eq!(count, 2, "the root and b");
        assert_eq!(unless_gone(visit(&root.path().join("a"), |_| unreachable!())).expect("gone"), Some(()));
    }

    #[test]
    fn one_that_is_not_empty_is_told() {
        let root = nested(&["a"]);
        fs::write(root.path().join("a/file"), "").expect("written");
        assert!(remove(root.path()).is_err() && root.path().join("a").exists());
    }
}
