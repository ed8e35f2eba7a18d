//! Whose ids a container gets, and whether its rootfs is cloned.

use super::*;

fn ids(converted: &Converted) -> (IdRange, IdRange) {
    let (uids, gids) = syscont::given_mappings(&converted.spec).expect("valid");
    let (uids, gids) = (uids.as_slice().first().expect("mapped"), gids.as_slice().first().expect("mapped"));
    assert_eq!(
        (uids.host(), gids.host()),
        (converted.ids.uids, converted.ids.gids),
        "the spec has those told"
    );
    (converted.ids.uids, converted.ids.gids)
}

fn mapped_from(first: u32) -> Spec {
    let extents = json!([{ "containerID": 0, "hostID": first, "size": 65_536 }]);
    spec(json!({ "linux": { "uidMappings": extents, "gidMappings": extents } }))
}

fn joining(userns: &str) -> Spec {
    five_namespaces_and(json!([{ "type": "user", "path": userns }]))
}

#[test]
fn ids_that_the_manager_mandates_come_before_those_of_the_spec() {
    let config = ContainerConfig {
        uid_mappings: mappings(500_000),
        gid_mappings: mappings(600_000),
        ..ContainerConfig::default()
    };
    let converted =
        convert(mandating(config), mapped_from(231_072), &host(), &ids_only()).expect("converted");
    assert_eq!(ids(&converted), (range(500_000), range(600_000)));
}

#[test]
fn what_the_spec_says_of_ids_need_not_be_a_system_containers_where_the_manager_mandates_others() {
    let extents = json!([{ "containerID": 0, "hostID": 9, "size": 1000 }]);
    let thousand = || spec(json!({ "linux": { "uidMappings": extents, "gidMappings": extents } }));
    let ids_of_manager = ContainerConfig {
        uid_mappings: mappings(700_000),
        gid_mappings: mappings(700_000),
        ..ContainerConfig::default()
    };
    let userns = Some(path("/proc/7/ns/user"));
    let userns_of_manager = ContainerConfig { userns, ..ContainerConfig::default() };
    for (config, spec) in [
        (ids_of_manager, thousand()),
        (userns_of_manager.clone(), thousand()),
        (userns_of_manager, mapped_from(231_072)),
    ] {
        let mut host = host();
        host.expect_id_mappings().returning(|_| Ok((mappings(700_000), mappings(700_000))));
        let converted = convert(mandating(config), spec, &host, &ids_only()).expect("the manager's count");
        assert_eq!(ids(&converted), (range(700_000), range(700_000)));
    }
}

#[test]
fn ids_of_the_spec_come_before_new_ones() {
    let mgr = mandating(ContainerConfig::default());
    let converted = convert(mgr, mapped_from(700_000), &host(), &ids_only()).expect("converted");
    assert_eq!(ids(&converted), (range(700_000), range(700_000)));
}

#[test]
fn a_container_without_ids_asks_the_manager_for_65536() {
    let mut mgr = mandating(ContainerConfig::default());
    let request = crate::SubidRequest { id: id(), size: 65_536.try_into().expect("not 0") };
    mgr.expect_alloc_subids().with(eq(request)).times(1).returning(|_| Ok(SUBIDS));
    let converted = convert(mgr, spec(json!({})), &host(), &ids_only()).expect("converted");
    assert_eq!(ids(&converted), (range(300_000), range(400_000)));
}

#[test]
fn without_a_manager_ids_begin_at_231072() {
    let mut sysbox = Sysbox::new(id(), Ports::default());
    let converted =
        block_on(sysbox.convert_spec(spec(json!({})), &host(), &conversion())).expect("converted");
    assert_eq!(ids(&converted), (range(231_072), range(231_072)));
}

#[test]
fn a_container_that_joins_a_user_namespace_has_the_ids_of_that() {
    for (config, spec) in [
        (ContainerConfig::default(), joining("/proc/7/ns/user")),
        (
            ContainerConfig { userns: Some(path("/proc/7/ns/user")), ..ContainerConfig::default() },
            joining("/proc/8/ns/user"),
        ),
    ] {
        let mut host = host();
        host.expect_id_mappings()
            .with(eq(path("/proc/7/ns/user")))
            .times(1)
            .returning(|_| Ok((mappings(800_000), mappings(900_000))));
        let converted = convert(mandating(config), spec, &host, &ids_only()).expect("converted");
        assert_eq!(ids(&converted), (range(800_000), range(900_000)));
        assert_eq!(syscont::userns(&converted.spec), Ok(Some(path("/proc/7/ns/user"))));
    }
}

#[test]
fn a_user_namespace_that_maps_others_than_the_spec_says_or_the_hosts_root_is_not_joined() {
    let own = json!([{ "containerID": 0, "hostID": 231_072, "size": 65_536 }]);
    let hosts_root = IdMappings::new([crate::IdMapping::new(0, 0, 65_536).expect("valid")]).expect("valid");
    for (named, actual) in [(own, mappings(800_000)), (json!([]), hosts_root)] {
        let mut spec = serde_json::to_value(joining("/proc/7/ns/user")).expect("JSON");
        put_over(&mut spec, json!({ "linux": { "uidMappings": named, "gidMappings": named } }));
        let mut host = host();
        host.expect_id_mappings().returning(move |_| Ok((actual.clone(), actual.clone())));
        let spec = serde_json::from_value(spec).expect("a spec");
        let error = convert(mandating(ContainerConfig::default()), spec, &host, &ids_only()).expect_err("no");
        assert!(matches!(error, ConvertError::WrongUserns { .. }), "{error}");
    }
}

