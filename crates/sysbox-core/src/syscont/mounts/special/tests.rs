//! Which directories are special, and what the manager is asked for them.

use serde_json::{Value, json};

use super::*;
use crate::{
    MockHostPort, Mount as GivenMount,
    host::FileSystem,
    syscont::{
        Changes,
        mounts::{
            add_of_manager,
            testing::{abs, bind, spec, tmpfs},
        },
    },
};

/// A host whose rootfs has these files.
pub(super) fn host(files: &'static [(&'static str, &'static str)]) -> MockHostPort {
    let mut host = MockHostPort::new();
    host.expect_rootfs_file().returning(move |rootfs, path| {
        assert_eq!(rootfs, &abs("/rootfs"));
        let content = files.iter().find(|(file, _)| Path::new(file) == path.as_path());
        Ok(content.map(|(_, content)| content.as_bytes().to_vec()))
    });
    host
}

fn directories(files: &'static [(&'static str, &'static str)]) -> Vec<(MountKind, AbsPath)> {
    special_directories(&abs("/rootfs"), &host(files)).expect("readable")
}

fn defaults() -> Vec<(MountKind, AbsPath)> {
    DIRECTORIES.into_iter().map(|(kind, default, _)| (kind, abs(default))).collect()
}

fn split(mounts: &Value) -> Special {
    let spec = spec(json!({ "mounts": mounts }));
    split_special(&spec, &defaults(), &Settings::default()).expect("valid")
}

fn requested(special: &Special) -> Vec<MountKind> {
    special.requested.iter().map(|request| request.kind).collect()
}

fn all_but(kinds: &[MountKind]) -> Vec<MountKind> {
    MountKind::ALL[..7].iter().copied().filter(|kind| !kinds.contains(kind)).collect()
}

#[test]
fn special_directories_are_where_they_are_by_default_in_a_rootfs_that_says_nothing() {
    assert_eq!(directories(&[]), defaults());
    let kinds: Vec<MountKind> = defaults().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, MountKind::ALL[..7], "headers are given unasked");
}

