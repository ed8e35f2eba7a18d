//! Which calls reach the manager, with what, and which do not.

use mockall::predicate::{always, eq};
use pollster::block_on;

use super::*;
use crate::{IdOffset, MockMgrPort};

fn id() -> ContainerId {
    "c1".parse().expect("valid")
}

fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

fn mgr(port: MockMgrPort) -> Mgr {
    Mgr::new(id(), Some(Arc::new(port)))
}

/// A manager that takes the registration and answers `config`.
fn registering(config: ContainerConfig) -> MockMgrPort {
    let mut port = MockMgrPort::new();
    port.expect_register().returning(move |_| Ok(config.clone()));
    port
}

fn registered(port: MockMgrPort) -> Mgr {
    let mut mgr = mgr(port);
    block_on(mgr.register(&spec())).expect("taken");
    mgr
}

fn spec() -> Spec {
    serde_json::from_str(
        r#"{"ociVersion":"1.0.2","root":{"path":"/bundle/rootfs"},"linux":{
            "namespaces":[{"type":"user","path":"/proc/7/ns/user"},{"type":"network","path":"/run/netns/a"}],
            "uidMappings":[{"containerID":0,"hostID":231072,"size":65536}]}}"#,
    )
    .expect("a spec")
}

fn refusal(operation: Operation, kind: ErrorKind) -> PortError {
    PortError::new(operation, kind, "container c1: no")
}

#[test]
fn register_sends_rootfs_namespaces_and_mappings_of_the_spec_and_keeps_the_answer() {
    let mut port = MockMgrPort::new();
    let config = ContainerConfig { honor_caps: true, ..ContainerConfig::default() };
    let answer = config.clone();
    let expected = Registration {
        id: id(),
        rootfs: path("/bundle/rootfs"),
        userns: Some(path("/proc/7/ns/user")),
        netns: Some(path("/run/netns/a")),
        uid_mappings: IdMappings::new([crate::IdMapping::new(0, 231_072, 65_536).expect("valid")])
            .expect("valid"),
        gid_mappings: IdMappings::default(),
    };
    port.expect_register().with(eq(expected)).times(1).returning(move |_| Ok(answer.clone()));
    let mgr = registered(port);
    assert_eq!(mgr.config(), &config);
    assert!(mgr.is_registered() && mgr.enabled());
}

#[test]
fn before_it_has_registered_a_container_has_the_default_config() {
    assert_eq!(mgr(MockMgrPort::new()).config(), &ContainerConfig::default());
}

#[test]
fn register_twice_is_an_error_of_the_caller() {
    let mut mgr = registered(registering(ContainerConfig::default()));
    assert!(matches!(block_on(mgr.register(&spec())), Err(SessionError::AlreadyRegistered { .. })));
}

#[test]
fn a_refused_registration_leaves_the_container_unregistered_and_names_the_operation() {
    let mut port = MockMgrPort::new();
    port.expect_register().returning(|_| Err(refusal(Operation::Register, ErrorKind::AlreadyExists)));
    let mut mgr = mgr(port);
    let error = block_on(mgr.register(&spec())).expect_err("refused");
    assert_eq!(error.to_string(), "failed to register with sysbox-mgr");
    assert_eq!(error.port_error().map(|e| e.kind), Some(ErrorKind::AlreadyExists));
    assert!(!mgr.is_registered());
}

#[test]
fn a_spec_with_a_relative_root_is_not_sent() {
    let mut mgr = mgr(MockMgrPort::new());
    let spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}}"#).expect("a spec");
    let error = block_on(mgr.register(&spec)).expect_err("relative");
    assert!(
        matches!(error, SessionError::Spec { source: SpecError { field, .. }, .. } if field == "root.path")
    );
}

