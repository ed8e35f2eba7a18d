//! Rules that hold for every spec: random ones, in random worlds.

use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed};

use oci_spec::runtime::Spec;
use proptest::prelude::*;
use serde_json::{Value, json};
use sysbox_core::{ContainerConfig, ConvertError, Converted, syscont::to_json};

use super::{
    allowed::{self, Done, GAINED},
    fake::{CLONE, World},
    generate,
};

fn json(spec: &Spec) -> Value {
    serde_json::from_str(&to_json(spec).expect("JSON")).expect("JSON")
}

/// A spec and a world, and the spec converted in it, if that can be.
fn converted() -> impl Strategy<Value = (World, Spec, Converted)> {
    (generate::world(), generate::spec()).prop_filter_map("refused", |(world, spec)| {
        let converted = world.convert(spec.clone()).ok()?;
        Some((world, spec, converted))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, max_global_rejects: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_converted_is_not_changed_again_and_nothing_is_noted((world, _, once) in converted()) {
        let before = to_json(&once.spec).expect("JSON");
        let twice = world.convert(once.spec).expect("what is converted can be converted");
        prop_assert_eq!(before, to_json(&twice.spec).expect("JSON"));
        prop_assert!(twice.changes.is_empty(), "{:?}", twice.changes);
        prop_assert_eq!((once.ids, once.config), (twice.ids, twice.config));
        prop_assert_eq!((once.traps, once.skip_uid_shift), (twice.traps, twice.skip_uid_shift));
    }

    #[test]
    fn the_same_spec_becomes_the_same_bytes((world, spec, once) in converted()) {
        let again: Spec = serde_json::from_value(json(&spec)).expect("a spec");
        let again = world.convert(again).expect("it was converted");
        prop_assert_eq!(to_json(&once.spec).expect("JSON"), to_json(&again.spec).expect("JSON"));
        prop_assert_eq!(once.changes, again.changes);
    }

    #[test]
    fn nothing_that_the_author_denied_is_allowed_save_what_is_listed((world, spec, converted) in converted()) {
        let (before, after) = (json(&spec), json(&converted.spec));
        let with_systemd = converted.config.syscont_mode && allowed::with_systemd(&spec);
        let done = Done { before: &before, after: &after, world: &world, config: &converted.config, with_systemd };
        let loosened = done.loosened();
        prop_assert!(loosened.is_empty(), "{loosened:#?}");
    }

    #[test]
    fn no_mount_is_hidden_by_one_that_was_not_to_hide_it((_, spec, converted) in converted()) {
        let hidden = allowed::hidden(&json(&spec), &json(&converted.spec));
        prop_assert!(hidden.is_empty(), "{hidden:#?}");
    }

    #[test]
    fn a_system_container_has_its_namespaces_and_ids((_, _, converted) in converted()) {
        let after = json(&converted.spec);
        let kinds: Vec<_> = allowed::list(&after, "/linux/namespaces").iter().map(|one| one["type"].clone()).collect();
        for kind in ["pid", "ipc", "uts", "mount", "network", "user", "cgroup", "time"] {
            prop_assert_eq!(kinds.iter().filter(|one| *one == kind).count(), 1, "{}", kind);
        }
        for (pointer, ids) in [("/linux/uidMappings", converted.ids.uids), ("/linux/gidMappings", converted.ids.gids)] {
            let [extent] = allowed::list(&after, pointer) else { panic!("one extent") };
            let number = |name: &str| extent[name].as_u64().expect("a number");
            prop_assert_eq!((number("containerID"), number("hostID")), (0, u64::from(ids.first())));
            prop_assert!(number("size") >= 65_536 && number("hostID") > 0);
        }
    }

    #[test]
    fn everything_that_changed_is_noted_and_nothing_else((_, spec, converted) in converted()) {
        let (before, after) = (json(&spec), json(&converted.spec));
        let noted = |field: &str| converted.changes.iter().any(|change| change.field.starts_with(field));
        for (pointer, field) in [
            ("/mounts", "mounts"), ("/root/path", "root.path"), ("/process/env", "process.env"),
            ("/process/capabilities", "process.capabilities"), ("/process/oomScoreAdj", "process.oomScoreAdj"),
            ("/process/apparmorProfile", "process.apparmorProfile"), ("/linux/namespaces", "linux.namespaces"),
            ("/linux/uidMappings", "linux.uidMappings"), ("/linux/gidMappings", "linux.gidMappings"),
            ("/linux/maskedPaths", "linux.maskedPaths"), ("/linux/readonlyPaths", "linux.readonlyPaths"),
            ("/linux/seccomp", "linux.seccomp"), ("/linux/devices", "linux.devices"), ("/annotations", "annotations"),
        ] {
            let is_changed = before.pointer(pointer) != after.pointer(pointer);
            prop_assert_eq!(is_changed, noted(field), "{}: {:?}", field, converted.changes);
        }
    }

    #[test]
    fn a_spec_that_breaks_a_rule_leaves_the_daemons_unasked(world in generate::world(), spec in generate::spec()) {
        let refused = world.convert(spec);
        if let Err(ConvertError::Spec { source, .. }) = &refused {
            let is_late = |field: &str| source.field.starts_with(field);
            // These are read where they are needed: a manager may mandate other ids, and sources and profiles come last.
            let is_late = ["linux.uidMappings", "linux.gidMappings", "linux.seccomp"].into_iter().any(is_late)
                || source.field.ends_with(".source");
            prop_assert!(is_late || world.asked.load(Relaxed) == 0, "{source}");
        }
    }
}

#[test]
fn most_random_specs_can_be_converted_and_in_many_worlds() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let random = (generate::world(), generate::spec());
    let mut one = || random.new_tree(&mut runner).expect("random").current();
    let outcomes: Vec<_> = std::iter::repeat_with(|| {
        let (world, spec) = one();
        world.convert(spec)
    })
    .take(400)
    .collect();
    let done = outcomes.iter().flatten();
    assert!(done.clone().count() > 120, "the other rules are held against {} of 400", done.count());
    assert!(
        done.clone().any(|done| done.clone.is_some()) && done.clone().any(|done| !done.config.syscont_mode)
    );
    let clone = done.clone().find(|done| done.clone.is_some()).expect("some are cloned");
    assert_eq!(clone.spec.root().as_ref().expect("there").path().as_os_str(), CLONE);
}

#[test]
fn a_profile_that_denies_everything_gains_the_committed_list_and_no_more() {
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind }));
    let denying = json!({
        "ociVersion": "1.0.2", "root": { "path": "/r" },
        "linux": { "namespaces": namespaces, "seccomp": { "defaultAction": "SCMP_ACT_ERRNO" } },
    });
    let denying = serde_json::from_value(denying).expect("a spec");
    let after = json(&World::new(ContainerConfig::default()).convert(denying).expect("converted").spec);
    assert_eq!(allowed::names_of(&after).collect::<BTreeSet<_>>(), *GAINED);
}

#[test]
fn no_profile_gains_what_acts_on_the_host() {
    for name in [
        "acct",
        "bpf",
        "clock_settime",
        "delete_module",
        "finit_module",
        "init_module",
        "io_uring_setup",
        "ioperm",
        "iopl",
        "kexec_file_load",
        "kexec_load",
        "name_to_handle_at",
        "open_by_handle_at",
        "perf_event_open",
        "process_vm_readv",
        "process_vm_writev",
        "ptrace",
        "quotactl",
        "reboot",
        "settimeofday",
        "stime",
        "swapoff",
        "swapon",
        "syslog",
        "userfaultfd",
        "vhangup",
    ] {
        assert!(!GAINED.contains(name), "{name}");
    }
    assert!(GAINED.contains("mount") && GAINED.len() > 300, "{} are gained", GAINED.len());
}
