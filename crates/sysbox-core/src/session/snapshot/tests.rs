//! States go out and come back unchanged, and those of the Go runtime come in.

use std::sync::Arc;

use super::*;
use crate::{MockFsPort, MockMgrPort};

/// As sysbox-runc writes it, with the fields of runc's own state around ours.
const GO_STATE: &str = r#"{
  "id": "9f2c", "init_process_pid": 4711, "rootless": false,
  "sys_mgr": {
    "Active": true, "Id": "9f2c",
    "Config": {
      "AliasDns": true, "ShiftfsOk": false, "ShiftfsOnOverlayfsOk": false, "IDMapMountOk": true,
      "OverlayfsOnIDMapMountOk": true, "NoRootfsCloning": false, "IgnoreSysfsChown": false,
      "AllowTrustedXattr": true, "HonorCaps": false, "SyscontMode": true, "Userns": "",
      "UidMappings": [{"containerID": 0, "hostID": 231072, "size": 65536}], "GidMappings": null,
      "FsuidMapFailOnErr": false, "RootfsUidShiftType": 2, "NoShiftfsOnFuse": false, "RelaxedReadOnly": true
    }
  },
  "sys_fs": {"Active": true, "Id": "9f2c", "PreReg": true, "Reg": true, "Mountpoint": "/var/lib/sysboxfs"},
  "cgroup_paths": {}
}"#;

fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

fn ports() -> Ports {
    Ports { mgr: Some(Arc::new(MockMgrPort::new())), fs: Some(Arc::new(MockFsPort::new())), seccomp: None }
}

#[test]
fn the_state_file_of_the_go_runtime_is_restored() {
    let snapshot = Snapshot::from_go_state(GO_STATE).expect("readable");
    let sysbox = Sysbox::restore(&snapshot, ports()).expect("valid");
    assert_eq!(sysbox.id().as_str(), "9f2c");
    assert!(sysbox.mgr.is_registered() && sysbox.fs.is_registered());
    assert_eq!(sysbox.fs.mountpoint(), Some(&path("/var/lib/sysboxfs")));
    let expected = ContainerConfig {
        idmap_mount_ok: true,
        overlayfs_on_idmap_mount_ok: true,
        relaxed_read_only: true,
        uid_mappings: IdMappings::new([IdMapping::new(0, 231_072, 65_536).expect("valid")]).expect("valid"),
        rootfs_shift: ShiftType::IdMappedMount,
        ..ContainerConfig::default()
    };
    assert_eq!(sysbox.mgr.config(), &expected);
}

#[test]
fn stages_of_the_go_runtime_are_kept() {
    let only_pre = GO_STATE.replace(r#""Reg": true"#, r#""Reg": false"#);
    let snapshot = Snapshot::from_go_state(&only_pre).expect("readable");
    assert_eq!(snapshot.fs.stage, FsStage::PreRegistered);
    let inactive = GO_STATE.replace(r#""Active": true"#, r#""Active": false"#);
    let sysbox =
        Sysbox::restore(&Snapshot::from_go_state(&inactive).expect("readable"), ports()).expect("valid");
    assert!(!sysbox.mgr.enabled() && !sysbox.fs.enabled() && !sysbox.mgr.is_registered());
}

#[test]
fn everything_survives_the_way_through_a_state_file() {
    let mut before = Sysbox::new("c1".parse().expect("valid"), ports());
    before.mgr.stage = mgr::Stage::Registered;
    before.mgr.rootfs = Rootfs::ClonedAndChowned(path("/var/lib/clones/ü"));
    before.mgr.config = ContainerConfig {
        alias_dns: false,
        shiftfs_ok: true,
        honor_caps: true,
        userns: Some(path("/proc/7/ns/user")),
        gid_mappings: IdMappings::new([IdMapping::new(0, u32::MAX - 10, 9).expect("valid")]).expect("valid"),
        rootfs_shift: ShiftType::Chown,
        ..ContainerConfig::default()
    };
    before.fs.stage = fs::Stage::PreRegistered;
    let json = serde_json::to_string(&before.snapshot()).expect("plain data");
    let snapshot: Snapshot = serde_json::from_str(&json).expect("as written");
    let after = Sysbox::restore(&snapshot, ports()).expect("valid");
    assert_eq!(after.snapshot(), before.snapshot());
    assert_eq!(after.mgr.config(), before.mgr.config());
    assert_eq!(after.mgr.cloned_rootfs(), Some(&path("/var/lib/clones/ü")));
    assert!(after.mgr.is_cloned_rootfs_chowned());
}

#[test]
fn a_state_of_a_later_version_or_with_broken_fields_is_refused() {
    let good = Sysbox::new("c1".parse().expect("valid"), ports()).snapshot();
    let restore = |snapshot: &Snapshot| Sysbox::restore(snapshot, ports());
    let later = Snapshot { version: 2, ..good.clone() };
    assert!(matches!(restore(&later), Err(RestoreError::Version { found: 2 })));
    let no_id = Snapshot { id: "../x".to_owned(), ..good.clone() };
    assert!(matches!(restore(&no_id), Err(RestoreError::Field { field: "id", .. })));
    let mut bad_shift = good.clone();
    bad_shift.mgr.config.rootfs_uid_shift_type = 9;
    assert!(matches!(restore(&bad_shift), Err(RestoreError::Field { field: "RootfsUidShiftType", .. })));
    let mut bad_mapping = good;
    bad_mapping.mgr.config.uid_mappings = Some(vec![MappingState { container_id: 0, host_id: 1, size: 0 }]);
    assert!(matches!(restore(&bad_mapping), Err(RestoreError::Field { field: "UidMappings", .. })));
}

#[test]
fn a_container_made_with_a_daemon_is_not_restored_without_a_backend_for_it() {
    let snapshot = Sysbox::new("c1".parse().expect("valid"), ports()).snapshot();
    let without = Ports { mgr: None, ..ports() };
    assert!(matches!(
        Sysbox::restore(&snapshot, without),
        Err(RestoreError::NoBackend { daemon: "sysbox-mgr" })
    ));
}
