//! Our clients talk with daemons in Python: every call, each value said twice, here in the types of the ports and in
//! `tests/interop/calls.json` in those of the contract.

#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

use std::{
    fs::File,
    io::{Read, pipe},
    num::NonZeroU32,
    os::fd::AsFd,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use sysbox::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, ErrorKind, FsEntry, FsEntryKind, FsPort,
    FsStateRequest, HostGid, HostUid, IdMapping, IdMappings, IdOffset, IdOffsets, IdRange, MgrPort, Mount,
    MountKind, MountRequest, MountRequests, MountToPrepare, MountsToPrepare, Registration, SeccompPort,
    ShiftType, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids, Update,
    blocking::wait,
    grpc::{ClientOptions, GrpcFs, GrpcMgr},
    port::SeccompInit,
    seccomp::{self, SeccompClient},
};
use sysbox_tests::foreign::{ForeignDaemons, script};
use tempfile::TempDir;

/// Daemons in Python, and our clients of them.
struct Stage {
    daemons: ForeignDaemons,
    mgr: GrpcMgr,
    fs: GrpcFs,
    dir: TempDir,
}

impl Stage {
    fn new() -> Self {
        let dir = TempDir::with_prefix("sysbox-interop-").expect("a temporary directory");
        let daemons = ForeignDaemons::start(dir.path(), "calls.json", &[]);
        let mgr = GrpcMgr::new(absolute(dir.path().join("sysmgr.sock")), ClientOptions::default());
        let fs = GrpcFs::new(absolute(dir.path().join("sysfs.sock")), ClientOptions::default());
        Self { daemons, mgr, fs, dir }
    }

    fn seccomp_socket(&self) -> AbsPath {
        absolute(self.dir.path().join("sysfs-seccomp.sock"))
    }

    /// Fails unless the daemons were asked what the script says of a method and an id, and nothing else since.
    #[track_caller]
    fn assert_asked(&self, method: &str, id: &str) {
        let asked = self.daemons.asked();
        let last = asked.last().expect("they were asked");
        assert!(last["method"].as_str().is_some_and(|asked| asked.ends_with(method)), "{method}: {last}");
        assert_eq!(last["data"], last["canonical"], "{method}");
        let request = |call: &Value| {
            let is_it = call["method"].as_str().is_some_and(|name| name.ends_with(method));
            let own = &call["request"];
            (is_it && (own["id"] == id || own["Id"] == id || own == &json!({}))).then(|| own.clone())
        };
        let wanted = script("calls.json").iter().find_map(request);
        assert_eq!(Some(&last["request"]), wanted.as_ref(), "{method}");
    }
}

fn absolute(path: impl Into<std::path::PathBuf>) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

fn id(id: &str) -> ContainerId {
    id.parse().expect("valid")
}

fn mappings<const N: usize>(extents: [(u32, u32, u32); N]) -> IdMappings {
    let extents =
        extents.map(|(inside, outside, size)| IdMapping::new(inside, outside, size).expect("valid"));
    IdMappings::new(extents).expect("none overlaps")
}

fn offsets(uid: i64, gid: i64) -> IdOffsets {
    let offset = |offset| IdOffset::new(offset).expect("small");
    IdOffsets { uid: offset(uid), gid: offset(gid) }
}