#[test]
fn calls_before_register_reach_nobody() {
    let mut mgr = mgr(MockMgrPort::new());
    let size = NonZeroU32::new(65_536).expect("not 0");
    let not_registered = |error| matches!(error, SessionError::NotRegistered { .. });
    assert!(not_registered(block_on(mgr.req_subid(size)).expect_err("early")));
    assert!(not_registered(block_on(mgr.pause()).expect_err("early")));
    assert!(not_registered(block_on(mgr.resume()).expect_err("early")));
    assert!(not_registered(block_on(mgr.clone_rootfs()).expect_err("early")));
    assert!(not_registered(block_on(mgr.chown_cloned_rootfs(IdOffsets::default())).expect_err("early")));
    assert!(not_registered(block_on(mgr.req_fs_state(path("/r"))).expect_err("early")));
    assert!(not_registered(block_on(mgr.req_mounts(ShiftType::NoShift, vec![])).expect_err("early")));
    assert!(not_registered(block_on(mgr.req_shiftfs_mark(vec![])).expect_err("early")));
    assert!(not_registered(block_on(mgr.prep_mounts(HostUid(1), HostGid(1), vec![])).expect_err("early")));
}

#[test]
fn without_a_backend_every_call_says_so() {
    let mut mgr = Mgr::new(id(), None);
    assert!(!mgr.enabled());
    assert!(matches!(block_on(mgr.register(&spec())), Err(SessionError::Disabled { .. })));
    assert!(matches!(block_on(mgr.pause()), Err(SessionError::Disabled { .. })));
    block_on(mgr.unregister()).expect("nothing to undo");
}

#[test]
fn update_sends_what_became_known() {
    let mut port = registering(ContainerConfig::default());
    let expected = Update {
        id: id(),
        userns: Some(path("/proc/9/ns/user")),
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
        rootfs_shift: ShiftType::Chown,
    };
    port.expect_update().with(eq(expected)).times(1).returning(|_| Ok(()));
    let update = registered(port);
    let (none, userns) = (IdMappings::default(), Some(path("/proc/9/ns/user")));
    block_on(update.update(userns, None, none.clone(), none, ShiftType::Chown)).expect("taken");
}

#[test]
fn the_cloned_rootfs_is_remembered_and_chowned_only_after_it_was_cloned() {
    let mut port = registering(ContainerConfig::default());
    port.expect_clone_rootfs().times(1).returning(|_| Ok(path("/clone")));
    let offsets = IdOffsets { uid: IdOffset::from(231_072), gid: IdOffset::from(7) };
    port.expect_chown_cloned_rootfs().with(always(), eq(offsets)).times(1).returning(|_, _| Ok(()));
    port.expect_revert_cloned_rootfs_chown().times(1).returning(|_| Ok(()));
    let mut mgr = registered(port);
    assert!(!mgr.is_rootfs_cloned());
    assert!(matches!(block_on(mgr.chown_cloned_rootfs(offsets)), Err(SessionError::RootfsNotCloned { .. })));
    assert_eq!(block_on(mgr.clone_rootfs()).expect("taken"), path("/clone"));
    assert_eq!(mgr.cloned_rootfs(), Some(&path("/clone")));
    assert!(matches!(block_on(mgr.revert_cloned_rootfs_chown()), Err(SessionError::RootfsNotChowned { .. })));
    block_on(mgr.chown_cloned_rootfs(offsets)).expect("taken");
    block_on(mgr.revert_cloned_rootfs_chown()).expect("taken");
    assert!(matches!(block_on(mgr.revert_cloned_rootfs_chown()), Err(SessionError::RootfsNotChowned { .. })));
    assert!(mgr.is_rootfs_cloned());
}

#[test]
fn a_second_clone_keeps_what_is_known_of_its_owners() {
    let mut port = registering(ContainerConfig::default());
    port.expect_clone_rootfs().times(2).returning(|_| Ok(path("/clone")));
    port.expect_clone_rootfs().times(1).returning(|_| Ok(path("/another")));
    port.expect_chown_cloned_rootfs().returning(|_, _| Ok(()));
    let mut mgr = registered(port);
    block_on(mgr.clone_rootfs()).expect("taken");
    block_on(mgr.chown_cloned_rootfs(IdOffsets::default())).expect("taken");
    assert_eq!(block_on(mgr.clone_rootfs()).expect("taken"), path("/clone"));
    assert!(mgr.is_cloned_rootfs_chowned());
    block_on(mgr.clone_rootfs()).expect("taken");
    assert!(!mgr.is_cloned_rootfs_chowned(), "nothing is known of another clone");
}

