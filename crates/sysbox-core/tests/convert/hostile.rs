//! Specs that nobody writes by mistake: huge ones, and ones at the edges of what can be said.

use std::{path::PathBuf, time::Duration};

use oci_spec::runtime::{Mount, Spec};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use sysbox_core::{ContainerConfig, ConvertError, Converted, syscont::SpecError};

use super::fake::World;

/// The most that any spec may take of a processor, without optimization.
const MOST: Duration = Duration::from_secs(4);

const MANY: usize = 100_000;

/// A spec that can be converted but for `value` at `pointer`.
fn spec(pointer: &str, value: Value) -> Spec {
    serde_json::from_value(raw(pointer, value)).expect("a spec")
}

fn raw(pointer: &str, value: Value) -> Value {
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind }));
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "root": { "path": "/r", "readonly": true },
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["/sbin/init"], "env": [], "cwd": "/" },
        "mounts": [],
        "annotations": {},
        "linux": {
            "namespaces": namespaces, "maskedPaths": [], "readonlyPaths": [], "devices": [], "uidMappings": [],
            "gidMappings": [], "seccomp": { "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [] },
        },
    });
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer to a field");
    spec.pointer_mut(parent).expect("there")[field] = value;
    spec
}

fn convert(spec: Spec) -> Result<Converted, ConvertError> {
    let world = World::new(ContainerConfig::default());
    let start = processor_time();
    let outcome = world.convert(spec);
    let took = processor_time() - start;
    assert!(took < MOST, "it took {took:?}");
    outcome
}

/// What this thread has used, whatever else the machine does.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("time passes")
}

fn refusal(spec: Spec) -> SpecError {
    match convert(spec) {
        Err(ConvertError::Spec { source, .. }) => source,
        other => panic!("not refused by the spec: {other:?}"),
    }
}

fn tmpfs(destination: impl Into<PathBuf>) -> Mount {
    mount(destination, "tmpfs", "tmpfs", &[])
}

fn bind(destination: impl Into<PathBuf>) -> Mount {
    mount(destination, "bind", "/srv", &["rbind", "ro"])
}

fn mount(destination: impl Into<PathBuf>, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(|&option| option.to_owned()).collect()));
    mount
}

fn with_mounts(mounts: Vec<Mount>) -> Spec {
    let mut spec = spec("/mounts", json!([]));
    spec.set_mounts(Some(mounts));
    spec
}

#[test]
fn a_hundred_thousand_mounts_are_converted_in_seconds_wherever_they_are() {
    let many = |make: fn(usize) -> Mount| (0..MANY).map(make).collect::<Vec<_>>();
    let in_turn = |n| {
        let destination = format!("/data/{}", MANY - n);
        if n % 2 == 0 { bind(destination) } else { tmpfs(destination) }
    };
    let lists: [(&str, Vec<Mount>, bool); 7] = [
        ("side by side", many(|n| bind(format!("/data/{n}"))), true),
        ("in turn", many(in_turn), true),
        ("one over the other", many(|_| tmpfs("/data")), true),
        ("below /sys", many(|n| tmpfs(format!("/sys/{n}"))), true),
        ("at a special directory", many(|_| bind("/var/lib/docker")), true),
        ("below cgroups", many(|n| tmpfs(format!("/sys/fs/cgroup/{n}"))), false),
        ("one below the other", (1..1000).rev().map(|n| bind("/d".repeat(n))).collect(), true),
    ];
    for (what, mounts, are_kept) in lists {
        let given = mounts.len();
        let converted = convert(with_mounts(mounts)).expect(what);
        let left = converted.spec.mounts().as_ref().map_or(0, Vec::len);
        assert_eq!(left >= given, are_kept, "{what}");
    }
}

