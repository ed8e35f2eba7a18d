//! Many containers at once on one data root: no two share an id, and none disturbs another. Needs root.

use std::collections::BTreeSet;

use sysbox_tests::{Bundle, Ground, Kind, Running, Site, Snapshot, busybox, finish, uid_map};

/// As many as can run with the ids of the site.
const MANY: u32 = 64;

#[test]
fn sixty_four_runs_at_once_have_ids_of_their_own_and_leave_nothing() {
    let site = Site::new(MANY);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle =
        Bundle::new(&ground.bundle(), ground.rootfs(), "cat /proc/self/uid_map /proc/self/gid_map; cat");
    let before = Snapshot::of(ground.rootfs());
    let ids: Vec<String> = (0..MANY).map(|nth| site.id(&nth.to_string())).collect();
    let mut runs: Vec<Running> = ids.iter().map(|id| Running::start(&mut site.run(&bundle, id))).collect();
    // All of them are up before the first may end.
    let mut firsts = BTreeSet::new();
    for run in &mut runs {
        let [_, first, count] = uid_map(&run.line()).expect("a mapping");
        assert_eq!(uid_map(&run.line()), Some([0, first, count]), "the same for groups");
        assert_eq!(count, 65_536);
        assert!(site.ids().contains(&first) && first % 65_536 == 0, "{first}");
        assert!(firsts.insert(first), "two containers have the range of {first}");
    }
    let rows = site.list();
    let listed: BTreeSet<_> =
        rows.iter().filter(|row| row["status"] == "running").filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(listed, ids.iter().map(String::as_str).collect());
    one_more_is_refused(&site, &bundle);
    for run in runs {
        let outcome = run.end();
        assert_eq!(outcome.code(), 0, "{outcome:?}");
    }
    before.assert_same(&Snapshot::of(ground.rootfs()), "after all");
    site.assert_nothing_left("after all");
}

/// The error tells how many ranges are in use and how to get more.
fn one_more_is_refused(site: &Site, bundle: &Bundle) {
    let outcome = finish(&mut site.run(bundle, &site.id("more")));
    outcome.failure(1, &["64", "--subid-range"]);
    assert!(site.list().iter().all(|row| row["id"] != site.id("more").as_str()));
}

#[test]
fn a_name_is_one_containers_at_a_time_and_the_first_is_not_disturbed() {
    let site = Site::new(2);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
    let id = site.id("a");
    let mut first = Running::start(&mut site.run(&bundle, &id));
    assert_eq!(first.line(), "up");
    let row = site.row(&id);
    finish(&mut site.run(&bundle, &id)).failure(1, &[&id, "in use"]);
    assert_eq!(site.row(&id), row);
    first.send("still here\n");
    assert_eq!(first.line(), "still here");
    assert_eq!(first.end().code(), 0);
    site.assert_nothing_left("after the first has ended");
}

#[test]
fn a_chowned_rootfs_is_one_containers_at_a_time() {
    let site = Site::new(2);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
    let before = Snapshot::of(ground.rootfs());
    let mut first = Running::start(site.run(&bundle, &site.id("a")).args(["--shift-policy", "reference"]));
    assert_eq!(first.line(), "up");
    let rootfs = ground.rootfs().display().to_string();
    for policy in ["reference", "prefer-id-mapped"] {
        let second = finish(site.run(&bundle, &site.id("b")).args(["--shift-policy", policy]));
        second.failure(1, &[&rootfs, &site.id("a")]);
    }
    first.send("still here\n");
    assert_eq!(first.line(), "still here");
    assert_eq!(first.end().code(), 0);
    before.assert_same(&Snapshot::of(ground.rootfs()), "after both");
    site.assert_nothing_left("after both");
}

#[test]
fn a_name_that_a_container_of_another_data_root_has_is_refused_and_that_one_is_not_disturbed() {
    let (one, other) = (Site::new(1), Site::new(1));
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
    let id = one.id("a");
    let mut first = Running::start(&mut one.run(&bundle, &id));
    assert_eq!(first.line(), "up");
    finish(&mut other.run(&bundle, &id)).failure(1, &["cgroup", &id]);
    assert_eq!(other.delete(&id).code(), 0);
    first.send("still here\n");
    assert_eq!(first.line(), "still here");
    assert_eq!(first.end().code(), 0);
    one.assert_nothing_left("after the first has ended");
    other.assert_nothing_left("after the second was refused");
}

#[test]
fn of_many_that_want_the_same_name_at_once_each_gets_it_or_is_told_that_it_is_in_use() {
    let site = Site::new(1);
    let ground = Ground::new(Kind::Ext4, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo done");
    let id = site.id("a");
    let runs: Vec<Running> = (0..24).map(|_| Running::start(&mut site.run(&bundle, &id))).collect();
    let mut done = 0;
    for run in runs {
        let outcome = run.end();
        match outcome.code() {
            0 => {
                assert_eq!(outcome.stdout, "done\n");
                done += 1;
            }
            _ => assert!(outcome.failure(1, &[&id, "in use"]).lines().count() == 1),
        }
    }
    assert!(done > 0, "nobody got the name");
    site.assert_nothing_left("after all");
}

#[test]
fn an_overlay_that_can_be_written_is_one_containers_at_a_time() {
    let site = Site::new(2);
    let ground = Ground::new(Kind::Overlay, busybox);
    let bundle = Bundle::new(&ground.bundle(), ground.rootfs(), "echo up; cat");
    let mut first = Running::start(&mut site.run(&bundle, &site.id("a")));
    assert_eq!(first.line(), "up");
    let rootfs = ground.rootfs().display().to_string();
    finish(&mut site.run(&bundle, &site.id("b"))).failure(1, &[&rootfs, &site.id("a")]);
    first.send("still here\n");
    assert_eq!(first.line(), "still here");
    assert_eq!(first.end().code(), 0);
    site.assert_nothing_left("after the first has ended");
}
