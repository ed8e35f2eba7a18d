//! What is found to be missing for which mounts.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, os::unix::fs::symlink};

use super::*;

fn tmpfs(destination: impl AsRef<Path>) -> Mount {
    let mut mount = Mount::default();
    mount.set_destination(destination.as_ref().to_owned()).set_typ(Some("tmpfs".to_owned()));
    mount
}

fn bind(source: &Path, destination: &str) -> Mount {
    let mut mount = tmpfs(destination);
    mount.set_typ(Some("bind".to_owned())).set_source(Some(source.to_owned()));
    mount
}

/// What is missing, and the destinations of mounts that cannot be.
fn survey(dir: &Path, mounts: &[Mount], is_read_only: bool) -> (Vec<Made>, Vec<String>) {
    let Survey { missing, refused, .. } = super::survey(mounts, &Tree::of_test(dir), is_read_only);
    (missing, refused.iter().map(|refused| refused.destination.display().to_string()).collect())
}

fn directories(paths: &[&str]) -> Vec<Made> {
    paths.iter().map(|path| Made::Directory((*path).to_owned())).collect()
}

#[test]
fn the_place_of_a_mount_is_missing_unless_another_is_mounted_above_it() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("var")).expect("made");
    symlink("/run", dir.path().join("var/run")).expect("made");
    let mounts = ["/run", "/run/lock", "/var/run/docker", "/runner", "/var/lib/docker"].map(tmpfs);
    let missing = directories(&["/run", "/runner", "/var/lib", "/var/lib/docker"]);
    assert_eq!(survey(dir.path(), &mounts, false), (missing, vec![]));
    assert_eq!(survey(dir.path(), &["/", "/run"].map(tmpfs), false), (vec![], vec![]));
}

#[test]
fn what_is_mounted_later_is_above_nothing_yet() {
    let dir = tempfile::tempdir().expect("a directory");
    symlink("z", dir.path().join("link")).expect("made");
    let mounts = ["/y/below", "/y", "/link/below", "/z"].map(tmpfs);
    // What is wanted twice is made once.
    let missing = directories(&["/y", "/y/below", "/y", "/z", "/z/below", "/z"]);
    assert_eq!(survey(dir.path(), &mounts, false), (missing, vec![]));
}

#[test]
fn a_mount_goes_where_links_lead_it_whatever_the_tree_has_below_another_mount() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("run/dir")).expect("made");
    fs::write(dir.path().join("file"), "").expect("written");
    for (link, target) in [("config", "../run/new/config"), ("dir", "/run/dir"), ("plain", "file")] {
        symlink(target, dir.path().join(link)).expect("made");
    }
    let file = dir.path().join("file");
    let binds = ["/config", "/dir", "/plain", "/file"].map(|destination| bind(&file, destination));
    let mounts = [[tmpfs("/run")].as_slice(), &binds].concat();
    for is_read_only in [false, true] {
        let Survey { missing, refused, led } =
            super::survey(&mounts, &Tree::of_test(dir.path()), is_read_only);
        assert!(missing.is_empty() && refused.is_empty());
        let led: Vec<_> = led.iter().map(|(number, place)| (*number, place.to_string())).collect();
        let place = |number, place: &str| (number, place.to_owned());
        assert_eq!(led, [place(1, "/run/new/config"), place(2, "/run/dir"), place(3, "/file")]);
    }
}

#[test]
fn a_file_is_mounted_on_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("file"), "").expect("written");
    let file = dir.path().join("file");
    let mounts = [bind(&file, "/etc/hosts"), bind(dir.path(), "/mnt")];
    let missing = [directories(&["/etc"]), vec![Made::File("/etc/hosts".to_owned())], directories(&["/mnt"])];
    assert_eq!(survey(dir.path(), &mounts, false), (missing.concat(), vec![]));
}

#[test]
fn what_has_no_place_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("file"), "").expect("written");
    fs::create_dir(dir.path().join("dir")).expect("made");
    symlink("loop", dir.path().join("loop")).expect("made");
    let file = dir.path().join("file");
    let refused = |mounts: &[Mount]| survey(dir.path(), mounts, false).1;
    assert_eq!(refused(&["/file", "/loop", "/loop/below"].map(tmpfs)), ["/file", "/loop"]);
    assert_eq!(refused(&[tmpfs("/file/below")]), ["/file/below"]);
    assert_eq!(refused(&[bind(&file, "/dir"), bind(&file, "/file")]), ["/dir"]);
}

#[test]
fn in_a_tree_that_cannot_be_written_only_what_is_there_has_a_place() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("dir")).expect("made");
    let mounts = ["/dir", "/dir/new"].map(tmpfs);
    assert_eq!(survey(dir.path(), &mounts[1..], true), (vec![], vec!["/dir/new".to_owned()]));
    assert_eq!(survey(dir.path(), &mounts, true), (vec![], vec![]), "it is below a mount");
}

#[test]
fn what_cannot_be_on_record_is_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let mounts = [tmpfs(OsStr::from_bytes(b"/run/\xff/x")), tmpfs("/new")];
    assert_eq!(survey(dir.path(), &mounts, false), (directories(&["/new"]), vec![]));
}
