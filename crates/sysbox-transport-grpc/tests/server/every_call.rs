//! Each call goes to its method of the port with what was asked, and its answer comes back.

use std::sync::Arc;

use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, FsEntry, FsEntryKind, FsStateRequest, HostGid,
    HostUid, IdMapping, IdMappings, IdOffset, IdOffsets, IdRange, Mount, MountKind, MountRequest,
    MountRequests, MountToPrepare, MountsToPrepare, Registration, ShiftType, ShiftfsMark, ShiftfsMarks,
    Subids, Update,
    port::{MockFsPort, MockMgrPort},
};
use sysbox_transport_grpc::ServerOptions;

use crate::served::{ExtClient, FsClient, Served, ext, pb, within};

fn id() -> ContainerId {
    "c1".parse().expect("valid")
}

fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

fn mappings(host: u32) -> IdMappings {
    IdMappings::new([IdMapping::new(0, host, 65_536).expect("valid")]).expect("valid")
}

fn pb_mappings(host: u32) -> Vec<pb::IdMapping> {
    vec![pb::IdMapping { container_id: 0, host_id: host, size: 65_536 }]
}

#[tokio::test]
async fn a_container_is_registered_updated_unregistered_and_removed() {
    let mut port = MockMgrPort::new();
    let registration = Registration {
        id: id(),
        rootfs: path("/r"),
        userns: None,
        netns: Some(path("/n")),
        uid_mappings: mappings(100_000),
        gid_mappings: mappings(200_000),
    };
    let config =
        ContainerConfig { honor_caps: true, uid_mappings: mappings(7), ..ContainerConfig::default() };
    port.expect_register()
        .times(1)
        .withf(move |request| *request == registration)
        .return_once(|_| Ok(config));
    let update = Update {
        id: id(),
        userns: Some(path("/u")),
        netns: None,
        uid_mappings: mappings(1),
        gid_mappings: mappings(2),
        rootfs_shift: ShiftType::Chown,
    };
    port.expect_update().times(1).withf(move |request| *request == update).returning(|_| Ok(()));
    port.expect_unregister().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    port.expect_remove().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    let served = Served::mgr(port, ServerOptions::default());
    let mut client = served.mgr_client().await;
    let request = pb::RegisterReq {
        id: "c1".into(),
        rootfs: "/r".into(),
        userns: String::new(),
        netns: "/n".into(),
        uid_mappings: pb_mappings(100_000),
        gid_mappings: pb_mappings(200_000),
    };
    let answer = within(client.register(request)).await.expect("registered").into_inner();
    let config = answer.container_config.expect("a config");
    assert!(config.honor_caps);
    assert_eq!(config.uid_mappings, pb_mappings(7));
    let request = pb::UpdateReq {
        id: "c1".into(),
        userns: "/u".into(),
        netns: String::new(),
        uid_mappings: pb_mappings(1),
        gid_mappings: pb_mappings(2),
        rootfs_uid_shift_type: 4,
    };
    within(client.update(request)).await.expect("updated");
    within(client.unregister(pb::UnregisterReq { id: "c1".into() })).await.expect("unregistered");
    let mut extension = ExtClient::new(served.channel().await);
    within(extension.remove(ext::RemoveRequest { id: "c1".into() })).await.expect("removed");
    served.end().await;
}

#[tokio::test]
async fn ids_mounts_marks_and_entries_are_given() {
    let mut port = MockMgrPort::new();
    port.expect_alloc_subids()
        .times(1)
        .withf(|request| request.id == id() && request.size.get() == 65_536)
        .returning(|_| Ok(Subids { uid: HostUid(300_000), gid: HostGid(400_000) }));
    let prepare = MountsToPrepare {
        id: id(),
        uid: HostUid(1),
        gid: HostGid(2),
        mounts: vec![MountToPrepare { source: path("/s"), exclusive: true }],
    };
    port.expect_prep_mounts().times(1).withf(move |request| *request == prepare).returning(|_| Ok(()));
    let wished = MountRequests {
        id: id(),
        rootfs_shift: ShiftType::IdMappedMount,
        mounts: vec![MountRequest { kind: MountKind::VarLibK0s, destination: path("/d") }],
    };
    port.expect_req_mounts().times(1).withf(move |request| *request == wished).returning(|_| {
        let options = vec!["rbind".into()];
        Ok(vec![Mount { source: "/s".into(), destination: path("/d"), kind: "bind".into(), options }])
    });
    let mark = || ShiftfsMark { source: path("/m"), readonly: true };
    port.expect_req_shiftfs_mark()
        .times(1)
        .withf(move |request| *request == ShiftfsMarks { id: id(), marks: vec![mark()] })
        .returning(move |_| Ok(vec![mark()]));
    port.expect_req_fs_state()
        .times(1)
        .withf(|request| *request == FsStateRequest { id: id(), rootfs: path("/r") })
        .returning(|_| {
            Ok(vec![FsEntry {
                kind: FsEntryKind::Softlink,
                path: path("/l"),
                mode: 0,
                target: Some("t".into()),
            }])
        });
    let served = Served::mgr(port, ServerOptions::default());
    let mut client = served.mgr_client().await;
    let subids =
        within(client.subid_alloc(crate::served::subid_request("c1"))).await.expect("given").into_inner();
    assert_eq!((subids.uid, subids.gid), (300_000, 400_000));
    let prep_list = vec![pb::MountPrepInfo { source: "/s".into(), exclusive: true }];
    let request = pb::MountPrepReq { id: "c1".into(), uid: 1, gid: 2, prep_list };
    within(client.prep_mounts(request)).await.expect("prepared");
    let req_list = vec![pb::MountReqInfo { kind: 2, dest: "/d".into() }];
    let request = pb::MountReq { id: "c1".into(), rootfs_uid_shift_type: 2, req_list };
    let mounts = within(client.req_mounts(request)).await.expect("given").into_inner().mounts;
    assert_eq!((mounts[0].source.as_str(), mounts[0].dest.as_str(), mounts[0].opt.len()), ("/s", "/d", 1));
    let shiftfs_marks = vec![pb::ShiftfsMark { source: "/m".into(), readonly: true }];
    let request = pb::ShiftfsMarkReq { id: "c1".into(), shiftfs_marks: shiftfs_marks.clone() };
    let marks = within(client.req_shiftfs_mark(request)).await.expect("marked").into_inner();
    assert_eq!(marks.shiftfs_marks, shiftfs_marks);
    let request = pb::FsStateReq { id: "c1".into(), rootfs: "/r".into() };
    let entries = within(client.req_fs_state(request)).await.expect("given").into_inner().fs_entries;
    assert_eq!((entries[0].kind, entries[0].path.as_str(), entries[0].dst.as_str()), (3, "/l", "t"));
    served.end().await;
}

