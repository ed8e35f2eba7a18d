//! What is refused, by which field and rule.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    time::{Duration, UNIX_EPOCH},
};

use prost_types::Timestamp;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, FsEntry, FsEntryKind, IdOffset, IdOffsets, IdRange,
    InvalidIdMappings, InvalidIdRange, Mount, MountRequests, MountToPrepare, MountsToPrepare, Registration,
    SubidRequest, UnknownFsEntryKind, UnknownMountKind, UnknownShiftType,
};

use super::{super::Rule, ConvertError, pb};

fn id() -> ContainerId {
    "c1".parse().expect("an id")
}

fn not_utf8() -> AbsPath {
    AbsPath::new(OsStr::from_bytes(b"/\xff")).expect("absolute")
}

fn refused<T: std::fmt::Debug>(converted: Result<T, ConvertError>, field: &str) -> Rule {
    let error = converted.expect_err("it breaks a rule");
    assert_eq!(error.field, field);
    error.rule
}

fn told(change: impl FnOnce(&mut ContainerData)) -> Result<pb::ContainerData, ConvertError> {
    let mut data = ContainerData::new(id());
    change(&mut data);
    pb::ContainerData::try_from(&data)
}

fn heard(change: impl FnOnce(&mut pb::ContainerData)) -> Result<ContainerData, ConvertError> {
    let mut message = pb::ContainerData { id: "c1".to_owned(), ..Default::default() };
    change(&mut message);
    ContainerData::try_from(message)
}

#[test]
fn host_ids_and_offsets_beyond_32_bits_with_sign_are_not_sent() {
    let range = |first, count| Some(IdRange::new(first, count).expect("valid"));
    let rule = refused(told(|data| data.uids = range(1 << 31, 1)), "UidFirst");
    assert_eq!(rule, Rule::BeyondInt32 { value: 1 << 31 });
    refused(told(|data| data.uids = range(0, 1 << 31)), "UidSize");
    refused(told(|data| data.gids = range(1 << 31, 1)), "GidFirst");
    refused(told(|data| data.gids = range(0, 1 << 31)), "GidSize");
    let far = IdOffset::new(-(1 << 31) - 1).expect("an offset");
    let offsets = IdOffsets { uid: IdOffset::default(), gid: far };
    let rule = refused(pb::ChownClonedRootfsReq::try_from((&id(), offsets)), "gidOffset");
    assert_eq!(rule, Rule::BeyondInt32 { value: far.get() });
    let offsets = IdOffsets { uid: far.inverse(), gid: IdOffset::default() };
    refused(pb::ChownClonedRootfsReq::try_from((&id(), offsets)), "uidOffset");
}

#[test]
fn paths_that_are_not_utf8_are_not_sent() {
    let rule =
        refused(told(|data| data.proc_mask_paths = vec![id_path("/a"), not_utf8()]), "ProcMaskPaths[1]");
    assert_eq!(rule, Rule::NotUtf8 { path: not_utf8().into() });
    let mounts = vec![MountToPrepare { source: not_utf8(), exclusive: false }];
    let request = MountsToPrepare { id: id(), uid: Default::default(), gid: Default::default(), mounts };
    refused(pb::MountPrepReq::try_from(&request), "prepList[0].source");
    let config = ContainerConfig { userns: Some(not_utf8()), ..ContainerConfig::default() };
    refused(pb::RegisterResp::try_from(&config), "containerConfig.userns");
}

fn id_path(path: &str) -> AbsPath {
    path.parse().expect("a path")
}

#[test]
fn what_would_come_in_as_absent_is_not_sent() {
    assert_eq!(refused(told(|data| data.hostname = Some(String::new())), "Hostname"), Rule::Empty);
    assert_eq!(refused(told(|data| data.init_pid = Some(0)), "InitPid"), Rule::NoPid { pid: 0 });
    let year_1 = UNIX_EPOCH - Duration::from_secs(62_135_596_800);
    assert_eq!(refused(told(|data| data.created = Some(year_1)), "Ctime"), Rule::NoTime);
    let entry =
        FsEntry { kind: FsEntryKind::Softlink, path: id_path("/l"), mode: 0, target: Some(String::new()) };
    assert_eq!(refused(pb::FsStateResp::try_from(&vec![entry]), "fsEntries[0].dst"), Rule::Empty);
}

