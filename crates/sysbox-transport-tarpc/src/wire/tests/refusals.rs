//! What is refused, by which field and rule.

use std::{error::Error, time::Duration};

use sysbox_core::{
    InvalidContainerId, InvalidIdMappings, InvalidIdRange, InvalidPath, OffsetOutOfRange, UnknownFsEntryKind,
    UnknownMountKind, UnknownShiftType,
};

use super::{
    super::{
        answers::{FsEntry, Mount, ShiftfsMark},
        requests::{MountRequest, MountToPrepare},
        time::Time,
        value::{Extent, Range},
    },
    *,
};

fn id() -> Id {
    Id("c1".to_owned())
}

fn path(text: &str) -> Path {
    Path(text.as_bytes().to_vec())
}

fn refused<T: Debug>(converted: Result<T, ConvertError>, field: &str) -> Rule {
    let error = converted.expect_err("it breaks a rule");
    assert_eq!(error.field, field);
    error.rule
}

fn registered(change: impl FnOnce(&mut Registration)) -> Result<domain::Registration, ConvertError> {
    let (uid_mappings, gid_mappings) = (Vec::new(), Vec::new());
    let mut wire =
        Registration { id: id(), rootfs: path("/r"), userns: None, netns: None, uid_mappings, gid_mappings };
    change(&mut wire);
    wire.try_into()
}

fn updated(change: impl FnOnce(&mut Update)) -> Result<domain::Update, ConvertError> {
    let (uid_mappings, gid_mappings) = (Vec::new(), Vec::new());
    let mut wire =
        Update { id: id(), userns: None, netns: None, uid_mappings, gid_mappings, rootfs_shift: 0 };
    change(&mut wire);
    wire.try_into()
}

fn configured(change: impl FnOnce(&mut ContainerConfig)) -> Result<domain::ContainerConfig, ConvertError> {
    let mut wire = ContainerConfig::from(domain::ContainerConfig::default());
    change(&mut wire);
    wire.try_into()
}

fn told(change: impl FnOnce(&mut ContainerData)) -> Result<domain::ContainerData, ConvertError> {
    let mut wire = ContainerData::from(domain::ContainerData::new("c1".parse().expect("an id")));
    change(&mut wire);
    wire.try_into()
}

#[test]
fn ids_that_are_none_are_refused_by_every_message() {
    let empty = || Id(String::new());
    let rules = [
        refused(ContainerId::try_from(empty()), "id"),
        refused(registered(|wire| wire.id = empty()), "id"),
        refused(updated(|wire| wire.id = empty()), "id"),
        refused(told(|wire| wire.id = empty()), "id"),
        refused(domain::SubidRequest::try_from(SubidRequest { id: empty(), size: 1 }), "id"),
        refused(
            domain::MountsToPrepare::try_from(MountsToPrepare {
                id: empty(),
                uid: 0,
                gid: 0,
                mounts: Vec::new(),
            }),
            "id",
        ),
        refused(
            domain::MountRequests::try_from(MountRequests {
                id: empty(),
                rootfs_shift: 0,
                mounts: Vec::new(),
            }),
            "id",
        ),
        refused(domain::ShiftfsMarks::try_from(ShiftfsMarks { id: empty(), marks: Vec::new() }), "id"),
        refused(domain::FsStateRequest::try_from(FsStateRequest { id: empty(), rootfs: path("/r") }), "id"),
        refused(
            <(ContainerId, IdOffsets)>::try_from(Chown { id: empty(), uid_offset: 0, gid_offset: 0 }),
            "id",
        ),
    ];
    assert!(rules.iter().all(|rule| *rule == Rule::Id(InvalidContainerId::Empty)), "{rules:?}");
}

#[test]
fn paths_that_are_relative_or_hold_nul_are_refused_wherever_they_stand() {
    let relative = || path("r");
    let mark = || {
        vec![
            ShiftfsMark { source: path("/s"), readonly: true },
            ShiftfsMark { source: relative(), readonly: true },
        ]
    };
    let mount = MountToPrepare { source: relative(), exclusive: false };
    let wish = MountRequest { kind: 0, destination: relative() };
    let made =
        Mount { source: String::new(), destination: relative(), kind: String::new(), options: Vec::new() };
    let entry = FsEntry { kind: 1, path: relative(), mode: 0, target: None };
    let rules = [
        refused(AbsPath::try_from(relative()), "path"),
        refused(registered(|wire| wire.rootfs = relative()), "rootfs"),
        refused(registered(|wire| wire.userns = Some(relative())), "userns"),
        refused(registered(|wire| wire.netns = Some(relative())), "netns"),
        refused(updated(|wire| wire.userns = Some(relative())), "userns"),
        refused(updated(|wire| wire.netns = Some(relative())), "netns"),
        refused(configured(|wire| wire.userns = Some(relative())), "userns"),
        refused(told(|wire| wire.netns = Some(relative())), "netns"),
        refused(told(|wire| wire.proc_ro_paths = vec![path("/a"), relative()]), "proc_ro_paths[1]"),
        refused(told(|wire| wire.proc_mask_paths = vec![relative()]), "proc_mask_paths[0]"),
        refused(domain::FsStateRequest::try_from(FsStateRequest { id: id(), rootfs: relative() }), "rootfs"),
        refused(domain::ShiftfsMarks::try_from(ShiftfsMarks { id: id(), marks: mark() }), "marks[1].source"),
        refused(Vec::<domain::ShiftfsMark>::try_from(MarksMade(mark())), "marks[1].source"),
        refused(
            domain::MountsToPrepare::try_from(MountsToPrepare {
                id: id(),
                uid: 0,
                gid: 0,
                mounts: vec![mount],
            }),
            "mounts[0].source",
        ),
        refused(
            domain::MountRequests::try_from(MountRequests { id: id(), rootfs_shift: 0, mounts: vec![wish] }),
            "mounts[0].destination",
        ),
        refused(Vec::<domain::Mount>::try_from(Mounts(vec![made])), "mounts[0].destination"),
        refused(Vec::<domain::FsEntry>::try_from(FsEntries(vec![entry])), "entries[0].path"),
    ];
    assert!(rules.iter().all(|rule| matches!(rule, Rule::Path(InvalidPath::Relative { .. }))), "{rules:?}");
    assert!(matches!(refused(AbsPath::try_from(path("/a\0")), "path"), Rule::Path(InvalidPath::Nul { .. })));
}