#[test]
fn a_registration_and_the_config_that_is_its_answer_keep_every_field() {
    let stage = Stage::new();
    let full = Registration {
        id: id("full"),
        rootfs: absolute("/var/lib/röt fs/%2F"),
        userns: Some(absolute("/proc/11/ns/user")),
        netns: Some(absolute("/run/netns/blau")),
        uid_mappings: mappings([(0, 165_536, 65_536), (4_294_967_294, 4_294_967_293, 1)]),
        gid_mappings: mappings([(1, 231_072, 65_535)]),
    };
    let config = wait(stage.mgr.register(&full)).expect("answered");
    stage.assert_asked("/Register", "full");
    let all = ContainerConfig {
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
        userns: Some(absolute("/proc/12/ns/user")),
        uid_mappings: mappings([(0, 300_000, 1000), (1000, 400_000, 2)]),
        gid_mappings: mappings([(5, 2_147_483_648, 2_147_483_647)]),
        rootfs_shift: ShiftType::Chown,
    };
    assert_eq!(config, all);

    let none = IdMappings::default;
    let (rootfs, uid_mappings, gid_mappings) = (absolute("/"), none(), none());
    let least =
        Registration { id: id("least"), rootfs, userns: None, netns: None, uid_mappings, gid_mappings };
    let config = wait(stage.mgr.register(&least)).expect("answered");
    stage.assert_asked("/Register", "least");
    let off = ContainerConfig {
        alias_dns: false,
        allow_trusted_xattr: false,
        syscont_mode: false,
        ..Default::default()
    };
    assert_eq!(config, off);
}

#[test]
fn updates_ids_and_the_calls_that_name_only_a_container_arrive_as_they_were_said() {
    let stage = Stage::new();
    let full = Update {
        id: id("full"),
        userns: Some(absolute("/proc/13/ns/user")),
        netns: Some(absolute("/proc/13/ns/net")),
        uid_mappings: mappings([(0, 165_536, 65_536)]),
        gid_mappings: mappings([(0, 231_072, 65_536), (70_000, 7, 1)]),
        rootfs_shift: ShiftType::IdMappedMount,
    };
    wait(stage.mgr.update(&full)).expect("answered");
    stage.assert_asked("/Update", "full");

    let request = SubidRequest { id: id("full"), size: NonZeroU32::MAX };
    let subids = wait(stage.mgr.alloc_subids(&request)).expect("answered");
    stage.assert_asked("/SubidAlloc", "full");
    assert_eq!(subids, Subids { uid: HostUid(3_000_000_000), gid: HostGid(4_294_901_760) });
    let request = SubidRequest { id: id("least"), size: NonZeroU32::MIN };
    assert_eq!(
        wait(stage.mgr.alloc_subids(&request)).expect("answered"),
        Subids { uid: HostUid(0), gid: HostGid(0) }
    );

    wait(stage.mgr.pause(&id("full"))).expect("answered");
    stage.assert_asked("/Pause", "full");
    wait(stage.mgr.resume(&id("full"))).expect("answered");
    stage.assert_asked("/Resume", "full");
    wait(stage.mgr.unregister(&id("full"))).expect("answered");
    stage.assert_asked("/Unregister", "full");
    let refused = wait(stage.mgr.remove(&id("full"))).expect_err("Sysbox's own manager has no such call");
    assert_eq!(refused.kind, ErrorKind::Unimplemented);
}