#[test]
fn times_outside_of_the_years_1_to_9999_cross_in_neither_direction() {
    for (seconds, fits) in [
        (-62_135_596_801, false),
        (-62_135_596_800, true),
        (253_402_300_799, true),
        (253_402_300_800, false),
        (i64::MIN, false),
        (i64::MAX, false),
    ] {
        let heard = heard(|message| message.ctime = Some(Timestamp { seconds, nanos: 1 }));
        assert_eq!(heard.is_ok(), fits, "{seconds}");
    }
    let late = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    let early = UNIX_EPOCH - Duration::new(62_135_596_800, 1);
    for time in [late, early] {
        let rule = refused(told(|data| data.created = Some(time)), "Ctime");
        assert!(matches!(rule, Rule::Year { .. }), "{rule}");
    }
    for nanos in [-1, 1_000_000_000, i32::MIN, i32::MAX] {
        let heard = heard(|message| message.ctime = Some(Timestamp { seconds: 0, nanos }));
        assert_eq!(refused(heard, "Ctime"), Rule::Nanos { nanos });
    }
}

#[test]
fn negative_numbers_of_container_data_are_refused_and_a_range_of_size_0_is_none() {
    assert_eq!(refused(heard(|data| data.init_pid = -1), "InitPid"), Rule::Negative { value: -1 });
    assert_eq!(refused(heard(|data| data.uid_size = -5), "UidSize"), Rule::Negative { value: -5 });
    let first = heard(|data| (data.gid_first, data.gid_size) = (i32::MIN, 1));
    assert_eq!(refused(first, "GidFirst"), Rule::Negative { value: i32::MIN });
    let none = heard(|data| (data.uid_first, data.gid_first) = (100_000, -1)).expect("no range");
    assert_eq!((none.uids, none.gids), (None, None));
}

#[test]
fn unknown_numbers_are_refused_by_name() {
    let config = pb::ContainerConfig { rootfs_uid_shift_type: 5, ..Default::default() };
    let message = pb::RegisterResp { container_config: Some(config) };
    let rule = refused(ContainerConfig::try_from(message), "containerConfig.rootfsUidShiftType");
    assert_eq!(rule, Rule::ShiftType(UnknownShiftType { number: 5 }));
    let mount = |kind| pb::MountReqInfo { kind, dest: "/d".to_owned() };
    let message =
        pb::MountReq { id: "c1".to_owned(), req_list: vec![mount(7), mount(8)], ..Default::default() };
    let rule = refused(MountRequests::try_from(message), "reqList[1].kind");
    assert_eq!(rule, Rule::MountKind(UnknownMountKind { number: 8 }));
    let entry = pb::FsEntry { kind: 4, ..Default::default() };
    let rule =
        refused(Vec::<FsEntry>::try_from(pb::FsStateResp { fs_entries: vec![entry] }), "fsEntries[0].kind");
    assert_eq!(rule, Rule::FsEntryKind(UnknownFsEntryKind { number: 4 }));
}

#[test]
fn a_size_that_is_none_or_beyond_all_ids_is_refused() {
    for size in [0, 1 << 32, u64::MAX] {
        let message = pb::SubidAllocReq { id: "c1".to_owned(), size };
        assert_eq!(refused(SubidRequest::try_from(message), "size"), Rule::SubidSize { size });
    }
}

#[test]
fn extents_that_overlap_or_are_empty_are_refused() {
    let extent = |container_id, host_id, size| pb::IdMapping { container_id, host_id, size };
    let register = |uid_mappings| {
        let (id, rootfs) = ("c1".to_owned(), "/r".to_owned());
        Registration::try_from(pb::RegisterReq { id, rootfs, uid_mappings, ..Default::default() })
    };
    let rule = refused(register(vec![extent(0, 5, 1), extent(1, 6, 0)]), "uidMappings[1]");
    assert_eq!(rule, Rule::Range(InvalidIdRange::Empty { first: 1 }));
    let rule = refused(register(vec![extent(0, 5, 2), extent(1, 7, 1)]), "uidMappings");
    assert!(matches!(rule, Rule::Mappings(InvalidIdMappings::ContainerIdsOverlap { .. })));
}

#[test]
fn what_has_to_be_there_is_missed() {
    let rule =
        refused(ContainerConfig::try_from(pb::RegisterResp { container_config: None }), "containerConfig");
    assert_eq!(rule, Rule::Absent);
    refused(ContainerId::try_from(pb::PauseReq::default()), "id");
    refused(AbsPath::try_from(pb::MountpointResp::default()), "Mountpoint");
    let mounts = pb::MountResp { mounts: vec![pb::Mount { dest: "d".to_owned(), ..Default::default() }] };
    refused(Vec::<Mount>::try_from(mounts), "mounts[0].dest");
}

#[test]
fn a_refusal_names_the_field_and_its_cause_is_the_rule() {
    let error = heard(|data| data.init_pid = -1).expect_err("negative");
    assert_eq!(error.to_string(), "field InitPid is not valid");
    let rule = std::error::Error::source(&error).expect("the rule");
    assert_eq!(rule.to_string(), "-1 is negative; it takes 0 to 2147483647");
}