#[test]
fn extents_that_overlap_or_are_empty_are_refused() {
    let extent = |container, host, size| Extent { container, host, size };
    let empty = || vec![extent(0, 5, 1), extent(1, 6, 0)];
    let rules = [
        refused(registered(|wire| wire.uid_mappings = empty()), "uid_mappings[1]"),
        refused(registered(|wire| wire.gid_mappings = empty()), "gid_mappings[1]"),
        refused(updated(|wire| wire.uid_mappings = empty()), "uid_mappings[1]"),
        refused(updated(|wire| wire.gid_mappings = empty()), "gid_mappings[1]"),
        refused(configured(|wire| wire.uid_mappings = empty()), "uid_mappings[1]"),
        refused(configured(|wire| wire.gid_mappings = empty()), "gid_mappings[1]"),
    ];
    assert!(rules.iter().all(|rule| *rule == Rule::Range(InvalidIdRange::Empty { first: 1 })), "{rules:?}");
    let overlapping = vec![extent(0, 5, 2), extent(1, 7, 1)];
    let rule = refused(registered(|wire| wire.uid_mappings = overlapping), "uid_mappings");
    assert!(matches!(rule, Rule::Mappings(InvalidIdMappings::ContainerIdsOverlap { .. })));
    let many = (0..341).map(|nth| extent(nth, nth, 1)).collect();
    let rule = refused(registered(|wire| wire.gid_mappings = many), "gid_mappings");
    assert_eq!(rule, Rule::Mappings(InvalidIdMappings::TooMany));
}

#[test]
fn ranges_beyond_the_greatest_id_are_refused() {
    let range = || Some(Range { first: u32::MAX, count: 1 });
    let rule = refused(told(|wire| wire.uids = range()), "uids");
    assert_eq!(rule, Rule::Range(InvalidIdRange::Overflow { first: u32::MAX, count: 1 }));
    refused(told(|wire| wire.gids = range()), "gids");
}

#[test]
fn offsets_beyond_all_ids_are_refused() {
    let far = i64::from(u32::MAX);
    let chown = |uid_offset, gid_offset| {
        <(ContainerId, IdOffsets)>::try_from(Chown { id: id(), uid_offset, gid_offset })
    };
    let rule = refused(chown(far, 0), "uid_offset");
    assert_eq!(rule, Rule::Offset(OffsetOutOfRange { offset: far }));
    refused(chown(0, i64::MIN), "gid_offset");
}

#[test]
fn unknown_numbers_are_refused_by_name() {
    let shift = Rule::ShiftType(UnknownShiftType { number: 5 });
    assert_eq!(refused(updated(|wire| wire.rootfs_shift = 5), "rootfs_shift"), shift);
    assert_eq!(refused(configured(|wire| wire.rootfs_shift = 5), "rootfs_shift"), shift);
    let wish = |rootfs_shift, kind| {
        let mounts = vec![MountRequest { kind, destination: path("/d") }];
        domain::MountRequests::try_from(MountRequests { id: id(), rootfs_shift, mounts })
    };
    assert_eq!(refused(wish(5, 0), "rootfs_shift"), shift);
    assert_eq!(refused(wish(0, 8), "mounts[0].kind"), Rule::MountKind(UnknownMountKind { number: 8 }));
    let entry = FsEntry { kind: 4, path: path("/e"), mode: 0, target: None };
    let rule = refused(Vec::<domain::FsEntry>::try_from(FsEntries(vec![entry])), "entries[0].kind");
    assert_eq!(rule, Rule::FsEntryKind(UnknownFsEntryKind { number: 4 }));
}

#[test]
fn no_ids_and_no_process_are_refused() {
    let none = domain::SubidRequest::try_from(SubidRequest { id: id(), size: 0 });
    assert_eq!(refused(none, "size"), Rule::SubidSize { size: 0 });
    for pid in [0, -1, i32::MIN] {
        assert_eq!(refused(told(|wire| wire.init_pid = Some(pid)), "init_pid"), Rule::NoPid { pid });
    }
}

#[test]
fn times_that_no_clock_can_say_are_refused() {
    let ages = Duration::from_secs(u64::MAX);
    for (time, seconds) in
        [(Time::Since1970(ages), i128::from(u64::MAX)), (Time::Before1970(ages), -i128::from(u64::MAX))]
    {
        assert_eq!(refused(told(|wire| wire.created = Some(time)), "created"), Rule::Time { seconds });
    }
}

#[test]
fn a_refusal_names_the_field_and_its_cause_is_the_rule() {
    let error = told(|wire| wire.init_pid = Some(0)).expect_err("no process");
    assert_eq!(error.to_string(), "field init_pid is not valid");
    let rule = error.source().expect("the rule");
    assert_eq!(rule.to_string(), "process id 0 is none; give one from 1 on, or leave it out");
}
