//! Over every transport, each call of the manager port crosses to its own method with every field, and back.

use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, FsEntry, FsEntryKind, FsStateRequest, HostGid, HostUid, IdMapping,
    IdMappings, IdOffset, IdOffsets, MgrPort, Mount, MountKind, MountRequest, MountRequests, MountToPrepare,
    MountsToPrepare, Registration, ShiftType, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids, Update,
    port::MockMgrPort,
};
use sysbox_transport::{ClientOptions, ServerOptions};

use crate::{
    served::{Served, within},
    subject::Mgr,
};

fn id() -> ContainerId {
    "c1".parse().expect("valid")
}

fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

fn mappings(host: u32) -> IdMappings {
    let extents = [(0, host, 1000), (1000, host + 5000, 64_536)];
    IdMappings::new(
        extents.map(|(container, host, size)| IdMapping::new(container, host, size).expect("valid")),
    )
    .expect("valid")
}

fn serve(port: MockMgrPort) -> (Served, Mgr) {
    let served = Served::mgr(port, ServerOptions::default());
    let mgr = Mgr::new(served.socket.clone(), ClientOptions::default());
    (served, mgr)
}

/// Of four such configs, any two flags differ in at least one.
fn config(turn: u32) -> ContainerConfig {
    let on = |number: u32| (number >> turn) & 1 == 1;
    ContainerConfig {
        alias_dns: on(0),
        shiftfs_ok: on(1),
        shiftfs_on_overlayfs_ok: on(2),
        idmap_mount_ok: on(3),
        overlayfs_on_idmap_mount_ok: on(4),
        no_rootfs_cloning: on(5),
        ignore_sysfs_chown: on(6),
        allow_trusted_xattr: on(7),
        honor_caps: on(8),
        syscont_mode: on(9),
        fsuid_map_fail_on_err: on(10),
        no_shiftfs_on_fuse: on(11),
        relaxed_read_only: on(12),
        userns: Some(path("/proc/1/ns/user")),
        uid_mappings: mappings(10_000),
        gid_mappings: mappings(20_000),
        rootfs_shift: ShiftType::IdMappedMountOrShiftfs,
    }
}

#[tokio::test]
async fn a_registration_its_config_and_an_update_cross_whole() {
    let registration = Registration {
        id: id(),
        rootfs: path("/r-ü"),
        userns: Some(path("/u")),
        netns: Some(path("/n")),
        uid_mappings: mappings(100_000),
        gid_mappings: mappings(200_000),
    };
    let update = |rootfs_shift| Update {
        id: id(),
        userns: Some(path("/u")),
        netns: Some(path("/n")),
        uid_mappings: mappings(1),
        gid_mappings: mappings(2),
        rootfs_shift,
    };
    let mut port = MockMgrPort::new();
    let (expected, mut turn) = (registration.clone(), 0..);
    port.expect_register()
        .times(4)
        .withf(move |found| *found == expected)
        .returning(move |_| Ok(config(turn.next().expect("endless"))));
    for shift in ShiftType::ALL {
        port.expect_update().times(1).withf(move |found| *found == update(shift)).returning(|_| Ok(()));
    }
    let (served, mgr) = serve(port);
    for turn in 0..4 {
        assert_eq!(within(mgr.register(&registration)).await.expect("registered"), config(turn));
    }
    for shift in ShiftType::ALL {
        within(mgr.update(&update(shift))).await.expect("updated");
    }
    served.end().await;
}

