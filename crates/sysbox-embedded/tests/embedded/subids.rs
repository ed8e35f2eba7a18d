//! Which ids are given, by the files as they are at the time.

use std::fs;

use pollster::block_on;
use sysbox_core::{ErrorKind, MgrPort, Registration};
use sysbox_embedded::{EmbeddedMgr, SubidOrigin, SubidPoolsError, SubidSource};

use crate::{
    host::host,
    manager::{
        Place, SIZE, abs, alloc, id, kind, range, record, register, registration, remove, start, stop,
    },
};

#[test]
fn without_any_file_ids_come_from_the_built_in_range_and_the_lines_to_make_it_permanent_are_told() {
    let place = Place::new();
    let mgr = place.open();
    let ids = start(&mgr, "c");
    assert!((0x4000_0000..0x7000_0000).contains(&ids) && ids.is_multiple_of(SIZE));
    let pools = mgr.subid_pools().expect("readable");
    assert_eq!((pools.uids.slots, pools.uids.used, pools.uids.free()), (12_288, 1, 12_287));
    let permanent = pools.gids.permanent.expect("it is built in");
    assert_eq!(permanent.file, place.path("subgid"));
    assert_eq!(permanent.lines, ["sysbox:1073741824:805306368"]);
    place.write("subgid", &format!("{}\n", permanent.lines[0]));
    let pools = mgr.subid_pools().expect("readable");
    assert_eq!(pools.gids.origin, SubidOrigin::File(place.path("subgid")));
    assert_eq!((pools.gids.used, pools.gids.permanent), (1, None));
}

#[test]
fn a_configured_range_serves_both_kinds_whatever_the_files_say() {
    let place = Place::with_slots(1);
    let mut config = place.config();
    config.subids = SubidSource::Range(range(10 * SIZE, 2 * SIZE));
    let mgr = EmbeddedMgr::open(config, host()).expect("a usable data root");
    let mut given = [start(&mgr, "a"), start(&mgr, "b")];
    given.sort_unstable();
    assert_eq!(given, [10 * SIZE, 11 * SIZE]);
}

#[test]
fn ranges_of_any_size_are_given_on_whole_slots() {
    let place = Place::with_slots(6);
    let mgr = place.open();
    for (name, size) in [("one", 1), ("more", SIZE + 1), ("full", SIZE)] {
        register(&mgr, name).expect("a new container");
        assert_eq!(alloc(&mgr, name, size).expect("it fits").0 % SIZE, 0);
    }
    let pools = mgr.subid_pools().expect("readable");
    assert_eq!((pools.uids.slots, pools.uids.used), (6, 4));
}

#[test]
fn a_stopped_container_keeps_its_ids_until_its_rootfs_is_gone_and_another_needs_them() {
    for rootfs in ["engine/a/rootfs", "engine/a/merged"] {
        let place = Place::with_slots(1);
        let mgr = place.open();
        let rootfs = place.path(rootfs);
        fs::create_dir_all(&rootfs).expect("made");
        block_on(mgr.register(&Registration { rootfs: abs(&rootfs), ..registration("a") })).expect("new");
        let ids = alloc(&mgr, "a", SIZE).expect("the only range");
        register(&mgr, "b").expect("new");
        let others = || alloc(&mgr, "b", SIZE);

        fs::remove_dir(&rootfs).expect("removed");
        assert_eq!(kind(others()), ErrorKind::ResourceExhausted, "it still runs");
        fs::create_dir(&rootfs).expect("made");
        stop(&mgr, "a");
        assert_eq!(kind(others()), ErrorKind::ResourceExhausted, "its rootfs is there");
        fs::remove_dir(&rootfs).expect("removed");
        if rootfs.ends_with("merged") {
            assert_eq!(
                kind(others()),
                ErrorKind::ResourceExhausted,
                "Docker has unmounted it and would mount it again"
            );
            fs::remove_dir(rootfs.parent().expect("it has one")).expect("removed");
        }
        assert_eq!(others().expect("released"), ids);
        assert_eq!(kind(block_on(mgr.unregister(&id("a")))), ErrorKind::NotFound);
    }
}

#[test]
fn exhaustion_says_how_many_ranges_are_used_by_whom_and_how_to_add_more() {
    let place = Place::with_slots(2);
    let mgr = place.open();
    start(&mgr, "a");
    start(&mgr, "b");
    register(&mgr, "c").expect("a new container");
    let error = alloc(&mgr, "c", SIZE).expect_err("nothing is left");
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    let told = error.to_string();
    for part in ["container c", "2 ranges by 2 containers", "subuid", "--subid-range"] {
        assert!(told.contains(part), "{told}");
    }
    stop(&mgr, "a");
    assert_eq!(
        kind(alloc(&mgr, "c", SIZE)),
        ErrorKind::ResourceExhausted,
        "a stopped container keeps its ids"
    );
    remove(&mgr, "a");
    alloc(&mgr, "c", SIZE).expect("released");
}