#[test]
fn ids_that_no_container_can_have_are_not_taken_from_the_manager() {
    for (uid, gid) in [(0, 1), (1, 0), (u32::MAX, 1), (1, u32::MAX), (u32::MAX - 1_000, 1)] {
        let mut port = registering(ContainerConfig::default());
        let lie = Subids { uid: HostUid(uid), gid: HostGid(gid) };
        port.expect_alloc_subids().returning(move |_| Ok(lie));
        let size = NonZeroU32::new(1_001).expect("not 0");
        let error = block_on(registered(port).req_subid(size)).expect_err("they are no ids of a container");
        assert!(matches!(&error, SessionError::WrongIds { answered, .. } if *answered == lie), "{error}");
        assert!(error.to_string().contains(&format!("user ids from {uid} and group ids from {gid} on")));
    }
}

#[test]
fn requests_reach_the_manager_as_asked() {
    let mut port = registering(ContainerConfig::default());
    let subids = Subids { uid: HostUid(231_072), gid: HostGid(500_000) };
    port.expect_alloc_subids().withf(|request| request.size.get() == 70_000).returning(move |_| Ok(subids));
    port.expect_prep_mounts()
        .withf(|request| {
            (request.uid, request.gid, request.mounts[0].exclusive) == (HostUid(1), HostGid(2), true)
        })
        .returning(|_| Ok(()));
    port.expect_req_mounts()
        .withf(|request| request.rootfs_shift == ShiftType::Chown && request.mounts.len() == 1)
        .returning(|_| Ok(vec![]));
    port.expect_req_shiftfs_mark().returning(|request| Ok(request.marks.clone()));
    port.expect_req_fs_state().withf(|request| request.rootfs == path("/r")).returning(|_| Ok(vec![]));
    port.expect_pause().returning(|_| Ok(()));
    port.expect_resume().returning(|_| Ok(()));
    let mgr = registered(port);
    let mark = ShiftfsMark { source: path("/m"), readonly: true };
    let to_prepare = MountToPrepare { source: path("/data"), exclusive: true };
    let docker = MountRequest { kind: crate::MountKind::VarLibDocker, destination: path("/var/lib/docker") };
    assert_eq!(block_on(mgr.req_subid(NonZeroU32::new(70_000).expect("not 0"))).expect("taken"), subids);
    block_on(mgr.prep_mounts(HostUid(1), HostGid(2), vec![to_prepare])).expect("taken");
    assert_eq!(block_on(mgr.req_mounts(ShiftType::Chown, vec![docker])).expect("taken"), vec![]);
    assert_eq!(block_on(mgr.req_shiftfs_mark(vec![mark.clone()])).expect("taken"), [mark]);
    assert_eq!(block_on(mgr.req_fs_state(path("/r"))).expect("taken"), vec![]);
    block_on(mgr.pause()).expect("taken");
    block_on(mgr.resume()).expect("taken");
}

#[test]
fn unregister_is_done_when_the_manager_knows_the_container_no_longer_or_as_stopped() {
    for kind in [ErrorKind::NotFound, ErrorKind::FailedPrecondition] {
        let mut port = registering(ContainerConfig::default());
        port.expect_unregister().times(1).returning(move |_| Err(refusal(Operation::Unregister, kind)));
        let mut mgr = registered(port);
        block_on(mgr.unregister()).expect("done");
        block_on(mgr.unregister()).expect("a second time nobody is asked");
    }
}

#[test]
fn an_unregister_that_failed_is_no_stop_and_can_be_tried_again() {
    for kind in [ErrorKind::Internal, ErrorKind::PermissionDenied, ErrorKind::Unavailable] {
        let mut port = registering(ContainerConfig::default());
        port.expect_unregister().times(1).returning(move |_| Err(refusal(Operation::Unregister, kind)));
        port.expect_unregister().times(1).returning(|_| Ok(()));
        let mut mgr = registered(port);
        block_on(mgr.unregister()).expect_err("failed");
        assert!(mgr.is_registered());
        block_on(mgr.unregister()).expect("done by now");
        assert!(!mgr.is_registered());
    }
}

#[test]
fn remove_is_done_when_the_manager_finds_out_by_itself() {
    for (kind, done) in [
        (ErrorKind::NotFound, true),
        (ErrorKind::Unimplemented, true),
        (ErrorKind::FailedPrecondition, false),
    ] {
        let mut port = MockMgrPort::new();
        port.expect_remove().times(1).returning(move |_| Err(refusal(Operation::Remove, kind)));
        assert_eq!(block_on(mgr(port).remove()).is_ok(), done);
    }
}