#[test]
fn mounts_marks_and_entries_keep_every_field() {
    let stage = Stage::new();
    let source = |source, exclusive| MountToPrepare { source: absolute(source), exclusive };
    let prepare = MountsToPrepare {
        id: id("full"),
        uid: HostUid(3_000_000_001),
        gid: HostGid(3_000_000_002),
        mounts: vec![source("/srv/a", true), source("/srv/b", false)],
    };
    wait(stage.mgr.prep_mounts(&prepare)).expect("answered");
    stage.assert_asked("/PrepMounts", "full");

    let destinations = [
        "/var/lib/docker",
        "/var/lib/kubelet",
        "/var/lib/k0s",
        "/var/lib/rancher/k3s",
        "/var/lib/rancher/rke2",
        "/var/lib/buildkit",
        "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs",
        "/usr/src/linux-headers-6.18",
    ];
    let mounts = MountKind::ALL.into_iter().zip(destinations);
    let mounts = mounts.map(|(kind, destination)| MountRequest { kind, destination: absolute(destination) });
    let rootfs_shift = ShiftType::IdMappedMountOrShiftfs;
    let request = MountRequests { id: id("full"), rootfs_shift, mounts: mounts.collect() };
    let mounts = wait(stage.mgr.req_mounts(&request)).expect("answered");
    stage.assert_asked("/ReqMounts", "full");
    let mount = |source: &str, destination, kind: &str, options: &[&str]| Mount {
        source: source.to_owned(),
        destination: absolute(destination),
        kind: kind.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    };
    let expected = [
        mount("/var/lib/sysbox/docker/full", "/var/lib/docker", "bind", &["rbind", "rprivate"]),
        mount("tmpfs", "/mnt/zwölf", "tmpfs", &["size=64m"]),
        mount("", "/proc/sys/fs/binfmt_misc", "", &[]),
    ];
    assert_eq!(mounts, expected);

    let mark = |source, readonly| ShiftfsMark { source: absolute(source), readonly };
    let marks = ShiftfsMarks { id: id("full"), marks: vec![mark("/srv/a", true), mark("/srv/b", false)] };
    let marked = wait(stage.mgr.req_shiftfs_mark(&marks)).expect("answered");
    stage.assert_asked("/ReqShiftfsMark", "full");
    assert_eq!(marked, [mark("/run/a", false), mark("/run/b", true)]);

    let request = FsStateRequest { id: id("full"), rootfs: absolute("/var/lib/clone") };
    let entries = wait(stage.mgr.req_fs_state(&request)).expect("answered");
    stage.assert_asked("/ReqFsState", "full");
    let entry = |kind, path, mode, target: Option<&str>| FsEntry {
        kind,
        path: absolute(path),
        mode,
        target: target.map(str::to_owned),
    };
    let expected = [
        entry(FsEntryKind::File, "/etc/file", 0o644, None),
        entry(FsEntryKind::Dir, "/usr/src/linux", 0o7777, None),
        entry(FsEntryKind::Softlink, "/usr/src/link", 0o777, Some("../linux")),
    ];
    assert_eq!(entries, expected);
}

#[test]
fn a_cloned_rootfs_is_named_and_its_offsets_may_be_negative() {
    let stage = Stage::new();
    let rootfs = wait(stage.mgr.clone_rootfs(&id("full"))).expect("answered");
    stage.assert_asked("/ReqCloneRootfs", "full");
    assert_eq!(rootfs, absolute("/var/lib/sysbox/rootfs/full/top/merged"));
    let (most, least) = (i64::from(i32::MAX), i64::from(i32::MIN));
    wait(stage.mgr.chown_cloned_rootfs(&id("full"), offsets(most, least))).expect("answered");
    stage.assert_asked("/ChownClonedRootfs", "full");
    wait(stage.mgr.chown_cloned_rootfs(&id("least"), offsets(0, 0))).expect("answered");
    stage.assert_asked("/ChownClonedRootfs", "least");
    wait(stage.mgr.revert_cloned_rootfs_chown(&id("full"))).expect("answered");
    stage.assert_asked("/RevertClonedRootfsChown", "full");
}

#[test]
fn what_the_fs_daemon_is_told_keeps_every_field_and_always_has_a_time() {
    let stage = Stage::new();
    assert_eq!(wait(stage.fs.mountpoint()).expect("answered"), absolute("/var/lib/sysboxfs"));
    stage.assert_asked("/GetMountpoint", "");
    wait(stage.fs.pre_register(&ContainerData::new(id("least")))).expect("it refuses one without a time");
    stage.assert_asked("/ContainerPreRegistration", "least");
    let full = ContainerData {
        id: id("full"),
        init_pid: Some(i32::MAX),
        hostname: Some("wirt-1".to_owned()),
        created: Some(SystemTime::UNIX_EPOCH - Duration::new(1, 1)),
        uids: Some(IdRange::new(165_536, 65_536).expect("valid")),
        gids: Some(IdRange::new(2_147_483_647, 2_147_483_647).expect("valid")),
        proc_ro_paths: vec![absolute("/proc/bus"), absolute("/proc/irq")],
        proc_mask_paths: vec![absolute("/proc/kcore")],
        netns: Some(absolute("/run/netns/blau")),
    };
    wait(stage.fs.register(&full)).expect("answered");
    stage.assert_asked("/ContainerRegistration", "full");
    // 2026-02-28T23:59:59 and a nanosecond.
    let created = Some(SystemTime::UNIX_EPOCH + Duration::new(1_772_323_199, 1));
    wait(stage.fs.update(&ContainerData { created, ..ContainerData::new(id("full")) })).expect("answered");
    stage.assert_asked("/ContainerUpdate", "full");
    let netns = Some(absolute("/run/netns/blau"));
    wait(stage.fs.unregister(&ContainerData { netns, ..ContainerData::new(id("full")) })).expect("answered");
    stage.assert_asked("/ContainerUnregistration", "full");
}

