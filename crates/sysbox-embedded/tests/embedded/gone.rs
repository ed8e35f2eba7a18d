//! Containers whose rootfs is gone are released: by the next caller, on request, and by a daemon at once.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use pollster::block_on;
use sysbox_core::{MgrPort, Registration};
use sysbox_embedded::EmbeddedMgr;

use crate::manager::{Place, SIZE, abs, alloc, id, register, registration, stop};

/// A stopped container with a rootfs of its own.
fn stopped(mgr: &EmbeddedMgr, name: &str, rootfs: &Path) {
    fs::create_dir_all(rootfs).expect("made");
    block_on(mgr.register(&Registration { rootfs: abs(rootfs), ..registration(name) })).expect("new");
    alloc(mgr, name, SIZE).expect("enough ids");
    stop(mgr, name);
}

fn ids(mgr: &EmbeddedMgr) -> Vec<String> {
    mgr.list().expect("readable").into_iter().map(|container| container.id.to_string()).collect()
}

#[test]
fn the_next_registration_releases_what_is_gone() {
    let place = Place::with_slots(3);
    let mgr = place.open();
    stopped(&mgr, "gone", &place.path("a/rootfs"));
    stopped(&mgr, "there", &place.path("b/rootfs"));
    fs::remove_dir(place.path("a/rootfs")).expect("removed");
    register(&mgr, "next").expect("new");
    assert_eq!(ids(&mgr), ["next", "there"]);
}

#[test]
fn gc_releases_what_is_gone_and_tells_it_and_leaves_the_rest() {
    let place = Place::with_slots(3);
    let mgr = place.open();
    stopped(&mgr, "gone", &place.path("a/rootfs"));
    stopped(&mgr, "there", &place.path("b/rootfs"));
    fs::remove_dir(place.path("a/rootfs")).expect("removed");
    let freed = mgr.gc().expect("a usable data root");
    assert_eq!(freed.containers, [(id("gone"), 0)]);
    assert!(freed.failures.is_empty() && freed.trash.is_none(), "{freed:?}");
    assert_eq!(ids(&mgr), ["there"]);
    assert_eq!(mgr.subid_pools().expect("readable").uids.used, 1);
    assert!(mgr.gc().expect("a usable data root").containers.is_empty());
}

/// Waits until the manager knows just these, for as long as a watch may take, and much less than a look from time to time.
fn await_ids(mgr: &EmbeddedMgr, wanted: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while ids(mgr) != wanted {
        assert!(Instant::now() < deadline, "{:?} are known and not {wanted:?}", ids(mgr));
        thread::yield_now();
    }
}

#[test]
fn a_watch_releases_a_container_as_soon_as_its_rootfs_goes_in_whatever_way() {
    let place = Place::with_slots(4);
    let mgr = place.open();
    stopped(&mgr, "before", &place.path("a/rootfs"));
    let (stop, told) = UnixStream::pair().expect("a pair");
    thread::scope(|scope| {
        let watch = scope.spawn(|| mgr.release_when_gone(&told));
        fs::remove_dir_all(place.path("a")).expect("removed");
        await_ids(&mgr, &[]);
        // What stops while the watch runs is watched too.
        stopped(&mgr, "moved", &place.path("b/rootfs"));
        stopped(&mgr, "of-docker", &place.path("c/merged"));
        fs::rename(place.path("b/rootfs"), place.path("b/elsewhere")).expect("renamed");
        await_ids(&mgr, &["of-docker"]);
        fs::remove_dir(place.path("c/merged")).expect("removed");
        fs::create_dir(place.path("c/merged")).expect("made");
        fs::remove_dir_all(place.path("c")).expect("removed");
        await_ids(&mgr, &[]);
        drop(stop);
        watch.join().expect("no panic").expect("inotify");
    });
}