#[test]
fn docker_k3s_and_rke2_say_in_their_files_where_their_directories_are() {
    let found = directories(&[
        ("/etc/docker/daemon.json", r#"{"debug":true,"data-root":"/data/docker"}"#),
        ("/etc/rancher/k3s/config.yaml", "write-kubeconfig-mode: 0644\ndata-dir: /data/k3s\n"),
        ("/etc/rancher/rke2/config.yaml", "data-dir: \"/data/rke2\""),
    ]);
    let at = |kind| found.iter().find(|(other, _)| *other == kind).map(|(_, at)| at.to_string());
    assert_eq!(at(MountKind::VarLibDocker).as_deref(), Some("/data/docker"));
    assert_eq!(at(MountKind::VarLibRancherK3s).as_deref(), Some("/data/k3s"));
    assert_eq!(at(MountKind::VarLibRancherRke2).as_deref(), Some("/data/rke2"));
    assert_eq!(found.len(), 7);
}

#[test]
fn of_two_kinds_at_one_place_the_first_has_it() {
    let found = directories(&[("/etc/docker/daemon.json", r#"{"data-root":"/var/lib//kubelet/"}"#)]);
    let kinds: Vec<MountKind> = found.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, all_but(&[MountKind::VarLibKubelet]));
}

#[test]
fn one_below_another_is_a_part_of_that_one_and_neither_requested_nor_needed() {
    let files = &[("/etc/rancher/k3s/config.yaml", "data-dir: /var/lib/rancher\n")];
    let special = split_special(&spec(json!({})), &directories(files), &Settings::default()).expect("valid");
    let wanted = all_but(&[MountKind::VarLibRancherRke2]);
    assert_eq!(requested(&special), wanted, "two copies of it would meet in the rootfs");
    let mut host = host(files);
    host.expect_file_system().returning(|_| {
        let (kind, root) = ("overlay".to_owned(), "/".into());
        Ok(FileSystem { kind, mount_point: abs("/"), root, read_only: false })
    });
    let needed = needed_directories(&abs("/rootfs"), &host).expect("readable");
    assert_eq!(needed.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(), wanted);
}

#[test]
fn what_is_bound_at_one_below_another_is_prepared() {
    let directories = directories(&[("/etc/rancher/k3s/config.yaml", "data-dir: /var\n")]);
    let spec = spec(json!({ "mounts": [bind("/var/lib/docker", "/images"), bind("/var/lib", "/lib")] }));
    let special = split_special(&spec, &directories, &Settings::default()).expect("valid");
    assert_eq!(special.prepared, [MountToPrepare { source: abs("/images"), exclusive: true }]);
    assert_eq!(requested(&special), [MountKind::VarLibRancherK3s]);
}

#[test]
fn one_that_needs_no_directory_of_the_hosts_is_left_out() {
    let wanted = all_but(&[MountKind::VarLibDocker]);
    for place in ["/dev/shm/docker", "/proc", "/proc/x", "/sys//", "/dev", "/run", "/run/lock/", "/tmp"] {
        let content = format!(r#"{{"data-root":"{place}"}}"#);
        let mut host = MockHostPort::new();
        host.expect_rootfs_file().returning(move |_, file| {
            Ok(file.as_path().ends_with("daemon.json").then(|| content.clone().into_bytes()))
        });
        let found = special_directories(&abs("/rootfs"), &host).expect("readable");
        assert_eq!(found.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(), wanted, "{place}");
    }
}

#[test]
fn of_several_mounts_at_one_the_last_is_prepared_if_it_is_a_bind_mount() {
    let without_source = json!({ "destination": "/var/lib/docker", "type": "bind" });
    let over = |last: Value| {
        split(&json!([bind("/var/lib/docker", "/1"), without_source, bind("/var/lib/k0s", "/2"), last]))
    };
    let sources = |special: Special| -> Vec<String> {
        special.prepared.into_iter().map(|one| one.source.to_string()).collect()
    };
    assert_eq!(sources(over(bind("/var/lib//docker/", "/3"))), ["/2", "/3"]);
    assert_eq!(sources(over(tmpfs("/var/lib/docker"))), ["/2"]);
}

#[test]
fn a_file_that_the_host_cannot_read_is_an_error() {
    let mut host = MockHostPort::new();
    host.expect_rootfs_file()
        .returning(|_, path| Err(HostError::new("read", path.to_string(), "a loop of links")));
    let error = special_directories(&abs("/rootfs"), &host).expect_err("unreadable");
    assert!(matches!(error, UnreadableConfig::Host(_)));
}

#[test]
fn a_directory_that_the_spec_mounts_nothing_at_is_requested() {
    let special = split(&json!([
        tmpfs("/proc"),
        bind("/var/lib/docker2", "/x"),
        bind("/var/lib/docker/volumes", "/y")
    ]));
    assert_eq!(requested(&special), all_but(&[]));
    assert_eq!(special.requested[0].destination, abs("/var/lib/docker"));
    assert_eq!(special.prepared, []);
}

#[test]
fn the_source_of_a_bind_mount_there_is_prepared_for_this_container_alone_and_nothing_requested() {
    let by_option = json!({ "destination": "/var/lib/k0s", "source": "/k0s", "options": ["ro", "bind"] });
    let special = split(&json!([bind("/var/lib/docker/", "/images"), by_option]));
    let exclusive = |source| MountToPrepare { source: abs(source), exclusive: true };
    assert_eq!(special.prepared, [exclusive("/images"), exclusive("/k0s")]);
    assert_eq!(requested(&special), all_but(&[MountKind::VarLibDocker, MountKind::VarLibK0s]));
}

#[test]
fn a_directory_that_another_mount_covers_is_neither_prepared_nor_requested() {
    let special = split(&json!([tmpfs("/var/lib/docker"), bind("/var/lib/rancher", "/r")]));
    assert_eq!(special.prepared, []);
    let covered = [MountKind::VarLibDocker, MountKind::VarLibRancherK3s, MountKind::VarLibRancherRke2];
    assert_eq!(requested(&special), all_but(&covered));
    assert_eq!(requested(&split(&json!([tmpfs("/")]))), []);
}

#[test]
fn a_source_is_not_prepared_where_the_user_wants_nothing_shifted() {
    let spec = spec(json!({ "mounts": [bind("/var/lib/docker", "/1"), bind("/var/lib/k0s", "/2")] }));
    let skip_uid_shift = vec![abs("/var/lib/docker/"), abs("/var/lib/k")];
    let settings = Settings { skip_uid_shift, ..Settings::default() };
    let special = split_special(&spec, &defaults(), &settings).expect("valid");
    assert_eq!(special.prepared, [MountToPrepare { source: abs("/2"), exclusive: true }]);
    assert_eq!(requested(&special), all_but(&[MountKind::VarLibDocker, MountKind::VarLibK0s]));
}

#[test]
fn a_bind_mount_there_needs_an_absolute_source() {
    let without = json!({ "destination": "/var/lib/docker", "type": "bind" });
    for wrong in [without, bind("/var/lib/docker", "images"), bind("/var/lib/docker", "")] {
        let spec = spec(json!({ "mounts": [tmpfs("/proc"), wrong] }));
        let error = split_special(&spec, &defaults(), &Settings::default()).expect_err("no source");
        assert_eq!(error.field, "mounts[1].source");
    }
}

#[test]
fn what_the_manager_gave_to_an_earlier_conversion_is_requested_again_and_not_prepared() {
    let given = |at: &str| GivenMount {
        source: format!("/volumes{at}"),
        destination: abs(at),
        kind: "bind".to_owned(),
        options: vec!["rbind".to_owned()],
    };
    let mut spec = spec(json!({ "mounts": [bind("/var/lib/k0s", "/of-user")] }));
    let directories =
        [(MountKind::VarLibDocker, abs("/data")), (MountKind::VarLibKubelet, abs("/data/kubelet"))];
    let split = |spec: &Spec| split_special(spec, &directories, &Settings::default()).expect("valid");
    let first = split(&spec);
    let answer = directories.iter().map(|(_, at)| given(&at.to_string())).collect();
    add_of_manager(&mut spec, answer, &directories, false, &mut Changes::default()).expect("valid");
    assert_eq!(split(&spec), first);
    assert_eq!(requested(&first), [MountKind::VarLibDocker], "what is below is a part of it");
}