#[test]
fn every_code_of_an_error_and_its_text_come_back() {
    let stage = Stage::new();
    for (code, kind) in [
        ("CANCELLED", ErrorKind::Cancelled),
        ("UNKNOWN", ErrorKind::Unknown),
        ("INVALID_ARGUMENT", ErrorKind::InvalidArgument),
        ("DEADLINE_EXCEEDED", ErrorKind::DeadlineExceeded),
        ("NOT_FOUND", ErrorKind::NotFound),
        ("ALREADY_EXISTS", ErrorKind::AlreadyExists),
        ("PERMISSION_DENIED", ErrorKind::PermissionDenied),
        ("RESOURCE_EXHAUSTED", ErrorKind::ResourceExhausted),
        ("FAILED_PRECONDITION", ErrorKind::FailedPrecondition),
        ("ABORTED", ErrorKind::Aborted),
        ("OUT_OF_RANGE", ErrorKind::OutOfRange),
        ("UNIMPLEMENTED", ErrorKind::Unimplemented),
        ("INTERNAL", ErrorKind::Internal),
        ("UNAVAILABLE", ErrorKind::Unavailable),
        ("DATA_LOSS", ErrorKind::DataLoss),
        ("UNAUTHENTICATED", ErrorKind::Unauthenticated),
    ] {
        let failing = format!("fail-{code}");
        let error = wait(stage.mgr.pause(&id(&failing))).expect_err(code);
        assert_eq!((error.kind, error.message), (kind, format!("Pause für {failing} geht nicht")));
        let error = wait(stage.fs.unregister(&ContainerData::new(id(&failing)))).expect_err(code);
        assert_eq!(
            (error.kind, error.message),
            (kind, format!("ContainerUnregistration für {failing} geht nicht"))
        );
    }
}

#[test]
fn a_seccomp_descriptor_is_taken_by_a_reader_of_a_hundred_bytes() {
    let stage = Stage::new();
    let options = seccomp::ClientOptions::default();
    let client = SeccompClient::new(stage.seccomp_socket(), options);
    let longest = "x".repeat(100 - r#"{"pid":7654321,"cntrId":""}"#.len());
    for (id_text, blocking) in [("web-1", false), ("web-2", true), (&longest, false)] {
        let request = SeccompInit { pid: 7_654_321, id: id(id_text) };
        let (mut read, write) = pipe().expect("a pipe");
        if blocking {
            seccomp::blocking::send_init(&stage.seccomp_socket(), &request, write.as_fd(), options)
        } else {
            wait(client.send_init(&request, write.as_fd()))
        }
        .expect("taken");
        drop(write);
        // The daemon has written it into the descriptor that it got, and has closed that.
        let mut text = String::new();
        read.read_to_string(&mut text).expect("readable");
        assert_eq!(text, id_text);
        let taken = stage.daemons.asked().pop().expect("it was told");
        let message: Value = serde_json::from_str(taken["seccomp"].as_str().expect("text")).expect("JSON");
        assert_eq!(message, json!({ "pid": 7_654_321, "cntrId": id_text }));
        assert_eq!(taken["fds"].as_array().map(Vec::len), Some(1));
        assert_eq!(taken["truncated"], json!(false));
    }
    let file = File::open("/dev/null").expect("there");
    let refused = |id_text: &str| {
        let request = SeccompInit { pid: 7_654_321, id: id(id_text) };
        wait(client.send_init(&request, file.as_fd())).expect_err(id_text).kind
    };
    assert_eq!(refused(&format!("{longest}x")), ErrorKind::InvalidArgument);
}
