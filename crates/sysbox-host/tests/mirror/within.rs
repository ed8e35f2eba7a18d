//! Files in a root directory that is not trusted.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::{
    fs::{FileType, fstat},
    mount::mount_bind,
    thread::{CapabilitySet, capabilities, set_capabilities},
};
use sysbox_core::{AbsPath, Owner};
use sysbox_host::{
    mount_namespace::enter_private,
    within::{Entry, LastName, look_up, make, make_dir, open_dir, read_file},
};

use super::support::*;

fn inode(fd: impl std::os::fd::AsFd) -> u64 {
    fstat(fd).expect("it is open").st_ino
}

fn inode_at(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).expect("it is there").ino()
}

#[test]
fn a_path_is_resolved_as_if_the_root_were_the_whole_file_system() {
    require_root();
    let place = Place::temporary();
    let root = place.source();
    let inner = directory(&root.join("etc"), 0o755, (0, 0));
    symlink("/etc", &root.join("absolute"), (0, 0));
    symlink("../../../../etc", &inner.join("upwards"), (0, 0));
    symlink("loop", &root.join("loop"), (0, 0));
    let open = |path: &str| open_dir(&abs(&root), &abs(Path::new(path)));
    for path in ["/etc", "/absolute", "/absolute/upwards", "/../../etc", "/etc/../../etc/."] {
        let found = open(path).expect("it can be opened").expect("it is there");
        assert_eq!(inode(found), inode_at(&inner), "{path}");
    }
    let found = open("/").expect("it can be opened").expect("it is there");
    assert_eq!(inode(found), inode_at(&root));
    assert!(open("/nothing").expect("no error").is_none());
    assert!(open("/nothing/below").expect("no error").is_none());
    open("/loop").expect_err("it leads round and round");
}

#[test]
fn what_is_no_directory_is_an_error_that_says_so() {
    require_root();
    let place = Place::temporary();
    file(&place.source().join("file"), "x", 0o644, (0, 0));
    let root = abs(&place.source());
    for path in ["/file", "/file/below"] {
        let error = open_dir(&root, &abs(Path::new(path))).expect_err("no directory");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert_eq!(cause, "it is no directory; remove it, or choose another path", "{path}");
        make_dir(&root, &abs(Path::new(path)), Owner::new(0, 0), 0o755).expect_err("no directory");
    }
}

#[test]
fn missing_directories_are_made_with_their_owner_and_mode_and_others_stay() {
    require_root();
    let place = Place::temporary();
    let root = place.source();
    directory(&root.join("var"), 0o700, (9, 9));
    let make = |path: &str| make_dir(&abs(&root), &abs(Path::new(path)), Owner::new(5, 6), 0o2750);
    let made = make("/var/lib/docker").expect("it can be made");
    assert_eq!(inode(made), inode_at(root.join("var/lib/docker")));
    for (path, owner, mode) in
        [("var", (9, 9), 0o700), ("var/lib", (5, 6), 0o2750), ("var/lib/docker", (5, 6), 0o2750)]
    {
        let metadata = fs::metadata(root.join(path)).expect("it is there");
        assert_eq!(((metadata.uid(), metadata.gid()), metadata.mode() & 0o7777), (owner, mode), "{path}");
    }
    make("/var/lib/docker").expect("it is there");
}

#[test]
fn a_symbolic_link_that_leads_nowhere_leads_to_what_is_made() {
    require_root();
    let place = Place::temporary();
    let root = place.source();
    symlink("/data/../data/run", &root.join("run"), (0, 0));
    symlink("../../../outside", &root.join("up"), (0, 0));
    symlink("loop", &root.join("loop"), (0, 0));
    let make = |path: &str| make_dir(&abs(&root), &abs(Path::new(path)), Owner::new(0, 0), 0o755);
    assert_eq!(inode(make("/run/docker").expect("made")), inode_at(root.join("data/run/docker")));
    assert_eq!(inode(make("/up/x").expect("made")), inode_at(root.join("outside/x")));
    make("/loop/x").expect_err("it leads round and round");
    assert!(!place.source().join("../outside").exists(), "nothing is made outside");
    let deep = "/d".repeat(2000);
    make(&deep).expect("any number of directories can be made");
}

