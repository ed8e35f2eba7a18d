//! Bytes worked out by hand from postcard's specification: peers of other versions have the same.
//!
//! A variant is its number. A number is a varint: 7 bits a byte, the lowest first, and its top bit says that more follow; one
//! with a sign is folded first (0, -1, 1, -2 are 0, 1, 2, 3). Texts, paths and lists are their length and so many bytes or elements.
//! What may be absent is 0, or 1 and its value; a flag is 0 or 1. Fields follow each other in order, without names.

use std::time::{Duration, UNIX_EPOCH};

use sysbox_core::{
    ErrorKind, HostGid, HostUid, IdMapping, IdMappings, IdOffset, IdRange, MountKind, Operation, PortError,
    ShiftType,
};

use super::*;
use crate::fault::Failure;

fn sends(message: &impl Serialize, bytes: &[u8]) {
    assert_eq!(bytes_of(message).escape_ascii().to_string(), bytes.escape_ascii().to_string());
}

fn id() -> ContainerId {
    "c1".parse().expect("an id")
}

fn path(path: &str) -> AbsPath {
    path.parse().expect("a path")
}

fn mappings(host: u32) -> IdMappings {
    IdMappings::new([IdMapping::new(0, host, 65_536).expect("valid")]).expect("one")
}

#[test]
fn a_registration() {
    let request = domain::Registration {
        id: id(),
        rootfs: path("/r"),
        userns: None,
        netns: Some(path("/n")),
        uid_mappings: mappings(100_000),
        gid_mappings: IdMappings::default(),
    };
    // Host id 100000 is 6 * 2^14 + 13 * 2^7 + 32, size 65536 is 4 * 2^14.
    let bytes = b"\x00\x02c1\x02/r\x00\x01\x02/n\x01\x00\xa0\x8d\x06\x80\x80\x04\x00";
    sends(&MgrRequest::Register(request.into()), bytes);
}

#[test]
fn a_configuration_with_everything_set() {
    let config = domain::ContainerConfig {
        alias_dns: true,
        shiftfs_ok: true,
        shiftfs_on_overlayfs_ok: true,
        idmap_mount_ok: true,
        overlayfs_on_idmap_mount_ok: true,
        no_rootfs_cloning: true,
        ignore_sysfs_chown: true,
        allow_trusted_xattr: true,
        honor_caps: true,
        syscont_mode: true,
        fsuid_map_fail_on_err: true,
        no_shiftfs_on_fuse: true,
        relaxed_read_only: true,
        userns: Some(path("/u")),
        uid_mappings: mappings(1),
        gid_mappings: mappings(2),
        rootfs_shift: ShiftType::Chown,
    };
    let mut bytes = vec![0, 0];
    bytes.extend([1; 13]);
    bytes.extend(b"\x01\x02/u\x01\x00\x01\x80\x80\x04\x01\x00\x02\x80\x80\x04\x04");
    sends(&MgrReply::Ok(MgrAnswer::Register(config.into())), &bytes);
}

#[test]
fn each_flag_of_a_configuration_has_its_own_place() {
    for nth in 0..13 {
        let mut bytes = [0; 19];
        bytes[2 + nth] = 1;
        let reply: MgrReply = decode(&bytes).expect("a reply");
        let Ok(MgrAnswer::Register(wire)) = reply else { panic!("another reply") };
        let config = domain::ContainerConfig::try_from(wire).expect("valid");
        let on = [
            config.alias_dns,
            config.shiftfs_ok,
            config.shiftfs_on_overlayfs_ok,
            config.idmap_mount_ok,
            config.overlayfs_on_idmap_mount_ok,
            config.no_rootfs_cloning,
            config.ignore_sysfs_chown,
            config.allow_trusted_xattr,
            config.honor_caps,
            config.syscont_mode,
            config.fsuid_map_fail_on_err,
            config.no_shiftfs_on_fuse,
            config.relaxed_read_only,
        ];
        assert_eq!(on.iter().position(|&on| on), Some(nth));
        assert_eq!(on.iter().filter(|&&on| on).count(), 1);
    }
}

#[test]
fn requests_of_the_manager_in_the_order_of_its_calls() {
    let size = 65_536.try_into().expect("not 0");
    let update = domain::Update {
        id: id(),
        userns: None,
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
        rootfs_shift: ShiftType::IdMappedMount,
    };
    let source = domain::MountToPrepare { source: path("/s"), exclusive: true };
    let prepare =
        domain::MountsToPrepare { id: id(), uid: HostUid(1), gid: HostGid(2), mounts: vec![source] };
    let mount = domain::MountRequest { kind: MountKind::UsrSrcLinuxHdr, destination: path("/h") };
    let wish = domain::MountRequests { id: id(), rootfs_shift: ShiftType::Shiftfs, mounts: vec![mount] };
    let mark = domain::ShiftfsMark { source: path("/m"), readonly: true };
    let state = domain::FsStateRequest { id: id(), rootfs: path("/r") };
    let offsets = IdOffsets { uid: IdOffset::from(-1), gid: IdOffset::from(64) };
    sends(&MgrRequest::Update(update.into()), b"\x01\x02c1\x00\x00\x00\x00\x02");
    sends(&MgrRequest::Unregister(id().into()), b"\x02\x02c1");
    sends(&MgrRequest::Remove(id().into()), b"\x03\x02c1");
    sends(
        &MgrRequest::AllocSubids(domain::SubidRequest { id: id(), size }.into()),
        b"\x04\x02c1\x80\x80\x04",
    );
    sends(&MgrRequest::PrepMounts(prepare.into()), b"\x05\x02c1\x01\x02\x01\x02/s\x01");
    sends(&MgrRequest::ReqMounts(wish.into()), b"\x06\x02c1\x01\x01\x07\x02/h");
    let marks = domain::ShiftfsMarks { id: id(), marks: vec![mark] };
    sends(&MgrRequest::ReqShiftfsMark(marks.into()), b"\x07\x02c1\x01\x02/m\x01");
    sends(&MgrRequest::ReqFsState(state.into()), b"\x08\x02c1\x02/r");
    sends(&MgrRequest::Pause(id().into()), b"\x09\x02c1");
    sends(&MgrRequest::Resume(id().into()), b"\x0a\x02c1");
    sends(&MgrRequest::CloneRootfs(id().into()), b"\x0b\x02c1");
    sends(&MgrRequest::ChownClonedRootfs((id(), offsets).into()), b"\x0c\x02c1\x01\x80\x01");
    sends(&MgrRequest::RevertClonedRootfsChown(id().into()), b"\x0d\x02c1");
}

