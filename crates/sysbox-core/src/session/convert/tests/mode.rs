//! What a container is given in system-container mode, what in any, and who has the last word on it.

use super::*;

const KEPT: &str = "kept as it was outside of system-container mode";

/// A spec with something for each step to change.
fn with_everything() -> Spec {
    spec(json!({
        "root": { "readonly": true },
        "process": {
            "args": ["/sbin/init"],
            "env": ["PATH=/bin"],
            "apparmorProfile": "strict",
            "oomScoreAdj": -1000,
            "capabilities": { "bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"] },
        },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc", "options": ["ro"] }],
        "linux": {
            "maskedPaths": ["/proc/kcore", "/proc/acpi"],
            "readonlyPaths": ["/proc/sys", "/proc/bus"],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }],
            },
        },
    }))
}

fn not_syscont() -> MockMgrPort {
    let mut mgr = mandating(ContainerConfig { syscont_mode: false, ..ContainerConfig::default() });
    mgr.expect_alloc_subids().returning(|_| Ok(SUBIDS));
    mgr
}

fn with_env(name: &str) -> Spec {
    spec(json!({ "process": { "env": ["PATH=/bin", name] } }))
}

#[test]
fn outside_of_system_container_mode_only_namespaces_ids_and_the_oom_score_change() {
    let given = with_everything();
    let converted = convert(not_syscont(), given.clone(), &host(), &ids_only()).expect("converted");
    let (before, after) =
        (given.process().as_ref().expect("there"), converted.spec.process().as_ref().expect("there"));
    assert_eq!(after.oom_score_adj(), Some(syscont::LEAST_OOM_SCORE));
    assert_eq!(after.capabilities(), before.capabilities(), "{KEPT}");
    assert_eq!(after.apparmor_profile(), before.apparmor_profile(), "{KEPT}");
    assert_eq!(after.env(), before.env(), "{KEPT}");
    assert_eq!(converted.spec.mounts(), given.mounts(), "{KEPT}");
    let (before, after) =
        (given.linux().as_ref().expect("there"), converted.spec.linux().as_ref().expect("there"));
    assert_eq!(after.masked_paths(), before.masked_paths(), "{KEPT}");
    assert_eq!(after.readonly_paths(), before.readonly_paths(), "{KEPT}");
    assert_eq!(after.seccomp(), before.seccomp(), "{KEPT}");
    assert_ne!(after.namespaces(), before.namespaces());
    assert_eq!((converted.ids.uids, converted.ids.gids), (range(300_000), range(400_000)));
}

#[test]
fn in_system_container_mode_every_step_changes_something() {
    let converted = convert(giving_ids(), with_everything(), &host(), &ids_only()).expect("converted");
    let process = converted.spec.process().as_ref().expect("there");
    assert_eq!(process.apparmor_profile(), &None);
    let bounding =
        process.capabilities().as_ref().and_then(|sets| sets.bounding().as_ref()).map(|set| set.len());
    assert_eq!(bounding, Some(41), "all up to kernel.cap_last_cap");
    assert!(process.env().iter().flatten().any(|entry| entry == "container=private-users"));
    let linux = converted.spec.linux().as_ref().expect("there");
    assert_eq!(linux.masked_paths(), &Some(vec!["/proc/acpi".to_owned()]));
    assert_eq!(linux.readonly_paths(), &Some(vec!["/proc/bus".to_owned()]));
    assert!(
        linux.seccomp().as_ref().and_then(|seccomp| seccomp.syscalls().as_ref()).expect("there").len() > 1
    );
    let mounts = destinations(&converted.spec);
    for destination in ["/sys", "/sys/fs/cgroup", "/proc", "/dev", "/dev/kmsg", "/run", "/run/lock", "/tmp"] {
        assert_eq!(
            mounts.iter().filter(|mount| *mount == destination).count(),
            1,
            "{destination} in {mounts:?}"
        );
    }
}

