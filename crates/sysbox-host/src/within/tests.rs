//! Entries of a root directory whose owner is who runs the tests.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use sysbox_core::{AbsPath, HostError, Owner};
use tempfile::TempDir;

use super::{Entry, LastName, Place, look_up, make, make_dir, remove_unused};

/// A root directory, and beside it one that nothing may reach.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        for name in ["root", "outside"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        Self(dir)
    }

    fn path(&self, inside: &str) -> std::path::PathBuf {
        self.0.path().join("root").join(inside.trim_start_matches('/'))
    }

    fn outside(&self) -> std::path::PathBuf {
        self.0.path().join("outside")
    }

    fn root(&self) -> AbsPath {
        abs(self.0.path().join("root"))
    }

    fn look_up(&self, path: &str, last: LastName) -> Result<Place, HostError> {
        look_up(&self.root(), &abs(path), last)
    }

    /// What is missing of a path whose last name is followed.
    fn missing(&self, path: &str) -> Vec<String> {
        let place = self.look_up(path, LastName::Followed).expect("it leads somewhere");
        place.missing.iter().map(ToString::to_string).collect()
    }

    fn make(&self, path: &str, entry: Entry<'_>) -> Result<bool, HostError> {
        make(&self.root(), &abs(path), entry, owner(), 0o750)
    }

    fn remove(&self, path: &str, entry: Entry<'_>) -> bool {
        remove_unused(&self.root(), &abs(path), entry).expect("no error")
    }
}

fn abs(path: impl AsRef<Path>) -> AbsPath {
    AbsPath::new(path.as_ref()).expect("absolute")
}

