//! The conversion as a whole: who is asked for what, when, and what becomes of the answers. What each step does to a spec is tested
//! beside the step, and on whole specs in `tests/convert.rs`.

mod ids;
mod mode;
mod refused;
mod special;

use std::sync::Arc;

use mockall::predicate::eq;
use pollster::block_on;
use serde_json::json;

use super::*;
use crate::{
    ErrorKind, HostError, HostGid, HostUid, IdMappings, IdRange, MockFsPort, MockHostPort, MockMgrPort,
    Operation, Owner, PortError, ShiftType, Subids,
    host::{FileSystem, NamespaceId, OverlayLayers},
    session::Ports,
};

const SUBIDS: Subids = Subids { uid: HostUid(300_000), gid: HostGid(400_000) };

fn id() -> ContainerId {
    "c1".parse().expect("valid")
}

fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

fn mappings(first: u32) -> IdMappings {
    IdMappings::single(range(first)).expect("valid")
}

fn range(first: u32) -> IdRange {
    IdRange::new(first, 65_536).expect("valid")
}

/// The least spec that can be converted, with `extra` put over it (RFC 7396).
fn spec(extra: serde_json::Value) -> Spec {
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "root": { "path": "/r" },
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["sh"], "cwd": "/" },
        "linux": { "namespaces": [
            { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "network" }
        ] },
    });
    put_over(&mut spec, extra);
    serde_json::from_value(spec).expect("a spec")
}

fn put_over(value: &mut serde_json::Value, extra: serde_json::Value) {
    match (value, extra) {
        (serde_json::Value::Object(value), serde_json::Value::Object(extra)) => {
            for (name, extra) in extra {
                put_over(value.entry(name).or_insert(serde_json::Value::Null), extra);
            }
        }
        (value, extra) => *value = extra,
    }
}

fn five_namespaces_and(more: serde_json::Value) -> Spec {
    let mut all = json!([{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }]);
    let given = all.as_array_mut().expect("a list");
    given.extend(more.as_array().expect("a list").iter().cloned());
    if !given.iter().any(|namespace| namespace["type"] == "network") {
        given.push(json!({ "type": "network" }));
    }
    spec(json!({ "linux": { "namespaces": all } }))
}

/// A manager that takes the registration and mandates `config`.
fn mandating(config: ContainerConfig) -> MockMgrPort {
    let mut mgr = MockMgrPort::new();
    mgr.expect_register().returning(move |_| Ok(config.clone()));
    mgr
}

/// A manager that is asked for nothing but ids.
fn giving_ids() -> MockMgrPort {
    let mut mgr = mandating(ContainerConfig::default());
    mgr.expect_alloc_subids().returning(|_| Ok(SUBIDS));
    mgr
}

/// A host whose rootfs are of root, and on ext4.
fn host() -> MockHostPort {
    host_with("ext4", None)
}

/// A host whose rootfs are of root, and overlays with these options.
fn host_of_overlays(options: &'static [&'static str]) -> MockHostPort {
    host_with("overlay", Some(options))
}

