//! The specs that engines write (`fixtures/specs`), and what becomes of each (`fixtures/converted`).
//!
//! `SYSBOX_UPDATE_FIXTURES=1 cargo test -p sysbox-core --test convert fixtures` writes the latter anew.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use oci_spec::runtime::Spec;
use serde_json::{Value, json};
use sysbox_core::{
    ContainerConfig, ConvertError, Converted,
    syscont::{SpecError, netns, to_json},
};

use super::{
    allowed::{list, strings},
    fake::World,
};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).expect("a folder of this package").map(|entry| entry.expect("readable").path());
    let json = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.map(|path| path.file_stem().expect("named").to_string_lossy().into_owned()).collect()
}

/// A spec as a runtime takes it from a bundle: with the path of its rootfs made absolute.
fn read(name: &str) -> Spec {
    let text = fs::read_to_string(folder("specs").join(name).with_extension("json")).expect("a fixture");
    let mut spec: Spec = serde_json::from_str(&text).expect("a spec");
    let root = spec.root_mut().as_mut().expect("every engine gives a rootfs");
    root.set_path(Path::new("/run/bundle").join(root.path()));
    spec
}

/// Those whose container was to have the host's network, and one of a user without privileges, whose `runc` makes no network.
fn is_on_hosts_network(name: &str) -> bool {
    ["host-network", "net-host", "rootless"].iter().any(|part| name.contains(part))
}

fn convert(name: &str, spec: Spec) -> Result<Converted, ConvertError> {
    let mut world = World::new(ContainerConfig::default());
    if is_on_hosts_network(name) {
        world.networks_of_host.extend(netns(&spec).expect("absolute"));
    }
    world.convert(spec)
}

/// Every spec that can be converted whose name has this part, before and after.
fn converted(part: &str) -> Vec<(String, Spec, Converted)> {
    let mut names = names(&folder("specs"));
    names.retain(|name| name.contains(part) && !is_on_hosts_network(name));
    assert!(!names.is_empty(), "no fixture is named after {part:?}");
    let convert = |name: String| {
        let converted = convert(&name, read(&name)).expect(&name);
        (name.clone(), read(&name), converted)
    };
    names.into_iter().map(convert).collect()
}

fn json(spec: &Spec) -> Value {
    serde_json::to_value(spec).expect("JSON")
}

fn mounts_at(spec: &Spec, at: &str) -> Vec<Value> {
    let spec = json(spec);
    list(&spec, "/mounts").iter().filter(|mount| mount["destination"] == at).cloned().collect()
}

#[test]
fn each_spec_of_an_engine_becomes_what_is_committed_beside_it() {
    let folder = folder("converted");
    let is_update = std::env::var_os("SYSBOX_UPDATE_FIXTURES").is_some();
    let converted = converted("");
    for (name, _, converted) in &converted {
        let (path, text) =
            (folder.join(name).with_extension("json"), to_json(&converted.spec).expect("JSON"));
        if is_update {
            fs::create_dir_all(&folder).expect("made");
            fs::write(path, text).expect("written");
        } else {
            let committed = fs::read_to_string(path).expect(name);
            assert!(
                committed == text,
                "{name} is converted otherwise than committed: see the head of {}",
                file!()
            );
        }
    }
    let expected: BTreeSet<_> = converted.into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names(&folder), expected, "one for each spec that can be converted");
}

#[test]
fn each_converted_spec_of_an_engine_is_not_changed_again() {
    for (name, _, once) in converted("") {
        let before = to_json(&once.spec).expect("JSON");
        let twice = convert(&name, once.spec).expect(&name);
        assert_eq!(before, to_json(&twice.spec).expect("JSON"), "{name}");
        assert!(twice.changes.is_empty(), "{name}: {:?}", twice.changes);
    }
}

#[test]
fn a_container_on_the_hosts_network_is_refused_and_told_that_it_is_for_the_network() {
    let mut count = 0;
    for name in names(&folder("specs")).into_iter().filter(|name| is_on_hosts_network(name)) {
        let Err(ConvertError::Spec { source: SpecError { field, found, rule }, .. }) =
            convert(&name, read(&name))
        else {
            panic!("{name} is not refused by its spec");
        };
        assert!(
            field.starts_with("linux.namespaces") && (found + &rule).contains("network"),
            "{name}: {rule}"
        );
        count += 1;
    }
    assert!(count >= 5, "{count} fixtures");
}