fn owner() -> Owner {
    Owner::new(rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

#[test]
fn what_is_missing_is_told_from_the_top_and_nothing_is_made() {
    let site = Site::new();
    fs::create_dir(site.path("var")).expect("made");
    assert_eq!(site.missing("/var/lib/docker"), ["/var/lib", "/var/lib/docker"]);
    assert_eq!(site.missing("/var/../var/x/../y"), ["/var/x", "/var/y"]);
    assert_eq!(site.missing("/var"), [""; 0]);
    assert_eq!(site.missing("/"), [""; 0]);
    assert!(!site.path("var/lib").exists());
}

#[test]
fn what_is_told_to_be_missing_is_what_is_made() {
    let site = Site::new();
    symlink("../../data/../data/run", site.path("run")).expect("made");
    symlink(site.outside(), site.path("out")).expect("made");
    for path in ["/run/docker", "/out/x", "/a/b/../c"] {
        let missing = site.missing(path);
        assert!(!missing.is_empty() && missing.iter().all(|path| !site.path(path).exists()), "{path}");
        make_dir(&site.root(), &abs(path), owner(), 0o755).expect("made");
        assert!(missing.iter().all(|path| site.path(path).is_dir()), "{path}: {missing:?}");
        assert_eq!(site.missing(path), [""; 0], "{path}");
    }
    assert_eq!(fs::read_dir(site.outside()).expect("readable").count(), 0, "nothing is made outside");
}

#[test]
fn links_are_followed_in_the_root_and_the_last_one_if_it_is_wanted() {
    let site = Site::new();
    fs::create_dir(site.path("data")).expect("made");
    fs::write(site.path("data/file"), "").expect("written");
    symlink("/data", site.path("link")).expect("made");
    symlink("../../../data", site.path("up")).expect("made");
    let place = |path, last| {
        let Place { path, missing, is_directory } = site.look_up(path, last).expect("it leads somewhere");
        (path.to_string(), missing.len(), is_directory)
    };
    assert_eq!(place("/link", LastName::Followed), ("/data".to_owned(), 0, true));
    assert_eq!(place("/link", LastName::Itself), ("/link".to_owned(), 0, false));
    assert_eq!(place("/link/file", LastName::Itself), ("/data/file".to_owned(), 0, false));
    assert_eq!(place("/up", LastName::Followed), ("/data".to_owned(), 0, true));
    assert_eq!(place("/link/new/new", LastName::Itself), ("/data/new/new".to_owned(), 2, false));
}

#[test]
fn a_loop_and_a_file_on_the_way_are_errors() {
    let site = Site::new();
    symlink("loop", site.path("loop")).expect("made");
    fs::write(site.path("file"), "").expect("written");
    for path in ["/loop", "/loop/x", "/file/x", "/file/.."] {
        site.look_up(path, LastName::Followed).expect_err(path);
    }
    assert!(!site.look_up("/loop", LastName::Itself).expect("it is there").is_directory);
}

#[test]
fn entries_are_made_with_their_mode_and_what_is_there_stays() {
    let site = Site::new();
    let link = Entry::Link(Path::new("../outside"));
    for (path, entry) in [("/dir", Entry::Directory), ("/dir/file", Entry::File), ("/dir/link", link)] {
        assert!(site.make(path, entry).expect("made"), "{path}");
        for entry in [Entry::Directory, Entry::File, link] {
            assert!(!site.make(path, entry).expect("something is there"), "{path}");
        }
    }
    for path in ["dir", "dir/file"] {
        let found = fs::metadata(site.path(path)).expect("it is there");
        assert_eq!((found.permissions().mode() & 0o7777, found.uid()), (0o750, owner().uid.0), "{path}");
    }
    assert_eq!(fs::read_link(site.path("dir/link")).expect("a link"), Path::new("../outside"));
    site.make("/missing/dir", Entry::Directory).expect_err("there is nothing to make it in");
    assert!(!site.make("/", Entry::Directory).is_ok_and(|made| made), "the root is there");
}

#[test]
fn a_file_is_not_made_by_way_of_a_link_that_leads_out() {
    let site = Site::new();
    symlink(site.outside(), site.path("out")).expect("made");
    symlink(site.outside().join("file"), site.path("file")).expect("made");
    site.make("/out/file", Entry::File).expect_err("in the root it leads nowhere");
    assert!(!site.make("/file", Entry::File).expect("a link is there"));
    assert_eq!(fs::read_dir(site.outside()).expect("readable").count(), 0);
}

#[test]
fn what_comes_and_goes_leaves_no_trace_in_the_time_of_its_directory() {
    let site = Site::new();
    let time = || fs::metadata(site.path("/")).and_then(|found| found.modified()).expect("it has one");
    let before = time();
    for entry in [Entry::Directory, Entry::File, Entry::Link(Path::new("there"))] {
        site.make("/entry", entry).expect("made");
        assert_eq!(time(), before);
        assert!(site.remove("/entry", entry));
        assert_eq!(time(), before);
    }
}

#[test]
fn only_what_is_as_it_was_made_is_removed() {
    let site = Site::new();
    let link = Entry::Link(Path::new("there"));
    for (path, entry) in [("/dir", Entry::Directory), ("/file", Entry::File), ("/link", link)] {
        for other in [Entry::Directory, Entry::File, Entry::Link(Path::new("elsewhere"))] {
            site.make(path, entry).expect("made");
            assert_eq!(site.remove(path, other), other == entry, "{path}");
        }
        site.make(path, entry).expect("made");
        assert!(site.remove(path, entry), "{path}");
        assert!(!site.remove(path, entry), "{path} is gone");
    }
    fs::create_dir_all(site.path("dir/in it")).expect("made");
    fs::write(site.path("file"), "written").expect("written");
    assert!(!site.remove("/dir", Entry::Directory) && !site.remove("/file", Entry::File));
    assert!(site.path("dir/in it").is_dir() && site.path("file").is_file());
}

#[test]
fn nothing_is_removed_by_way_of_a_link() {
    let site = Site::new();
    fs::create_dir(site.outside().join("dir")).expect("made");
    fs::create_dir_all(site.path("other/dir")).expect("made");
    symlink(site.outside(), site.path("out")).expect("made");
    symlink("other", site.path("var")).expect("made");
    symlink("/other/dir", site.path("link")).expect("made");
    for path in ["/out/dir", "/var/dir", "/link", "/nothing/dir", "/../outside/dir"] {
        assert!(!site.remove(path, Entry::Directory), "{path}");
    }
    assert!(site.outside().join("dir").is_dir() && site.path("other/dir").is_dir());
}
