//! All steps together.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use oci_spec::runtime::Spec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    testing::{abs, bind, changed, destinations, mounts, spec, tmpfs},
    *,
};
use crate::{
    Mount, MountKind,
    syscont::{Changes, Settings},
};

/// Takes all steps in their order, with a manager that gives a volume for what it is asked for. Gives the sources to be prepared.
fn convert(spec: &mut Spec, relaxed: bool, changes: &mut Changes) -> Special {
    check_destinations(spec).expect("valid destinations");
    add_system_mounts(spec, changes);
    add_emulated(spec, &abs("/var/lib/sysboxfs/c1"), changes);
    complete_systemd(spec, changes);
    complete_read_only(spec, relaxed, changes);
    let directories =
        [(MountKind::VarLibDocker, abs("/var/lib/docker")), (MountKind::VarLibK0s, abs("/run/k0s"))];
    let special = split_special(spec, &directories, &Settings::default()).expect("valid sources");
    let give = |request: &crate::MountRequest| Mount {
        source: format!("/volumes/{}", request.kind),
        destination: request.destination.clone(),
        kind: "bind".to_owned(),
        options: ["rbind", "rw"].map(str::to_owned).to_vec(),
    };
    let headers = Mount {
        source: "/headers".to_owned(),
        destination: abs("/usr/src/x"),
        kind: "bind".to_owned(),
        options: Vec::new(),
    };
    let given = special.requested.iter().map(give).chain([headers]).collect();
    add_of_manager(spec, given, &directories, relaxed, changes).expect("valid mounts");
    order(spec, changes);
    special
}

