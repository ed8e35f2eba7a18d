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
        assert!(error.rule.contains("host's network"), "{error}");
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
    ] {
        let error = broken(spec);
        assert!(error.field.starts_with(field), "{why}: {error}");
    }
}
