//! The order of mounts, by rule and by property.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::syscont::mounts::testing::{bind, changed, destinations, mounts, spec, spec_at, tmpfs};

fn put_in_order(spec: &mut Spec) -> Vec<String> {
    changed(|changes| order(spec, changes))
}

fn ordered(mut spec: Spec) -> Vec<String> {
    put_in_order(&mut spec);
    destinations(&spec).iter().map(|at| at.display().to_string()).collect()
}

#[test]
fn sys_proc_and_dev_come_first_in_this_order_and_by_destination_within() {
    let given = ["/run", "/dev/shm", "/proc", "/dev", "/sys/fs/cgroup", "/tmp", "/sys", "/dev/pts"];
    let wanted = ["/sys", "/sys/fs/cgroup", "/proc", "/dev", "/dev/pts", "/dev/shm", "/run", "/tmp"];
    assert_eq!(ordered(spec_at(&given)), wanted);
}

#[test]
fn with_systemd_run_comes_next() {
    let process = json!({ "cwd": "/", "args": ["/sbin/init"], "user": { "uid": 0, "gid": 0 } });
    let given = [tmpfs("/tmp"), tmpfs("/run/lock"), tmpfs("/run"), tmpfs("/dev"), tmpfs("/runner")];
    let spec = spec(json!({ "process": process, "mounts": given }));
    assert_eq!(ordered(spec), ["/dev", "/run", "/run/lock", "/tmp", "/runner"]);
}

#[test]
fn other_mounts_keep_their_order_save_that_a_parent_comes_before_what_is_below() {
    assert_eq!(ordered(spec_at(&["/z", "/b/c/d", "/a", "/b", "/b/c"])), ["/z", "/b", "/b/c", "/b/c/d", "/a"]);
}

#[test]
fn bind_mounts_come_last_in_their_order_a_parent_before_what_is_below() {
    let given = [
        bind("/z", "/1"),
        bind("/dev/kmsg", "/2"),
        bind("/b/c", "/3"),
        tmpfs("/dev"),
        bind("/b", "/4"),
        tmpfs("/t"),
    ];
    assert_eq!(ordered(spec(json!({ "mounts": given }))), ["/dev", "/t", "/z", "/dev/kmsg", "/b", "/b/c"]);
}

#[test]
fn what_is_below_a_bind_mount_comes_after_it_whatever_its_kind() {
    let given = [
        tmpfs("/data/cache"),
        tmpfs("/sys/kernel/debug"),
        bind("/data", "/1"),
        bind("/sys/kernel", "/2"),
        tmpfs("/t"),
    ];
    let wanted = ["/t", "/data", "/data/cache", "/sys/kernel", "/sys/kernel/debug"];
    assert_eq!(ordered(spec(json!({ "mounts": given }))), wanted);
}

#[test]
fn mounts_at_the_same_place_keep_their_order() {
    let given = [tmpfs("/1st"), bind("/a", "/1"), tmpfs("/a/"), bind("/a", "/3"), tmpfs("/last")];
    let mut spec = spec(json!({ "mounts": given }));
    put_in_order(&mut spec);
    assert_eq!(destinations(&spec)[..2], [Path::new("/1st"), Path::new("/last")]);
    let sources: Vec<_> =
        mounts(&spec)[2..].iter().map(|m| m.source().as_deref().and_then(Path::to_str)).collect();
    assert_eq!(sources, [Some("/1"), Some("tmpfs"), Some("/3")]);
}

#[test]
fn what_is_mounted_at_the_root_comes_before_all_and_changes_no_other_place() {
    let given = [tmpfs("/t"), tmpfs("/proc"), bind("/", "/new-root")];
    assert_eq!(ordered(spec(json!({ "mounts": given }))), ["/", "/proc", "/t"]);
}

#[test]
fn one_change_is_noted_and_none_where_the_order_is_right() {
    assert_eq!(put_in_order(&mut spec_at(&["/tmp", "/proc", "/sys"])), ["mounts"]);
    assert_eq!(put_in_order(&mut spec_at(&["/sys", "/proc", "/tmp"])), [""; 0]);
    assert_eq!(put_in_order(&mut spec(json!({}))), [""; 0]);
}