/// Docker's mounts, more or less, in a container that runs systemd or does not.
fn docker(root: Value, program: &str) -> Spec {
    let kernel = |at: &str, kind: &str, options: &[&str]| json!({ "destination": at, "type": kind, "source": kind, "options": options });
    spec(json!({
        "root": root,
        "process": { "cwd": "/", "args": [program], "user": { "uid": 0, "gid": 0 } },
        "linux": { "devices": [{ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11 }] },
        "mounts": [
            kernel("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            kernel("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            kernel("/dev/pts", "devpts", &["nosuid", "noexec"]),
            kernel("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            kernel("/sys/fs/cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
            kernel("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            bind("/etc/hosts", "/var/lib/docker/containers/1/hosts"),
        ],
    }))
}

#[test]
fn a_docker_spec_gets_its_mounts_in_the_order_in_which_they_are_to_be_made() {
    let mut spec = docker(json!({ "path": "/r" }), "/sbin/init");
    convert(&mut spec, false, &mut Changes::default());
    let order: Vec<String> = destinations(&spec).iter().map(|at| at.display().to_string()).collect();
    let kernel = ["/sys", "/sys/fs/cgroup", "/proc", "/dev", "/dev/mqueue", "/dev/pts", "/run", "/run/lock"];
    assert_eq!(order[..8], kernel);
    assert_eq!(order[8], "/etc/hosts");
    assert!(
        order[9..].contains(&"/proc/sys".to_owned()) && order[9..].contains(&"/var/lib/docker".to_owned())
    );
}

#[test]
fn converting_what_was_converted_changes_nothing_and_asks_the_same() {
    let roots = [json!({ "path": "/r" }), json!({ "path": "/r", "readonly": true })];
    for (root, program, relaxed) in roots.iter().flat_map(|root| {
        ["/sbin/init", "/bin/sh"]
            .into_iter()
            .flat_map(move |program| [false, true].map(|relaxed| (root, program, relaxed)))
    }) {
        let mut spec = docker(root.clone(), program);
        let asked = convert(&mut spec, relaxed, &mut Changes::default());
        let once = spec.clone();
        let fields = changed(|changes| assert_eq!(convert(&mut spec, relaxed, changes), asked));
        assert_eq!(fields, [""; 0], "{root} {program} {relaxed}");
        assert_eq!(spec, once);
    }
}

/// Marks that name whatever a spec or a conversion may mount as the manager's.
fn marks_everywhere() -> String {
    let kernel = ["/sys", "/sys/fs/cgroup", "/proc", "/dev"];
    let own =
        kernel.into_iter().zip(["sysfs", "cgroup", "proc", "tmpfs"]).chain([("/dev/kmsg", "/dev/null")]);
    let in_memory = ["/run", "/run/lock", "/tmp"].map(|at| (at, "tmpfs"));
    let marks = own.chain(in_memory).map(|(at, source)| (at.to_owned(), source.to_owned()));
    let emulated = EMULATED_PATHS.map(|at| (at.to_owned(), format!("/var/lib/sysboxfs/c1{at}")));
    let of_author =
        ["/a", "/a/b", "/var/lib", "/var/lib/docker", "/"].map(|at| (at.to_owned(), "/s".to_owned()));
    let marks: BTreeMap<_, _> = marks.chain(emulated).chain(of_author).collect();
    serde_json::to_string(&marks).expect("text")
}

#[test]
fn marks_of_others_take_nothing_from_a_spec_or_from_what_every_system_container_has() {
    let author = json!([bind("/etc/shadow", "/dev/null"), bind("/a", "/s"), bind("/var/lib", "/s")]);
    let marks = marks_everywhere().replacen('{', r#"{"/etc/shadow":"/dev/null","#, 1);
    let unmarked = spec(json!({ "root": { "path": "/r", "readonly": true }, "mounts": author }));
    let mut marked = unmarked.clone();
    marked.set_annotations(Some([(OF_MANAGER.to_owned(), marks)].into()));
    let converted = |mut spec: Spec| {
        convert(&mut spec, false, &mut Changes::default());
        spec
    };
    assert_eq!(mounts(&converted(marked.clone())), mounts(&converted(unmarked)));
    let mut again = converted(marked);
    assert_eq!(changed(|changes| drop(convert(&mut again, false, changes))), [""; 0]);
}

fn specs() -> impl Strategy<Value = Spec> {
    let place = prop::sample::select(vec![
        "/",
        "/sys",
        "/sys/kernel",
        "/sys/kernel/x",
        "/sys/fs/cgroup/x",
        "/proc",
        "/proc/sys",
        "/dev",
        "/dev/kmsg",
        "/run",
        "/run/",
        "/run/lock",
        "/tmp",
        "/var/lib/docker",
        "/var/lib",
        "/run/k0s",
        "/usr/src/x",
        "/a",
        "/a/b",
    ]);
    let marks = marks_everywhere();
    let option = prop::sample::select(vec!["ro", "rw", "rbind", "nodev"]);
    let mount =
        (place, any::<bool>(), prop::collection::vec(option, 0..4)).prop_map(|(at, is_bind, options)| {
            let mut mount = if is_bind { bind(at, "/s") } else { tmpfs(at) };
            mount["options"] = json!(options);
            // An option can make a bind mount of it, which needs a source.
            mount["source"] = "/s".into();
            mount
        });
    (prop::collection::vec(mount, 0..16), any::<[bool; 3]>()).prop_map(move |(mounts, [readonly, with_systemd, is_marked])| {
        let program = if with_systemd { "/sbin/init" } else { "/bin/sh" };
        spec(json!({
            "root": { "path": "/r", "readonly": readonly },
            "process": { "cwd": "/", "args": [program], "env": ["container=x"], "user": { "uid": 0, "gid": 0 } },
            "mounts": mounts,
            "annotations": { OF_MANAGER: if is_marked { marks.as_str() } else { "" } },
        }))
    })
}

proptest! {
    #[test]
    fn any_spec_is_converted_by_one_conversion(mut spec in specs(), relaxed: bool) {
        let asked = convert(&mut spec, relaxed, &mut Changes::default());
        let once = spec.clone();
        let mut changes = Changes::default();
        prop_assert_eq!(convert(&mut spec, relaxed, &mut changes), asked);
        prop_assert!(changes.is_empty(), "{changes:?}");
        prop_assert_eq!(spec, once);
    }

    #[test]
    fn every_mount_that_comes_goes_or_changes_is_noted_and_no_other(given in specs(), relaxed: bool) {
        let mut spec = given.clone();
        let noted: BTreeSet<PathBuf> = changed(|changes| drop(convert(&mut spec, relaxed, changes)))
            .iter()
            .filter_map(|field| field.strip_prefix("mounts[")?.strip_suffix(']').map(PathBuf::from))
            .collect();
        let at = |spec: &Spec, place: &Path| -> Vec<oci_spec::runtime::Mount> {
            mounts(spec).iter().filter(|mount| mount.destination() == place).cloned().collect()
        };
        for place in destinations(&given).into_iter().chain(destinations(&spec)) {
            prop_assert_eq!(at(&spec, place) != at(&given, place), noted.contains(place), "{:?}", place);
        }
    }
}