#[test]
fn a_file_is_read_up_to_its_limit_and_nothing_but_a_file() {
    require_root();
    let place = Place::temporary();
    let root = place.source();
    file(&root.join("file"), "12345", 0o000, (7, 7));
    symlink("/file", &root.join("link"), (0, 0));
    symlink(place.beside().join("secret"), &root.join("out"), (0, 0));
    file(&place.beside().join("secret"), "secret", 0o644, (0, 0));
    symlink("/proc/self/root/etc/passwd", &root.join("magic"), (0, 0));
    node(&root.join("fifo"), FileType::Fifo, 0, 0o666, (0, 0));
    node(&root.join("zero"), FileType::CharacterDevice, rustix::fs::makedev(1, 5), 0o666, (0, 0));
    let read = |path: &str, at_most| read_file(&abs(&root), &abs(Path::new(path)), at_most);
    assert_eq!(read("/file", 5).expect("readable").as_deref(), Some(&b"12345"[..]));
    assert_eq!(read("/link", 5).expect("readable").as_deref(), Some(&b"12345"[..]));
    for path in ["/nothing", "/out", "/magic"] {
        assert_eq!(read(path, 100).expect("no error"), None, "{path}");
    }
    read("/file", 4).expect_err("longer");
    for path in ["/fifo", "/zero", "/"] {
        read(path, 100).expect_err(path);
    }
}

/// A root directory with a link `link` to `/mnt`, where a directory `hidden` is below a mount of one that has files. Calls this in a
/// mount namespace of its own.
fn with_mount_below(test: impl FnOnce(&AbsPath) + Send) {
    require_root();
    let place = Place::temporary();
    let (root, outside) = (place.source(), directory(&place.beside().join("outside"), 0o755, (0, 0)));
    directory(&root.join("mnt"), 0o755, (0, 0));
    directory(&root.join("mnt/hidden"), 0o755, (0, 0));
    file(&outside.join("secret"), "secret", 0o644, (0, 0));
    directory(&outside.join("directory"), 0o755, (0, 0));
    symlink("/mnt", &root.join("link"), (0, 0));
    std::thread::scope(|scope| {
        let work = || {
            enter_private().expect("a mount namespace");
            mount_bind(&outside, root.join("mnt")).expect("a bind mount");
            test(&abs(&root));
        };
        scope.spawn(work).join().expect("it does not panic");
    });
    assert_eq!(fs::read_dir(&outside).expect("there").count(), 2, "nothing is made there");
}

#[test]
fn what_is_mounted_below_is_not_found_and_what_it_hides_is() {
    with_mount_below(|root| {
        let path = |path: &str| abs(Path::new(path));
        let owner = Owner::new(0, 0);
        for above in ["/mnt", "/link"] {
            let at = |name: &str| path(&format!("{above}/{name}"));
            assert!(open_dir(root, &at("directory")).expect("no error").is_none());
            assert!(open_dir(root, &at("hidden")).expect("no error").is_some());
            assert_eq!(read_file(root, &at("secret"), 100).expect("no error"), None);
            assert!(!look_up(root, &at("directory"), LastName::Followed).expect("no loop").is_directory);
        }
        make_dir(root, &path("/link/made"), owner, 0o755).expect("writable");
        assert!(make(root, &path("/link/file"), Entry::File, owner, 0o644).expect("writable"));
        assert!(open_dir(root, &path("/mnt/made")).expect("no error").is_some());
        assert!(read_file(root, &path("/mnt/file"), 100).expect("no error").is_some());
    });
}

#[test]
fn without_privilege_a_mount_below_is_refused_and_is_no_error_of_the_kernel() {
    with_mount_below(|root| {
        let mut sets = capabilities(None).expect("readable");
        sets.effective -= CapabilitySet::SYS_ADMIN;
        set_capabilities(None, sets).expect("less than before");
        assert!(open_dir(root, &abs(Path::new("/"))).expect("no error").is_some());
        for path in ["/mnt", "/link", "/link/directory", "/mnt/secret", "/mnt/nothing"] {
            let path = abs(Path::new(path));
            let errors = [
                open_dir(root, &path).map(drop),
                read_file(root, &path, 100).map(drop),
                make_dir(root, &path, Owner::new(0, 0), 0o755).map(drop),
            ];
            for error in errors {
                let cause =
                    error.expect_err("the container may have something else there").source.to_string();
                assert!(cause.contains("mounted on the way"), "{path}: {cause}");
            }
        }
    });
}

#[test]
fn a_name_that_is_too_long_is_no_error_of_the_kernel() {
    require_root();
    let place = Place::temporary();
    let root = place.source();
    symlink("a".repeat(300), &root.join("long"), (0, 0));
    for path in ["/long", "/long/x"] {
        let (root, path) = (abs(&root), abs(Path::new(path)));
        for error in [
            open_dir(&root, &path).expect_err("too long"),
            read_file(&root, &path, 100).expect_err("too long"),
            make_dir(&root, &path, Owner::new(0, 0), 0o755).expect_err("too long"),
        ] {
            assert!(!error.source.is::<rustix::io::Errno>(), "{error}: {}", error.source);
        }
    }
}
