//! Private mount namespaces, and detaching all that is mounted below a directory.

use std::fs;

use rustix::mount::{MountFlags, mount};
use sysbox_host::mount_namespace::detach_below;

use crate::place::Place;

#[test]
fn mounts_of_a_private_namespace_are_not_the_hosts() {
    let place = Place::on_tmpfs();
    let mine = fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
    let hosts = fs::read_to_string("/proc/1/mountinfo").expect("read");
    let path = place.at(".").to_string();
    let path = path.trim_end_matches("/.");
    assert!(mine.contains(path) && !hosts.contains(path));
}

#[test]
fn every_mount_below_a_directory_is_detached_also_stacked_and_hidden_ones_and_none_beside() {
    let place = Place::new();
    let tmpfs = |name: &str| {
        mount("tmpfs", place.dir(name).as_path(), "tmpfs", MountFlags::empty(), None).expect("mounted");
    };
    for name in ["a", "a/deep/er", "a/deep/er", "a", "a", "a/deep", "beside", "a b/c"] {
        tmpfs(name);
    }
    assert_eq!(detach_below(&place.at("a")).expect("detached"), 6);
    assert_eq!(detach_below(&place.at("a")).expect("detached"), 0);
    assert_eq!(detach_below(&place.at("a b")).expect("detached"), 1);
    assert_eq!(detach_below(&place.at("not there")).expect("detached"), 0);
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
    assert!(table.contains("/beside "));
}