#[tokio::test]
async fn a_container_is_paused_and_its_rootfs_cloned() {
    let mut port = MockMgrPort::new();
    port.expect_pause().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    port.expect_resume().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    port.expect_clone_rootfs().times(1).withf(|found| *found == id()).returning(|_| Ok(path("/clone")));
    let offset = |offset| IdOffset::new(offset).expect("in range");
    let offsets = IdOffsets { uid: offset(-5), gid: offset(6) };
    port.expect_chown_cloned_rootfs()
        .times(1)
        .withf(move |found, by| *found == id() && *by == offsets)
        .returning(|_, _| Ok(()));
    port.expect_revert_cloned_rootfs_chown().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    let served = Served::mgr(port, ServerOptions::default());
    let mut client = served.mgr_client().await;
    within(client.pause(pb::PauseReq { id: "c1".into() })).await.expect("paused");
    within(client.resume(pb::ResumeReq { id: "c1".into() })).await.expect("resumed");
    let clone =
        within(client.req_clone_rootfs(pb::CloneRootfsReq { id: "c1".into() })).await.expect("cloned");
    assert_eq!(clone.into_inner().rootfs, "/clone");
    let request = pb::ChownClonedRootfsReq { id: "c1".into(), uid_offset: -5, gid_offset: 6 };
    within(client.chown_cloned_rootfs(request)).await.expect("chowned");
    let request = pb::RevertClonedRootfsChownReq { id: "c1".into() };
    within(client.revert_cloned_rootfs_chown(request)).await.expect("chowned back");
    served.end().await;
}

#[tokio::test]
async fn a_container_is_made_known_to_the_fs_daemon_and_forgotten() {
    let data = || {
        let range = |first| Some(IdRange::new(first, 65_536).expect("valid"));
        ContainerData {
            init_pid: Some(42),
            uids: range(100_000),
            gids: range(200_000),
            proc_ro_paths: vec![path("/proc/bus")],
            proc_mask_paths: vec![path("/proc/kcore")],
            netns: Some(path("/n")),
            ..ContainerData::new(id())
        }
    };
    let mut port = MockFsPort::new();
    port.expect_pre_register().times(1).withf(move |found| *found == data()).returning(|_| Ok(()));
    port.expect_register().times(1).withf(move |found| *found == data()).returning(|_| Ok(()));
    port.expect_update().times(1).withf(move |found| *found == data()).returning(|_| Ok(()));
    port.expect_unregister().times(1).withf(move |found| *found == data()).returning(|_| Ok(()));
    let served = Served::fs(Some(Arc::new(port)));
    let mut client = FsClient::new(served.channel().await);
    let message = pb::ContainerData {
        id: "c1".into(),
        init_pid: 42,
        hostname: String::new(),
        ctime: Some(prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 }),
        uid_first: 100_000,
        uid_size: 65_536,
        gid_first: 200_000,
        gid_size: 65_536,
        proc_ro_paths: vec!["/proc/bus".into()],
        proc_mask_paths: vec!["/proc/kcore".into()],
        netns: "/n".into(),
    };
    assert!(
        within(client.container_pre_registration(message.clone())).await.expect("known").into_inner().success
    );
    assert!(within(client.container_registration(message.clone())).await.expect("told").into_inner().success);
    assert!(within(client.container_update(message.clone())).await.expect("told").into_inner().success);
    assert!(within(client.container_unregistration(message)).await.expect("forgotten").into_inner().success);
    served.end().await;
}