#[test]
fn long_lists_of_anything_else_are_converted_in_seconds() {
    let numbered = |prefix: &str| json!((0..MANY).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>());
    let rule =
        |n: usize| json!({ "names": ["mount", format!("call{n}")], "action": "SCMP_ACT_ERRNO", "args": [] });
    let conditional = |n: usize| {
        let args = [json!({ "index": 0, "value": n, "op": "SCMP_CMP_EQ" })];
        json!({ "names": ["mount", "personality"], "action": "SCMP_ACT_ALLOW", "args": args })
    };
    let notified = |conditions: usize| {
        let args = vec![json!({ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }); conditions];
        json!({ "names": vec!["mount"; conditions], "action": "SCMP_ACT_NOTIFY", "args": args })
    };
    let allowed = |conditions: usize| {
        let mut rule = notified(conditions);
        rule["action"] = json!("SCMP_ACT_ALLOW");
        rule
    };
    let device = |n: usize| json!({ "path": format!("/dev/{n}"), "type": "c", "major": 1, "minor": 1 });
    for (pointer, value) in [
        ("/process/env", numbered("A=")),
        ("/process/args", numbered("")),
        ("/linux/maskedPaths", numbered("/proc/")),
        ("/linux/readonlyPaths", numbered("/proc/")),
        ("/linux/devices", json!((0..MANY).map(device).collect::<Vec<_>>())),
        ("/linux/seccomp/syscalls", json!((0..MANY).map(rule).collect::<Vec<_>>())),
        ("/linux/seccomp/syscalls", json!((0..MANY / 10).map(conditional).collect::<Vec<_>>())),
        ("/linux/seccomp/syscalls", json!([notified(1), allowed(MANY / 2)])),
        ("/linux/seccomp/syscalls", json!([notified(MANY / 2), allowed(MANY / 2)])),
        ("/linux/seccomp/syscalls", json!([{ "names": numbered("call"), "action": "SCMP_ACT_ALLOW" }])),
        ("/process/env", json!(vec!["container=a"; MANY])),
        ("/linux/maskedPaths", json!(vec!["/proc/kcore"; MANY])),
        ("/linux/readonlyPaths", json!(vec!["/sys/kernel"; MANY])),
    ] {
        convert(spec(pointer, value)).expect(pointer);
    }
    let extents =
        (0..MANY).map(|n| json!({ "containerID": n, "hostID": n + 1, "size": 1 })).collect::<Vec<_>>();
    assert_eq!(refusal(spec("/linux/uidMappings", json!(extents))).field, "linux.uidMappings");
    let namespaces = vec![json!({ "type": "pid" }); MANY];
    assert_eq!(refusal(spec("/linux/namespaces", json!(namespaces))).field, "linux.namespaces");
}

#[test]
fn destinations_that_are_no_place_inside_are_refused_by_their_number() {
    for destination in
        ["", "data", ".", "..", "/..", "/data/../../etc", "/a\0b", &format!("/{}", "x".repeat(4095))]
    {
        let mounts = vec![tmpfs("/fine"), tmpfs(destination)];
        assert_eq!(refusal(with_mounts(mounts)).field, "mounts[1].destination", "{destination:?}");
    }
}

#[test]
fn destinations_that_are_merely_odd_are_kept() {
    for destination in ["/a\nb", "/\u{202e}", "/...", "/..a", "/a b", "/%00", "/x/", "//x", "/proc\n"] {
        let converted = convert(with_mounts(vec![tmpfs(destination)])).expect(destination);
        let mounts = converted.spec.mounts().iter().flatten();
        assert!(
            mounts.into_iter().any(|mount| mount.destination().as_os_str() == destination),
            "{destination:?}"
        );
    }
}