#[test]
fn ids_that_the_manager_gives_keep_the_rules_of_those_of_a_spec() {
    let hosts_root = IdMappings::new([crate::IdMapping::new(0, 0, 65_536).expect("valid")]).expect("valid");
    for (uid_mappings, gid_mappings) in [
        (hosts_root, mappings(1)),
        (mappings(231_072), IdMappings::default()),
        (IdMappings::default(), mappings(1)),
    ] {
        let config = ContainerConfig { uid_mappings, gid_mappings, ..ContainerConfig::default() };
        let error = convert(mandating(config), spec(json!({})), &host(), &ids_only()).expect_err("wrong ids");
        assert!(matches!(error, ConvertError::WrongIds { .. }), "{error}");
    }
    for uid in [0, u32::MAX - 65_535, u32::MAX] {
        let mut mgr = mandating(ContainerConfig::default());
        mgr.expect_alloc_subids().returning(move |_| Ok(Subids { uid: HostUid(uid), ..SUBIDS }));
        let error = convert(mgr, spec(json!({})), &host(), &ids_only()).expect_err("wrong ids");
        assert!(matches!(error, ConvertError::WrongIds { .. }), "{error}");
    }
}

#[test]
fn a_manager_that_gives_no_ids_is_an_error() {
    let mut mgr = mandating(ContainerConfig::default());
    mgr.expect_alloc_subids().returning(|_| Err(no(Operation::AllocSubids, ErrorKind::ResourceExhausted)));
    let error = convert(mgr, spec(json!({})), &host(), &ids_only()).expect_err("no ids");
    assert_eq!(failed(&error), (Operation::AllocSubids, ErrorKind::ResourceExhausted));
}

#[test]
fn a_rootfs_that_would_be_copied_up_by_a_chown_is_cloned() {
    let mut mgr = giving_ids();
    mgr.expect_clone_rootfs().with(eq(id())).times(1).returning(|_| Ok(path("/clone")));
    let converted =
        convert(mgr, spec(json!({})), &host_of_overlays(&["index=off"]), &ids_only()).expect("converted");
    assert_eq!((converted.shift.rootfs, &converted.clone), (ShiftType::Chown, &Some(path("/clone"))));
    assert_eq!(syscont::rootfs(&converted.spec), Ok(path("/clone")));
    assert!(converted.changes.iter().any(|change| change.field == "root.path"));
}

#[test]
fn nothing_is_cloned_where_a_chown_copies_nothing_or_is_not_done_or_the_manager_forbids_it() {
    let previous = ContainerConfig { rootfs_shift: ShiftType::IdMappedMount, ..ContainerConfig::default() };
    let forbidden = ContainerConfig { no_rootfs_cloning: true, ..ContainerConfig::default() };
    for (why, config, host) in [
        ("not an overlay", ContainerConfig::default(), host()),
        ("copies up owners alone", ContainerConfig::default(), host_of_overlays(&["metacopy=on"])),
        ("is ID-mapped", previous, host_of_overlays(&[])),
        ("cloning is disabled", forbidden, host_of_overlays(&[])),
    ] {
        // A manager that is asked for a clone panics.
        let mut mgr = mandating(config);
        mgr.expect_alloc_subids().returning(|_| Ok(SUBIDS));
        let converted = convert(mgr, spec(json!({})), &host, &ids_only()).expect(why);
        assert_eq!((converted.clone, syscont::rootfs(&converted.spec)), (None, Ok(path("/r"))), "{why}");
    }
    let mut alone = Sysbox::new(id(), Ports::default());
    let converted = block_on(alone.convert_spec(spec(json!({})), &host_of_overlays(&[]), &ids_only()));
    assert_eq!(converted.expect("without a manager").clone, None);
}

#[test]
fn a_clone_that_is_not_mounted_where_this_process_sees_it_is_not_used() {
    let mut mgr = giving_ids();
    mgr.expect_clone_rootfs().times(1).returning(|_| Ok(path("/clone")));
    let mut host = MockHostPort::new();
    host.expect_overlay_layers().with(eq(path("/clone"))).returning(|_| Ok(None));
    host.expect_overlay_layers().returning(|_| Ok(Some(layers(&[]))));
    host.expect_sysctl().returning(|_| Ok(Some("40".to_owned())));
    host.expect_tree_record().returning(|_| Ok(None));
    host.expect_owner().returning(|_| Ok(Owner::new(0, 0)));
    host.expect_namespace().returning(namespace);
    host.expect_file_system().returning(|_| {
        Ok(FileSystem { kind: "overlay".into(), mount_point: path("/r"), root: "/".into(), read_only: false })
    });
    let converted = convert(mgr, spec(json!({})), &host, &ids_only()).expect("converted");
    assert_eq!((converted.clone, syscont::rootfs(&converted.spec)), (None, Ok(path("/r"))));
}

#[test]
fn a_container_does_without_a_clone_that_the_manager_refuses_but_not_without_an_answer() {
    let convert_with = |kind| {
        let mut mgr = giving_ids();
        mgr.expect_clone_rootfs().times(1).returning(move |_| Err(no(Operation::CloneRootfs, kind)));
        convert(mgr, spec(json!({})), &host_of_overlays(&[]), &ids_only())
    };
    for kind in [ErrorKind::Unimplemented, ErrorKind::FailedPrecondition, ErrorKind::Unknown] {
        let converted = convert_with(kind).expect("it does without");
        assert_eq!(refused(&converted), [(Operation::CloneRootfs, kind)]);
        assert_eq!((converted.clone, syscont::rootfs(&converted.spec)), (None, Ok(path("/r"))));
    }
    for kind in [ErrorKind::Unavailable, ErrorKind::DeadlineExceeded, ErrorKind::NotFound] {
        assert_eq!(failed(&convert_with(kind).expect_err("no answer")), (Operation::CloneRootfs, kind));
    }
}