fn host_with(kind: &'static str, overlay: Option<&'static [&'static str]>) -> MockHostPort {
    let mut host = MockHostPort::new();
    host.expect_sysctl().returning(|_| Ok(Some("40".to_owned())));
    host.expect_tree_record().returning(|_| Ok(None));
    host.expect_owner().returning(|_| Ok(Owner::new(0, 0)));
    host.expect_rootfs_file().returning(|_, _| Ok(None));
    host.expect_file_system().returning(move |_| {
        Ok(FileSystem { kind: kind.to_owned(), mount_point: path("/"), root: "/".into(), read_only: false })
    });
    host.expect_overlay_layers().returning(move |_| Ok(overlay.map(layers)));
    host.expect_namespace().returning(namespace);
    host
}

fn layers(options: &[&str]) -> OverlayLayers {
    let options = options.iter().map(|&option| option.to_owned()).collect();
    OverlayLayers { lower: Vec::new(), data: Vec::new(), upper: None, work: None, options }
}

/// `/run/netns/host` is another name of the host's network.
fn namespace(path: &AbsPath) -> Result<NamespaceId, HostError> {
    match path.to_string().as_str() {
        "/proc/self/ns/net" | "/proc/1/ns/net" | "/run/netns/host" => Ok(NamespaceId { dev: 4, ino: 1 }),
        // The same inode number on another device is another namespace.
        "/run/netns/a" => Ok(NamespaceId { dev: 5, ino: 1 }),
        "/proc/self/ns/time" => Ok(NamespaceId { dev: 4, ino: 2 }),
        "/proc/self/ns/ipc" | "/proc/1/ns/ipc" => Ok(NamespaceId { dev: 4, ino: 3 }),
        missing => Err(HostError::new("identify", missing, std::io::Error::from_raw_os_error(2))),
    }
}

/// Without a probe: rootfs are chowned.
fn conversion() -> Conversion {
    Conversion { policy: Policy::Reference, ..Conversion::default() }
}

fn ids_only() -> Conversion {
    Conversion { special_directories: SpecialDirectories::Left, ..conversion() }
}

/// A container that is registered with this manager.
fn sysbox(mgr: MockMgrPort, fs: Option<MockFsPort>) -> Sysbox {
    let fs = fs.map(|fs| Arc::new(fs) as Arc<dyn crate::FsPort>);
    let mut sysbox = Sysbox::new(id(), Ports { mgr: Some(Arc::new(mgr)), fs, seccomp: None });
    block_on(sysbox.mgr.register(&spec(json!({})))).expect("registered");
    sysbox
}

fn convert(
    mgr: MockMgrPort,
    spec: Spec,
    host: &MockHostPort,
    conversion: &Conversion,
) -> Result<Converted, ConvertError> {
    block_on(sysbox(mgr, None).convert_spec(spec, host, conversion))
}

fn emulating() -> MockFsPort {
    let mut fs = MockFsPort::new();
    fs.expect_mountpoint().times(1).returning(|| Ok(path("/var/lib/sysboxfs")));
    fs
}

fn no(operation: Operation, kind: ErrorKind) -> PortError {
    PortError::new(operation, kind, "container c1: no")
}

fn failed(error: &ConvertError) -> (Operation, ErrorKind) {
    match error {
        ConvertError::Session(SessionError::Call { operation, source, .. }) => (*operation, source.kind),
        other => panic!("not a call: {other}"),
    }
}

fn refused(converted: &Converted) -> Vec<(Operation, ErrorKind)> {
    let port = |error: &SessionError| error.port_error().map(|port| (port.operation, port.kind));
    converted.refusals.iter().map(|error| port(error).expect("a call")).collect()
}

fn destinations(spec: &Spec) -> Vec<String> {
    let mounts = spec.mounts().iter().flatten();
    mounts.map(|mount| mount.destination().display().to_string()).collect()
}

fn source_at(spec: &Spec, destination: &str) -> Option<String> {
    let mut mounts = spec.mounts().iter().flatten();
    let mount = mounts.find(|mount| mount.destination().as_os_str() == destination)?;
    mount.source().as_ref().map(|source| source.display().to_string())
}

#[test]
fn daemons_are_asked_in_the_order_of_the_steps() {
    let (mut mgr, mut fs) = (mandating(ContainerConfig::default()), MockFsPort::new());
    let mut order = mockall::Sequence::new();
    fs.expect_mountpoint().times(1).in_sequence(&mut order).returning(|| Ok(path("/var/lib/sysboxfs")));
    mgr.expect_alloc_subids().times(1).in_sequence(&mut order).returning(|_| Ok(SUBIDS));
    mgr.expect_clone_rootfs().times(1).in_sequence(&mut order).returning(|_| Ok(path("/clone")));
    mgr.expect_prep_mounts().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    mgr.expect_req_mounts().times(1).in_sequence(&mut order).returning(|_| Ok(Vec::new()));
    let bind =
        json!({ "destination": "/var/lib/docker", "type": "bind", "source": "/d", "options": ["rbind"] });
    let spec = spec(json!({ "mounts": [bind] }));
    let mut sysbox = sysbox(mgr, Some(fs));
    block_on(sysbox.convert_spec(spec, &host_of_overlays(&[]), &conversion())).expect("converted");
}

#[test]
fn sysbox_fs_is_not_asked_again_for_a_mount_point_that_is_known() {
    let mut sysbox = sysbox(giving_ids(), Some(emulating()));
    block_on(sysbox.fs.get_config()).expect("told");
    block_on(sysbox.convert_spec(spec(json!({})), &host(), &ids_only())).expect("converted");
}

#[test]
fn over_a_daemon_that_emulates_nothing_a_spec_is_converted_as_without_sysbox_fs() {
    let mut fs = MockFsPort::new();
    fs.expect_mountpoint().times(1).returning(|| Err(no(Operation::FsMountpoint, ErrorKind::Unimplemented)));
    let mut over_it = sysbox(giving_ids(), Some(fs));
    let over_it_converted = block_on(over_it.convert_spec(spec(json!({})), &host(), &ids_only()));
    let without = convert(giving_ids(), spec(json!({})), &host(), &ids_only()).expect("converted");
    let converted = over_it_converted.expect("converted");
    assert_eq!((converted.spec, converted.traps), (without.spec, without.traps));
    assert!(!over_it.fs.enabled());
    let mut fs = MockFsPort::new();
    fs.expect_mountpoint().returning(|| Err(no(Operation::FsMountpoint, ErrorKind::Unavailable)));
    let converted =
        block_on(sysbox(giving_ids(), Some(fs)).convert_spec(spec(json!({})), &host(), &ids_only()));
    let error = converted.expect_err("whether it emulates is not known");
    assert_eq!(failed(&error), (Operation::FsMountpoint, ErrorKind::Unavailable));
}

#[test]
fn without_a_manager_nobody_need_be_registered() {
    let mut sysbox = Sysbox::new(id(), Ports::default());
    let converted =
        block_on(sysbox.convert_spec(spec(json!({})), &host(), &conversion())).expect("converted");
    assert!(converted.refusals.is_empty() && converted.traps.is_empty() && converted.clone.is_none());
    assert_eq!(converted.config, ContainerConfig::default());
}

#[test]
fn a_container_that_is_not_registered_is_given_no_ids() {
    let mut sysbox = Sysbox::new(id(), Ports { mgr: Some(Arc::new(MockMgrPort::new())), ..Ports::default() });
    let error =
        block_on(sysbox.convert_spec(spec(json!({})), &host(), &conversion())).expect_err("not registered");
    assert!(matches!(error, ConvertError::Session(SessionError::NotRegistered { .. })), "{error}");
}