#[test]
fn mappings_at_the_edges_of_ids_are_taken_or_refused_and_never_wrap() {
    let with = |extents: &[(u32, u32, u32)]| {
        let extent = |&(inside, host, size)| json!({ "containerID": inside, "hostID": host, "size": size });
        let extents = json!(extents.iter().map(extent).collect::<Vec<_>>());
        let mut spec = raw("/linux/uidMappings", extents.clone());
        spec["linux"]["gidMappings"] = extents;
        convert(serde_json::from_value(spec).expect("a spec"))
    };
    const LAST: u32 = u32::MAX - 1;
    for taken in [
        &[(0, 1, u32::MAX - 1)][..],
        &[(0, LAST - 65_535, 65_536)],
        &[(0, 231_072, 65_536)],
        &[(65_536, 296_608, u32::MAX - 296_608), (0, 231_072, 65_536)],
    ] {
        let ids = with(taken).expect("the last id is one").ids;
        assert!(ids.uids.first() > 0 && ids.uids == ids.gids, "{taken:?}");
    }
    for refused in [
        &[(0, 0, u32::MAX)][..],
        &[(0, 1, u32::MAX)],
        &[(0, LAST - 65_534, 65_536)],
        &[(0, u32::MAX, 65_536)],
        &[(0, 1, 65_535)],
        &[(1, 231_072, 65_536)],
        &[(0, 231_072, 0)],
        &[(0, 231_072, 65_536), (65_536, u32::MAX - 1, 65_536)],
        &[(0, 231_072, 65_536), (0, 231_072, 65_536)],
    ] {
        let error = with(refused).expect_err("no mapping of a system container");
        assert!(matches!(error, ConvertError::Spec { .. }), "{refused:?}: {error}");
    }
    for over in [json!(-1), json!(4_294_967_296_u64), json!(1.5), json!("0")] {
        let extent = json!([{ "containerID": 0, "hostID": over, "size": 65_536 }]);
        serde_json::from_value::<Spec>(raw("/linux/uidMappings", extent)).expect_err("no number of an id");
    }
}

#[test]
fn what_the_specification_does_not_know_is_an_error_of_reading() {
    for (pointer, value) in [
        ("/linux/seccomp/defaultAction", json!("SCMP_ACT_SHRUG")),
        ("/linux/seccomp/syscalls", json!([{ "names": ["read"], "action": "SCMP_ACT_SHRUG" }])),
        ("/linux/seccomp/architectures", json!(["SCMP_ARCH_ABACUS"])),
        ("/linux/namespaces", json!([{ "type": "telepathy" }])),
        ("/process/capabilities", json!({ "bounding": ["CAP_FLY"] })),
    ] {
        serde_json::from_value::<Spec>(raw(pointer, value)).expect_err(pointer);
    }
    let deep = "[".repeat(MANY);
    serde_json::from_str::<Spec>(&format!(r#"{{"ociVersion":"1.0.2","annotations":{deep}"#))
        .expect_err("too deep");
}

#[test]
fn a_profile_whose_default_neither_allows_nor_denies_is_refused() {
    for action in ["SCMP_ACT_TRAP", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY", "SCMP_ACT_LOG"] {
        let error = refusal(spec("/linux/seccomp/defaultAction", json!(action)));
        assert_eq!(error.field, "linux.seccomp.defaultAction", "{action}");
    }
    for action in
        ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"]
    {
        convert(spec("/linux/seccomp/defaultAction", json!(action))).expect(action);
    }
}

#[test]
fn a_spec_that_says_as_little_as_can_be_is_converted() {
    for (pointer, value) in [
        ("/process", Value::Null),
        ("/process/args", json!([])),
        ("/process/args", json!([""])),
        ("/process/env", Value::Null),
        ("/mounts", Value::Null),
        ("/annotations", Value::Null),
        ("/linux/seccomp", Value::Null),
        ("/linux/maskedPaths", Value::Null),
        ("/linux/readonlyPaths", Value::Null),
        ("/linux/devices", Value::Null),
    ] {
        let once = convert(spec(pointer, value)).expect(pointer);
        let twice = convert(once.spec.clone()).expect(pointer);
        assert!(once.spec == twice.spec && twice.changes.is_empty(), "{pointer}: {:?}", twice.changes);
    }
}