#[test]
fn settings_of_the_environment_come_before_what_the_manager_mandates() {
    let mandated =
        ContainerConfig { honor_caps: true, ignore_sysfs_chown: true, ..ContainerConfig::default() };
    for (setting, expected) in [
        ("PATH=/", mandated.clone()),
        ("SYSBOX_HONOR_CAPS=FALSE", ContainerConfig { honor_caps: false, ..mandated.clone() }),
        ("SYSBOX_SYSCONT_MODE=FALSE", ContainerConfig { syscont_mode: false, ..mandated.clone() }),
        (
            "SYSBOX_IGNORE_SYSFS_CHOWN=FALSE",
            ContainerConfig { ignore_sysfs_chown: false, ..mandated.clone() },
        ),
        (
            "SYSBOX_ALLOW_TRUSTED_XATTR=FALSE",
            ContainerConfig { allow_trusted_xattr: false, ..mandated.clone() },
        ),
    ] {
        let mut mgr = mandating(mandated.clone());
        mgr.expect_alloc_subids().returning(|_| Ok(SUBIDS));
        let converted = convert(mgr, with_env(setting), &host(), &ids_only()).expect("converted");
        assert_eq!(converted.config, expected, "{setting}");
    }
}

#[test]
fn a_setting_decides_what_is_done_and_not_only_what_is_told() {
    let with = |setting| convert(giving_ids(), with_env(setting), &host(), &ids_only()).expect("converted");
    let has_all_capabilities = |converted: &Converted| {
        converted.spec.process().as_ref().is_some_and(|process| process.capabilities().is_some())
    };
    assert!(has_all_capabilities(&with("SYSBOX_HONOR_CAPS=FALSE")));
    assert!(!has_all_capabilities(&with("SYSBOX_HONOR_CAPS=TRUE")));
    assert!(destinations(&with("SYSBOX_SYSCONT_MODE=FALSE").spec).is_empty());
    let skipped = with("SYSBOX_SKIP_UID_SHIFT=/data,/var/cache").skip_uid_shift;
    assert_eq!(skipped, [path("/data"), path("/var/cache")]);
}

#[test]
fn files_that_sysbox_fs_emulates_are_those_of_the_container_in_any_mode() {
    for mgr in [giving_ids(), not_syscont()] {
        let mut sysbox = sysbox(mgr, Some(emulating()));
        let converted =
            block_on(sysbox.convert_spec(spec(json!({})), &host(), &ids_only())).expect("converted");
        for place in ["/proc/sys", "/proc/swaps", "/proc/uptime", "/sys/kernel", "/sys/devices/virtual"] {
            let expected = format!("/var/lib/sysboxfs/c1{place}");
            assert_eq!(source_at(&converted.spec, place), Some(expected));
        }
    }
    let without = convert(giving_ids(), spec(json!({})), &host(), &ids_only()).expect("converted");
    assert_eq!(source_at(&without.spec, "/proc/sys"), None);
}

#[test]
fn system_calls_are_trapped_in_the_profile_where_somebody_listens_and_else_only_told() {
    let trapping = |listener: Option<&str>| {
        let conversion = Conversion { seccomp_listener: listener.map(path), ..ids_only() };
        let mut sysbox = sysbox(giving_ids(), Some(emulating()));
        block_on(sysbox.convert_spec(with_everything(), &host(), &conversion)).expect("converted")
    };
    let listener = |converted: &Converted| {
        let seccomp = converted.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()).cloned();
        seccomp.and_then(|seccomp| seccomp.listener_path().clone())
    };
    let told = trapping(None);
    assert!(told.traps.contains(&"mount") && told.traps.contains(&"umount2"), "{:?}", told.traps);
    assert_eq!(listener(&told), None);
    let trapped = trapping(Some("/run/listener"));
    assert_eq!((trapped.traps.clone(), listener(&trapped)), (told.traps, Some("/run/listener".into())));
    let conversion = Conversion { seccomp_listener: Some(path("/run/listener")), ..ids_only() };
    let without = convert(giving_ids(), with_everything(), &host(), &conversion).expect("converted");
    assert_eq!((without.traps.len(), listener(&without)), (0, None), "nobody would answer them");
}

#[test]
fn the_groups_that_may_ping_are_those_of_the_container_in_any_mode() {
    let name = "net.ipv4.ping_group_range";
    for mgr in [giving_ids(), not_syscont()] {
        let spec = spec(json!({ "linux": { "sysctl": { name: "0 2147483647" } } }));
        let converted = convert(mgr, spec, &host(), &ids_only()).expect("converted");
        let sysctls = converted.spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
        assert_eq!(sysctls.and_then(|sysctls| sysctls.get(name)).map(String::as_str), Some("0 65535"));
    }
}