#[test]
fn a_hundred_thousand_mounts_are_ordered() {
    const BRANCHES: usize = 1_000;
    // Deep and wide, and in the worst order: every mount is listed before those above it.
    let deep = (1..=1_000).rev().map(|depth| tmpfs(&"/d".repeat(depth)));
    let wide = (0..99_000).rev().map(|n| if n % 2 == 0 { bind(&at(n), "/s") } else { tmpfs(&at(n)) });
    fn at(n: usize) -> String {
        format!("/w{}/x/y{}", n % BRANCHES, n / BRANCHES)
    }
    let mut spec = spec(json!({ "mounts": deep.chain(wide).collect::<Vec<_>>() }));
    assert_eq!(put_in_order(&mut spec), ["mounts"]);
    assert_eq!(mounts(&spec).len(), 100_000);
    assert_eq!(mounts(&spec)[999].destination(), Path::new(&"/d".repeat(1_000)));
    assert_eq!(put_in_order(&mut spec), [""; 0]);
}

/// Mounts, some of which are above or at the place of others. Each has a source of its own.
fn specs() -> impl Strategy<Value = Spec> {
    let place = prop::sample::select(vec!["sys", "proc", "dev", "run", "a", "b", "."]);
    let path = prop::collection::vec(place, 0..4).prop_map(|parts| format!("/{}", parts.join("/")));
    let mount = (path, any::<bool>());
    let list = prop::collection::vec(mount, 0..24);
    (list, any::<bool>()).prop_map(|(list, with_systemd)| {
        let mount = |(n, (at, is_bind)): (usize, (String, bool))| {
            let kind = if is_bind { "bind" } else { "tmpfs" };
            json!({ "destination": at, "type": kind, "source": n.to_string() })
        };
        let program = if with_systemd { "/sbin/init" } else { "/bin/sh" };
        spec(json!({
            "process": { "cwd": "/", "args": [program], "user": { "uid": 0, "gid": 0 } },
            "mounts": list.into_iter().enumerate().map(mount).collect::<Vec<_>>(),
        }))
    })
}

fn number(mount: &Mount) -> usize {
    let source = mount.source().as_deref().and_then(Path::to_str);
    source.and_then(|source| source.parse().ok()).expect("a number")
}

proptest! {
    #[test]
    fn an_order_has_every_mount_once_as_it_was(given in specs()) {
        let mut spec = given.clone();
        put_in_order(&mut spec);
        let mut ordered = mounts(&spec).to_vec();
        ordered.sort_by_key(number);
        prop_assert_eq!(&ordered[..], mounts(&given));
    }

    #[test]
    fn no_mount_comes_before_one_above_it(mut spec in specs()) {
        put_in_order(&mut spec);
        let ordered = destinations(&spec);
        for (n, earlier) in ordered.iter().enumerate() {
            for later in &ordered[n + 1..] {
                prop_assert!(earlier == later || !earlier.starts_with(later), "{:?} is before {:?}", earlier, later);
            }
        }
    }

    #[test]
    fn what_is_at_the_same_place_stays_in_order(mut spec in specs()) {
        put_in_order(&mut spec);
        let mut last: HashMap<&Path, usize> = HashMap::new();
        for mount in mounts(&spec) {
            let earlier = last.insert(mount.destination(), number(mount));
            prop_assert!(earlier.is_none_or(|earlier| earlier < number(mount)));
        }
    }

    #[test]
    fn ordering_what_is_ordered_changes_nothing(mut spec in specs()) {
        put_in_order(&mut spec);
        let once = spec.clone();
        prop_assert!(put_in_order(&mut spec).is_empty());
        prop_assert_eq!(spec, once);
    }

    #[test]
    fn a_bind_mount_has_only_what_is_at_or_below_a_bind_mount_behind_it(mut spec in specs()) {
        put_in_order(&mut spec);
        let ordered = mounts(&spec);
        let is_of_bind = |mount: &Mount| {
            let mut over = ordered.iter().filter(|over| mount.destination().starts_with(over.destination()));
            over.any(|over| is_bind(over) && over.destination() != Path::new("/"))
        };
        let first = ordered.iter().position(|mount| is_bind(mount) && mount.destination() != Path::new("/"));
        prop_assert!(ordered[first.unwrap_or(ordered.len())..].iter().all(is_of_bind));
    }
}
