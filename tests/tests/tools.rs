//! The tools of the other tests see what they are there to see. Needs root.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, lchown},
    panic::catch_unwind,
    path::Path,
    process::Command,
};

use rustix::fs::{XattrFlags, lsetxattr};
use sysbox_tests::{Bundle, Ground, Kind, Mounted, Running, Site, Snapshot, busybox, furnish};

/// What is told to be left; empty if nothing is.
fn left(site: &Site) -> String {
    let outcome = catch_unwind(|| site.assert_nothing_left("now"));
    outcome.map_or_else(|error| *error.downcast::<String>().expect("a message"), |()| String::new())
}

struct Removed(&'static Path);

impl Drop for Removed {
    fn drop(&mut self) {
        fs::remove_dir(self.0).expect("it is empty");
    }
}

#[test]
fn a_process_a_mount_and_a_cgroup_that_are_left_are_told() {
    let site = Site::new(1);
    assert_eq!(left(&site), "");
    let dir = site.dir("at");
    let mounted = Mounted::read_only(&dir);
    assert!(left(&site).contains("mount "), "{}", left(&site));
    drop(mounted);
    let hierarchy =
        fs::read_dir("/sys/fs/cgroup").expect("mounted").map(|entry| entry.expect("readable").path());
    let hierarchy = hierarchy.into_iter().find(|path| path.join("cgroup.procs").exists());
    let root = hierarchy.unwrap_or_else(|| "/sys/fs/cgroup".into());
    let cgroup: &Path = Box::leak(root.join(site.id("a")).into_boxed_path());
    fs::create_dir(cgroup).expect("root may");
    let removed = Removed(cgroup);
    assert!(left(&site).contains("cgroup "), "{}", left(&site));
    drop(removed);
    // It waits for input, and has the directory on its command line.
    let waiting = Running::start(Command::new("cat").arg("-").arg(&dir));
    assert!(left(&site).contains("process "), "{}", left(&site));
    drop(waiting);
    fs::create_dir_all(site.data_root().join("containers/x")).expect("made");
    assert!(left(&site).contains("entry "), "{}", left(&site));
    fs::remove_dir(site.data_root().join("containers/x")).expect("removed");
    assert_eq!(left(&site), "");
}

#[test]
fn a_container_that_runs_is_told_by_all_that_it_has() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!(run.line(), "up");
    let told = left(&site);
    for what in [
        "process ",
        "cgroup ",
        "entry ",
        "row of list ",
        "row of the manager ",
        "ranges of user ids",
        "ranges of group ids",
    ] {
        assert!(told.contains(what), "{what:?} is not told: {told}");
    }
    assert_eq!(run.end().code(), 0);
}

#[test]
fn a_site_ends_and_removes_what_a_failed_test_left() {
    let (site, other) = (Site::new(1), Site::new(1));
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; sleep 1000");
    let mut run = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!(run.line(), "up");
    run.kill();
    let data_root = site.data_root();
    drop(site);
    assert!(!data_root.exists());
    other.assert_nothing_left("after the other site was dropped");
}

#[test]
fn every_kind_of_change_of_a_tree_is_a_difference_and_no_change_is_none() {
    let ground = Ground::new(Kind::Ext4, |rootfs| {
        busybox(rootfs);
        furnish(rootfs);
    });
    let root = ground.rootfs();
    let path = |name: &str| root.join("kept").join(name);
    let before = Snapshot::of(root);
    assert_eq!(before.differences(&Snapshot::of(root)), Vec::<String>::new());
    let changes: [(&str, &dyn Fn()); 7] = [
        ("trusted", &|| {
            lsetxattr(path("trusted"), "trusted.mine", b"other", XattrFlags::REPLACE).expect("root may")
        }),
        ("of a user", &|| lchown(path("of a user"), Some(7), None).expect("root may")),
        ("dangling", &|| lchown(path("dangling"), None, Some(7)).expect("root may")),
        ("set-id", &|| {
            fs::set_permissions(path("set-id"), fs::Permissions::from_mode(0o755)).expect("root may")
        }),
        ("link", &|| fs::remove_file(path("linked")).expect("removed")),
        ("listed", &|| fs::write(path("listed"), "other").expect("written")),
        // chown(2) drops capabilities.
        ("capable", &|| lchown(path("capable"), Some(0), Some(0)).expect("root may")),
    ];
    for (name, change) in changes {
        let before = Snapshot::of(root);
        change();
        let differences = before.differences(&Snapshot::of(root));
        assert!(
            differences.iter().any(|line| line.starts_with(&format!("./kept/{name} was "))),
            "{name}: {differences:?}"
        );
    }
}