#[tokio::test]
async fn ids_mounts_marks_and_entries_cross_whole() {
    let size = std::num::NonZeroU32::new(65_537).expect("not 0");
    let subids = SubidRequest { id: id(), size };
    let prepare = MountsToPrepare {
        id: id(),
        uid: HostUid(u32::MAX - 1),
        gid: HostGid(2),
        mounts: [("/s", true), ("/t", false)]
            .map(|(source, exclusive)| MountToPrepare { source: path(source), exclusive })
            .into(),
    };
    let wished = MountRequests {
        id: id(),
        rootfs_shift: ShiftType::Chown,
        mounts: MountKind::ALL.map(|kind| MountRequest { kind, destination: path("/d") }).into(),
    };
    let mounts = || {
        let options = vec!["rbind".into(), "rprivate".into()];
        vec![Mount { source: "/s".into(), destination: path("/d"), kind: "bind".into(), options }]
    };
    let marks = ShiftfsMarks {
        id: id(),
        marks: [("/m", true), ("/k", false)]
            .map(|(source, readonly)| ShiftfsMark { source: path(source), readonly })
            .into(),
    };
    let state = FsStateRequest { id: id(), rootfs: path("/r") };
    let entry = |kind, mode, target: Option<&str>| FsEntry {
        kind,
        path: path("/e"),
        mode,
        target: target.map(Into::into),
    };
    let entries = move || {
        let link = entry(FsEntryKind::Softlink, 0, Some("../t"));
        vec![entry(FsEntryKind::Dir, 0o755, None), entry(FsEntryKind::File, 0o4644, None), link]
    };
    let mut port = MockMgrPort::new();
    let expected = subids.clone();
    port.expect_alloc_subids()
        .times(1)
        .withf(move |found| *found == expected)
        .returning(|_| Ok(Subids { uid: HostUid(300_000), gid: HostGid(400_000) }));
    let expected = prepare.clone();
    port.expect_prep_mounts().times(1).withf(move |found| *found == expected).returning(|_| Ok(()));
    let expected = wished.clone();
    port.expect_req_mounts().times(1).withf(move |found| *found == expected).returning(move |_| Ok(mounts()));
    let expected = marks.clone();
    port.expect_req_shiftfs_mark()
        .times(1)
        .withf(move |found| *found == expected)
        .returning(|request| Ok(request.marks.clone()));
    let expected = state.clone();
    port.expect_req_fs_state()
        .times(1)
        .withf(move |found| *found == expected)
        .returning(move |_| Ok(entries()));
    let (served, mgr) = serve(port);
    let ids = within(mgr.alloc_subids(&subids)).await.expect("given");
    assert_eq!(ids, Subids { uid: HostUid(300_000), gid: HostGid(400_000) });
    within(mgr.prep_mounts(&prepare)).await.expect("prepared");
    assert_eq!(within(mgr.req_mounts(&wished)).await.expect("given"), mounts());
    assert_eq!(within(mgr.req_shiftfs_mark(&marks)).await.expect("marked"), marks.marks);
    assert_eq!(within(mgr.req_fs_state(&state)).await.expect("given"), entries());
    served.end().await;
}

#[tokio::test]
async fn each_call_that_names_but_a_container_reaches_its_own_method() {
    let mut port = MockMgrPort::new();
    port.expect_unregister().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    port.expect_remove().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    port.expect_pause().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    port.expect_resume().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    port.expect_clone_rootfs().times(1).withf(|found| *found == id()).returning(|_| Ok(path("/clone-ü")));
    port.expect_revert_cloned_rootfs_chown().times(1).withf(|found| *found == id()).returning(|_| Ok(()));
    let offset = |offset| IdOffset::new(offset).expect("in range");
    let offsets = IdOffsets { uid: offset(-5), gid: offset(6) };
    port.expect_chown_cloned_rootfs()
        .times(1)
        .withf(move |found, by| *found == id() && *by == offsets)
        .returning(|_, _| Ok(()));
    let (served, mgr) = serve(port);
    let id = id();
    within(mgr.unregister(&id)).await.expect("told");
    within(mgr.remove(&id)).await.expect("removed");
    within(mgr.pause(&id)).await.expect("told");
    within(mgr.resume(&id)).await.expect("told");
    assert_eq!(within(mgr.clone_rootfs(&id)).await.expect("cloned"), path("/clone-ü"));
    within(mgr.chown_cloned_rootfs(&id, offsets)).await.expect("chowned");
    within(mgr.revert_cloned_rootfs_chown(&id)).await.expect("chowned back");
    served.end().await;
}
