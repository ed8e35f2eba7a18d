//! What the manager is asked for the directories in which Docker, Kubernetes and the like keep much.

use super::*;
use crate::{Mount, MountKind, MountRequest, MountRequests, MountToPrepare, MountsToPrepare};

fn over_docker(source: &str) -> Spec {
    let mount =
        json!({ "destination": "/var/lib/docker", "type": "bind", "source": source, "options": ["rbind"] });
    spec(json!({ "mounts": [mount] }))
}

fn kinds(request: &MountRequests) -> Vec<MountKind> {
    request.mounts.iter().map(|mount| mount.kind).collect()
}

fn given(source: &str, destination: &str) -> Mount {
    let options = ["rbind", "rprivate"].map(str::to_owned).to_vec();
    Mount { source: source.to_owned(), destination: path(destination), kind: "bind".to_owned(), options }
}

/// The directories that are special unless a file of the rootfs says otherwise.
const BY_DEFAULT: [(MountKind, &str); 7] = [
    (MountKind::VarLibDocker, "/var/lib/docker"),
    (MountKind::VarLibKubelet, "/var/lib/kubelet"),
    (MountKind::VarLibK0s, "/var/lib/k0s"),
    (MountKind::VarLibRancherK3s, "/var/lib/rancher/k3s"),
    (MountKind::VarLibRancherRke2, "/var/lib/rancher/rke2"),
    (MountKind::VarLibBuildkit, "/var/lib/buildkit"),
    (MountKind::VarLibContainerdOvfs, "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs"),
];

#[test]
fn a_container_is_given_what_the_manager_has_for_each_special_directory() {
    let mut mgr = giving_ids();
    mgr.expect_req_mounts().times(1).returning(|request| {
        assert_eq!((&request.id, request.rootfs_shift), (&id(), ShiftType::Chown));
        let mut wished: Vec<_> =
            request.mounts.iter().map(|wish| (wish.kind, wish.destination.to_string())).collect();
        wished.sort_by_key(|(kind, _)| kind.number());
        assert_eq!(wished, BY_DEFAULT.map(|(kind, destination)| (kind, destination.to_owned())));
        Ok(vec![given("/sysbox/docker/c1", "/var/lib/docker"), given("/usr/src/linux", "/usr/src/linux")])
    });
    let converted = convert(mgr, spec(json!({})), &host(), &conversion()).expect("converted");
    assert_eq!(source_at(&converted.spec, "/var/lib/docker").as_deref(), Some("/sysbox/docker/c1"));
    assert_eq!(source_at(&converted.spec, "/usr/src/linux").as_deref(), Some("/usr/src/linux"));
}