#[test]
fn answers_of_the_manager_in_the_order_of_its_calls() {
    let ok = |answer, bytes: &[u8]| sends(&MgrReply::Ok(answer), &[&[0], bytes].concat());
    let mount = domain::Mount {
        source: "/s".to_owned(),
        destination: path("/d"),
        kind: "bind".to_owned(),
        options: vec!["rw".to_owned()],
    };
    let mark = domain::ShiftfsMark { source: path("/m"), readonly: false };
    let kind = domain::FsEntryKind::Softlink;
    let entry = domain::FsEntry { kind, path: path("/l"), mode: 0o755, target: Some("t".to_owned()) };
    ok(MgrAnswer::Update, b"\x01");
    ok(MgrAnswer::Unregister, b"\x02");
    ok(MgrAnswer::Remove, b"\x03");
    let subids = domain::Subids { uid: HostUid(1), gid: HostGid(u32::MAX) };
    ok(MgrAnswer::AllocSubids(subids.into()), b"\x04\x01\xff\xff\xff\xff\x0f");
    ok(MgrAnswer::PrepMounts, b"\x05");
    ok(MgrAnswer::ReqMounts(vec![mount].into()), b"\x06\x01\x02/s\x02/d\x04bind\x01\x02rw");
    ok(MgrAnswer::ReqShiftfsMark(vec![mark].into()), b"\x07\x01\x02/m\x00");
    // Mode 755 is 493, 3 * 2^7 + 109.
    ok(MgrAnswer::ReqFsState(vec![entry].into()), b"\x08\x01\x03\x02/l\xed\x03\x01\x01t");
    ok(MgrAnswer::Pause, b"\x09");
    ok(MgrAnswer::Resume, b"\x0a");
    ok(MgrAnswer::CloneRootfs(path("/c").into()), b"\x0b\x02/c");
    ok(MgrAnswer::ChownClonedRootfs, b"\x0c");
    ok(MgrAnswer::RevertClonedRootfsChown, b"\x0d");
}

#[test]
fn requests_and_answers_of_the_fs_daemon_in_the_order_of_its_calls() {
    let nothing_known = || domain::ContainerData::new(id()).into();
    sends(&FsRequest::Mountpoint, b"\x00");
    sends(&FsRequest::PreRegister(nothing_known()), b"\x01\x02c1\x00\x00\x00\x00\x00\x00\x00\x00");
    sends(&FsRequest::Update(nothing_known()), b"\x03\x02c1\x00\x00\x00\x00\x00\x00\x00\x00");
    sends(&FsRequest::Unregister(nothing_known()), b"\x04\x02c1\x00\x00\x00\x00\x00\x00\x00\x00");
    sends(&FsReply::Ok(FsAnswer::Mountpoint(path("/f").into())), b"\x00\x00\x02/f");
    let done = [FsAnswer::PreRegister, FsAnswer::Register, FsAnswer::Update, FsAnswer::Unregister];
    for (number, done) in (1..).zip(done) {
        sends(&FsReply::Ok(done), &[0, number]);
    }
}

#[test]
fn container_data_with_everything_set() {
    let range = |first| Some(IdRange::new(first, 2).expect("valid"));
    let data = domain::ContainerData {
        id: id(),
        init_pid: Some(7),
        hostname: Some("h".to_owned()),
        created: Some(UNIX_EPOCH - Duration::new(1, 1)),
        uids: range(3),
        gids: range(4),
        proc_ro_paths: vec![path("/a"), path("/b")],
        proc_mask_paths: vec![path("/c")],
        netns: Some(path("/n")),
    };
    let mut bytes = Vec::new();
    // Process 7 is folded to 14; the time is variant 1 with a second and a nanosecond.
    bytes.extend(b"\x02\x02c1\x01\x0e\x01\x01h\x01\x01\x01\x01");
    bytes.extend(b"\x01\x03\x02\x01\x04\x02\x02\x02/a\x02/b\x01\x02/c\x01\x02/n");
    sends(&FsRequest::Register(data.into()), &bytes);
    let mut after = domain::ContainerData::new(id());
    after.created = Some(UNIX_EPOCH + Duration::from_secs(2));
    sends(&FsRequest::Register(after.into()), b"\x02\x02c1\x00\x00\x01\x00\x02\x00\x00\x00\x00\x00\x00");
}

#[test]
fn a_failure_with_a_cause() {
    let error = PortError::new(Operation::Pause, ErrorKind::NotFound, "why").with_source("disk");
    sends(&MgrReply::Err(Failure::from(&error)), b"\x01\x05\x03why\x01\x04disk");
}
