//! Specs that no system container can have: nobody is asked for anything for them.

use super::*;

/// Converts with daemons that panic when they are asked for anything.
fn error(spec: Spec) -> ConvertError {
    let mut sysbox = sysbox(mandating(ContainerConfig::default()), Some(MockFsPort::new()));
    block_on(sysbox.convert_spec(spec, &host(), &conversion())).expect_err("refused")
}

fn broken(spec: Spec) -> SpecError {
    match error(spec) {
        ConvertError::Spec { container, source } if container == id() => source,
        other => panic!("not by the spec: {other}"),
    }
}

#[test]
fn the_hosts_network_is_refused_by_what_the_path_names_and_not_by_its_name() {
    for path in ["/proc/1/ns/net", "/proc/self/ns/net", "/run/netns/host"] {
        let error = broken(five_namespaces_and(json!([{ "type": "network", "path": path }])));
        assert_eq!(error.field, "linux.namespaces[network].path");
        assert!(error.rule.contains("the host's network namespace"), "{error}");
    }
    let of_another = five_namespaces_and(json!([{ "type": "network", "path": "/run/netns/a" }]));
    let converted = convert(giving_ids(), of_another, &host(), &ids_only()).expect("not the host's");
    assert_eq!(syscont::netns(&converted.spec), Ok(Some(path("/run/netns/a"))));
}

#[test]
fn a_network_namespace_that_is_not_there_is_refused() {
    let error = broken(five_namespaces_and(json!([{ "type": "network", "path": "/run/netns/gone" }])));
    assert_eq!(error.field, "linux.namespaces[network].path");
}

fn joining_ipc(path: &str) -> Spec {
    let kinds = ["pid", "uts", "mount", "network"].map(|kind| json!({ "type": kind }));
    let ipc = json!({ "type": "ipc", "path": path });
    spec(json!({ "linux": { "namespaces": kinds.into_iter().chain([ipc]).collect::<Vec<_>>() } }))
}

fn mapped(extents: &serde_json::Value) -> Spec {
    spec(json!({ "linux": { "uidMappings": extents, "gidMappings": extents } }))
}

fn seccomp(extra: serde_json::Value) -> Spec {
    let mut seccomp = json!({ "defaultAction": "SCMP_ACT_ERRNO" });
    put_over(&mut seccomp, extra);
    spec(json!({ "linux": { "seccomp": seccomp } }))
}

#[test]
fn mappings_that_are_none_are_refused_whatever_the_manager_mandates() {
    let config = ContainerConfig {
        uid_mappings: mappings(500_000),
        gid_mappings: mappings(500_000),
        ..ContainerConfig::default()
    };
    let broken = mapped(&json!([{ "containerID": 0, "hostID": 4_294_967_290_u32, "size": 10 }]));
    let error = convert(mandating(config), broken, &host(), &ids_only()).expect_err("beyond the last id");
    assert!(matches!(error, ConvertError::Spec { .. }), "{error}");
}

#[test]
fn a_spec_that_breaks_a_rule_is_refused_before_anybody_is_asked() {
    let destination =
        |at: &str| spec(json!({ "mounts": [{ "destination": at, "type": "tmpfs", "source": "tmpfs" }] }));
    let env = |entry: &str| spec(json!({ "process": { "env": [entry] } }));
    for (why, field, spec) in [
        ("no root", "root", spec(json!({ "root": null }))),
        ("a relative root", "root.path", spec(json!({ "root": { "path": "rootfs" } }))),
        ("no linux", "linux", spec(json!({ "linux": null }))),
        ("no namespaces", "linux.namespaces", spec(json!({ "linux": { "namespaces": [] } }))),
        ("a namespace twice", "linux.namespaces", five_namespaces_and(json!([{ "type": "pid" }]))),
        ("an unknown setting", "process.env", env("SYSBOX_NO_SUCH_THING=TRUE")),
        ("a setting without a value", "process.env", env("SYSBOX_HONOR_CAPS")),
        ("a setting that is neither", "process.env", env("SYSBOX_HONOR_CAPS=maybe")),
        ("a relative path to skip", "process.env", env("SYSBOX_SKIP_UID_SHIFT=data")),
        ("up from the root", "mounts[0].destination", destination("/a/../../etc")),
        ("NUL", "mounts[0].destination", destination("/a\0b")),
        ("nowhere", "mounts[0].destination", destination("")),
        ("the host's processes", "linux.namespaces[ipc].path", joining_ipc("/proc/1/ns/ipc")),
        (
            "too few ids",
            "linux.uidMappings",
            mapped(&json!([{ "containerID": 0, "hostID": 700_000, "size": 1000 }])),
        ),
        ("no ids", "linux.uidMappings", mapped(&json!([{ "containerID": 0, "hostID": 700_000, "size": 0 }]))),
        (
            "another machine",
            "linux.seccomp.architectures",
            seccomp(json!({ "architectures": ["SCMP_ARCH_S390X"] })),
        ),
        (
            "neither allows nor denies",
            "linux.seccomp.defaultAction",
            seccomp(json!({ "defaultAction": "SCMP_ACT_LOG" })),
        ),
    ] {
        let error = broken(spec);
        assert!(error.field.starts_with(field), "{why}: {error}");
    }
}