#[test]
fn a_special_directory_is_where_the_rootfs_says_that_it_is() {
    let mut host = MockHostPort::new();
    host.expect_rootfs_file()
        .with(eq(path("/r")), eq(path("/etc/docker/daemon.json")))
        .times(1)
        .returning(|_, _| Ok(Some(br#"{"data-root":"/data/docker"}"#.to_vec())));
    host.expect_rootfs_file().returning(|_, _| Ok(None));
    host.expect_sysctl().returning(|_| Ok(Some("40".to_owned())));
    host.expect_namespace().returning(namespace);
    host.expect_tree_record().returning(|_| Ok(None));
    host.expect_owner().returning(|_| Ok(Owner::new(0, 0)));
    host.expect_overlay_layers().returning(|_| Ok(None));
    host.expect_file_system().returning(|_| {
        Ok(FileSystem { kind: "ext4".into(), mount_point: path("/"), root: "/".into(), read_only: false })
    });
    let mut mgr = giving_ids();
    mgr.expect_req_mounts().times(1).returning(|request| {
        let docker = MountRequest { kind: MountKind::VarLibDocker, destination: path("/data/docker") };
        assert!(request.mounts.contains(&docker), "{:?}", request.mounts);
        Ok(Vec::new())
    });
    convert(mgr, spec(json!({})), &host, &conversion()).expect("converted");
}

#[test]
fn what_the_spec_binds_at_a_special_directory_is_prepared_for_the_containers_root_and_not_asked_for() {
    let mut mgr = giving_ids();
    let request = MountsToPrepare {
        id: id(),
        uid: SUBIDS.uid,
        gid: SUBIDS.gid,
        mounts: vec![MountToPrepare { source: path("/srv/docker"), exclusive: true }],
    };
    mgr.expect_prep_mounts().with(eq(request)).times(1).returning(|_| Ok(()));
    mgr.expect_req_mounts().times(1).returning(|request| {
        assert!(!kinds(request).contains(&MountKind::VarLibDocker) && request.mounts.len() == 6);
        Ok(Vec::new())
    });
    let converted = convert(mgr, over_docker("/srv/docker"), &host(), &conversion()).expect("converted");
    assert_eq!(source_at(&converted.spec, "/var/lib/docker").as_deref(), Some("/srv/docker"));
}

#[test]
fn a_mount_of_the_spec_wins_over_one_of_the_manager_at_the_same_place() {
    let mut mgr = giving_ids();
    mgr.expect_prep_mounts().returning(|_| Ok(()));
    mgr.expect_req_mounts().returning(|_| Ok(vec![given("/sysbox/docker/c1", "/var/lib/docker")]));
    let converted = convert(mgr, over_docker("/srv/docker"), &host(), &conversion()).expect("converted");
    let there =
        destinations(&converted.spec).into_iter().filter(|destination| destination == "/var/lib/docker");
    assert_eq!(
        (there.count(), source_at(&converted.spec, "/var/lib/docker").as_deref()),
        (1, Some("/srv/docker"))
    );
}

#[test]
fn special_directories_that_are_to_be_left_are_nobodys_business() {
    convert(giving_ids(), over_docker("/srv/docker"), &host(), &ids_only()).expect("asks for ids alone");
}

#[test]
fn where_a_rootfs_can_have_upper_layers_only_what_it_has_is_asked_for_if_that_is_wanted() {
    let wanted = Conversion { special_directories: SpecialDirectories::RequestedWhereNeeded, ..conversion() };
    for (kind, asked) in [("ext4", vec![MountKind::VarLibK0s]), ("nfs4", MountKind::ALL[..7].to_vec())] {
        let mut host = host_with(kind, None);
        host.expect_rootfs_has_directory().returning(|_, path| Ok(path.as_path().ends_with("k0s")));
        let mut mgr = giving_ids();
        mgr.expect_req_mounts().times(1).returning(move |request| {
            assert_eq!(kinds(request), asked);
            Ok(Vec::new())
        });
        convert(mgr, spec(json!({})), &host, &wanted).expect("converted");
    }
}

#[test]
fn outside_of_system_container_mode_sources_are_prepared_and_no_volumes_asked_for() {
    let mut mgr = mandating(ContainerConfig { syscont_mode: false, ..ContainerConfig::default() });
    mgr.expect_alloc_subids().returning(|_| Ok(SUBIDS));
    mgr.expect_prep_mounts().times(1).returning(|_| Ok(()));
    convert(mgr, over_docker("/srv/docker"), &host(), &conversion()).expect("converted");
}

#[test]
fn a_container_does_without_what_the_manager_has_not() {
    let unimplemented = |operation| no(operation, ErrorKind::Unimplemented);
    let mut mgr = giving_ids();
    mgr.expect_prep_mounts().times(1).returning(move |_| Err(unimplemented(Operation::PrepMounts)));
    mgr.expect_req_mounts().times(1).returning(move |_| Err(unimplemented(Operation::ReqMounts)));
    let converted =
        convert(mgr, over_docker("/srv/docker"), &host(), &conversion()).expect("it does without");
    let kind = ErrorKind::Unimplemented;
    assert_eq!(refused(&converted), [(Operation::PrepMounts, kind), (Operation::ReqMounts, kind)]);
}

#[test]
fn a_manager_that_fails_or_does_not_answer_is_an_error() {
    for kind in [ErrorKind::Unavailable, ErrorKind::FailedPrecondition, ErrorKind::Internal] {
        let mut prepares_not = giving_ids();
        prepares_not.expect_prep_mounts().returning(move |_| Err(no(Operation::PrepMounts, kind)));
        let mut gives_not = giving_ids();
        gives_not.expect_prep_mounts().returning(|_| Ok(()));
        gives_not.expect_req_mounts().returning(move |_| Err(no(Operation::ReqMounts, kind)));
        for (mgr, operation) in [(prepares_not, Operation::PrepMounts), (gives_not, Operation::ReqMounts)] {
            let error = convert(mgr, over_docker("/srv/docker"), &host(), &conversion()).expect_err("failed");
            assert_eq!(failed(&error), (operation, kind));
        }
    }
}