#[test]
fn systemd_has_its_own_run_and_knows_where_it_is() {
    for (name, _, converted) in converted("systemd") {
        for place in ["/run", "/run/lock"] {
            let there = mounts_at(&converted.spec, place);
            assert!(
                matches!(&there[..], [mount] if mount["type"] == "tmpfs"),
                "{name}: {place} is {there:?}"
            );
        }
        let env = strings(&json(&converted.spec), "/process/env");
        let said: Vec<_> = env.iter().filter(|entry| entry.starts_with("container=")).collect();
        assert_eq!(said, ["container=private-users"], "{name}");
    }
}

#[test]
fn a_read_only_rootfs_stays_so_with_what_the_kernel_shows_in_it() {
    for (name, before, converted) in converted("") {
        let is_read_only = |spec: &Spec| json(spec)["root"]["readonly"] == json!(true);
        assert_eq!(is_read_only(&before), is_read_only(&converted.spec), "{name}");
        if is_read_only(&before) {
            for place in ["/sys", "/sys/fs/cgroup", "/sys/kernel"] {
                let there = mounts_at(&converted.spec, place);
                assert!(strings(&there[0], "/options").contains(&"ro".to_owned()), "{name}: {there:?}");
            }
            assert_eq!(
                (mounts_at(&converted.spec, "/run").len(), mounts_at(&converted.spec, "/tmp").len()),
                (1, 1),
                "{name}"
            );
        }
    }
    assert!(
        converted("read-only").iter().all(|(_, before, _)| json(before)["root"]["readonly"] == json!(true))
    );
}

#[test]
fn a_network_namespace_of_another_container_is_joined() {
    for (name, before, converted) in converted("shared-netns") {
        let path = netns(&before).expect("absolute");
        assert!(path.is_some(), "{name}");
        assert_eq!(netns(&converted.spec), Ok(path), "{name}");
    }
}

#[test]
fn the_groups_that_an_engine_lets_ping_are_those_that_the_container_has() {
    const NAME: &str = "net.ipv4.ping_group_range";
    let groups = |spec: &Spec| spec.linux().as_ref()?.sysctl().as_ref()?.get(NAME).cloned();
    let mut count = 0;
    for (name, before, converted) in converted("") {
        let is_of_all = groups(&before).as_deref() == Some("0 2147483647");
        let expected = if is_of_all { Some("0 65535".to_owned()) } else { groups(&before) };
        assert_eq!(groups(&converted.spec), expected, "{name}");
        count += usize::from(is_of_all);
    }
    assert!(count >= 5, "{count} fixtures, all of Docker's");
}

#[test]
fn a_user_of_a_container_has_no_capabilities_and_the_root_of_one_all() {
    for (name, before, converted) in converted("") {
        let (uid, after) = (json(&before)["process"]["user"]["uid"].clone(), json(&converted.spec));
        let count = |set: &str| list(&after, &format!("/process/capabilities/{set}")).len();
        let of_process = if uid == json!(0) { 41 } else { 0 };
        assert_eq!(
            (count("bounding"), count("effective"), count("permitted")),
            (41, of_process, of_process),
            "{name}"
        );
    }
    let of_user = &converted("docker-user")[0].2;
    assert_eq!(json(&of_user.spec)["process"]["user"]["uid"], json!(1000));
}

#[test]
fn no_new_privileges_stays() {
    let (_, before, converted) = &converted("no-new-privileges")[0];
    let said = |spec: &Spec| spec.process().as_ref().and_then(|process| process.no_new_privileges());
    assert_eq!((said(before), said(&converted.spec)), (Some(true), Some(true)));
}

#[test]
fn what_an_engine_binds_at_a_special_directory_is_there_instead_of_the_managers() {
    let (_, _, converted) = &converted("podman-bind-mounts")[0];
    for (place, source) in [
        ("/var/lib/docker", "/srv/inner/docker"),
        ("/var/lib/docker/volumes", "/srv/inner/volumes"),
        ("/data", "/srv/inner/data"),
        ("/var/lib/kubelet", "/var/lib/sysbox/var-lib-kubelet/c1"),
    ] {
        let there = mounts_at(&converted.spec, place);
        assert!(matches!(&there[..], [mount] if mount["source"] == source), "{place} is {there:?}");
    }
    assert!(strings(&mounts_at(&converted.spec, "/data")[0], "/options").contains(&"ro".to_owned()));
}