#[test]
fn a_pool_that_is_too_small_is_told_apart_from_one_that_is_used_up() {
    let place = Place::with_slots(1);
    let mgr = place.open();
    register(&mgr, "c").expect("a new container");
    let error = alloc(&mgr, "c", SIZE + 1).expect_err("too large");
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    assert!(error.to_string().contains("65536 ids, which is too small: 65537"), "{error}");
    alloc(&mgr, "c", SIZE).expect("nothing was changed");
}

#[test]
fn a_malformed_file_is_told_by_line_and_stops_only_what_needs_it() {
    let place = Place::with_slots(1);
    place.write("subgid", "# fine\nsysbox:65536\n");
    let mgr = place.open();
    register(&mgr, "c").expect("no ids are needed yet");
    let error = alloc(&mgr, "c", SIZE).expect_err("malformed");
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    let told = error.to_string();
    for part in ["container c", "line 2", "subgid", "sysbox:65536", "NAME:FIRST:COUNT"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(matches!(mgr.subid_pools(), Err(SubidPoolsError::Accounts(_))));
    place.write("subgid", "sysbox:65536:65536\n");
    alloc(&mgr, "c", SIZE).expect("mended");
}

#[test]
fn ids_of_accounts_are_never_given() {
    let place = Place::with_slots(3);
    place.write("passwd", &format!("a:x:{}:1::/:\n", SIZE + 17));
    place.write("group", &format!("a:x:{}:\n", 2 * SIZE));
    let mgr = place.open();
    register(&mgr, "c").expect("a new container");
    assert_eq!(alloc(&mgr, "c", SIZE).expect("one is left for both"), (3 * SIZE, 3 * SIZE));
    place.write("passwd", &format!("a:x:{}:1::/:\nb:x:{}:1::/:\n", SIZE + 17, 2 * SIZE));
    register(&mgr, "d").expect("a new container");
    assert_eq!(kind(alloc(&mgr, "d", SIZE)), ErrorKind::ResourceExhausted);
}

#[test]
fn a_restart_gets_new_ids_if_the_earlier_ones_are_somebody_elses_by_now() {
    let place = Place::with_slots(1);
    let mgr = place.open();
    let earlier = start(&mgr, "c");
    place.write("subuid", &format!("sysbox:{}:{SIZE}\nalice:{SIZE}:{SIZE}\n", 4 * SIZE));
    place.write("subgid", &format!("sysbox:{}:{SIZE}\n", 4 * SIZE));
    assert_eq!(alloc(&mgr, "c", SIZE).expect("kept while it runs"), (earlier, earlier));
    stop(&mgr, "c");
    let config = register(&mgr, "c").expect("a restart");
    assert!(config.uid_mappings.is_empty());
    assert_eq!(alloc(&mgr, "c", SIZE).expect("new ones"), (4 * SIZE, 4 * SIZE));
}

#[test]
fn a_restart_keeps_ids_outside_the_pool_that_nobody_else_has() {
    let place = Place::with_slots(1);
    let mgr = place.open();
    let earlier = start(&mgr, "c");
    for file in ["subuid", "subgid"] {
        place.write(file, &format!("sysbox:{}:{SIZE}\n", 4 * SIZE));
    }
    stop(&mgr, "c");
    register(&mgr, "c").expect("a restart");
    assert_eq!(alloc(&mgr, "c", SIZE).expect("kept"), (earlier, earlier));
    assert_eq!(record(&mgr, "c").uids, Some(range(earlier, SIZE)));
}

#[test]
fn ten_thousand_accounts_are_no_hindrance() {
    let place = Place::new();
    let accounts: String =
        (0..10_000).map(|n| format!("u{n}:x:{}:100:User {n}:/home/u{n}:/bin/sh\n", 1000 + n)).collect();
    place.write("passwd", &accounts);
    let subids: String = (0..10_000).map(|n| format!("u{n}:{}:65536\n", 100_000 + n * 65_536)).collect();
    place.write("subuid", &subids);
    fs::copy(place.path("subuid"), place.path("subgid")).expect("copied");
    let first = start(&place.open(), "c");
    assert!(first >= 0x4000_0000);
}
