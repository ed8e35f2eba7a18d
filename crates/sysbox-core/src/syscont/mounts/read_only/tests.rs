//! What a read-only rootfs takes.

use serde_json::{Value, json};

use super::*;
use crate::syscont::mounts::{
    add_system_mounts,
    testing::{bind, changed, is_mounted, options, spec, tmpfs},
};

fn complete(spec: &mut Spec, relaxed: bool) -> Vec<String> {
    changed(|changes| complete_read_only(spec, relaxed, changes))
}

fn read_only(mounts: &Value) -> Spec {
    spec(json!({ "root": { "path": "/r", "readonly": true }, "mounts": mounts }))
}

fn sysfs(options: &[&str]) -> Value {
    json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options })
}

#[test]
fn a_rootfs_that_can_be_written_takes_nothing() {
    for root in [json!({ "path": "/r" }), json!({ "path": "/r", "readonly": false }), Value::Null] {
        let mut spec = spec(json!({ "root": root, "mounts": [sysfs(&["ro"])] }));
        let given = spec.clone();
        assert_eq!(complete(&mut spec, false), [""; 0]);
        assert_eq!(complete(&mut spec, true), [""; 0]);
        assert_eq!(spec, given);
    }
}

#[test]
fn a_read_only_rootfs_has_a_tmpfs_at_run_and_tmp() {
    let mut spec = read_only(&Value::Null);
    assert_eq!(complete(&mut spec, false), ["mounts[/run]", "mounts[/tmp]"]);
    for (at, mode) in [("/run", "mode=755"), ("/tmp", "mode=1777")] {
        assert_eq!(options(&spec, at), ["rw", "rprivate", "noexec", "nosuid", "nodev", mode, "size=64m"]);
    }
    assert_eq!(complete(&mut spec, false), [""; 0]);
}

#[test]
fn what_the_spec_mounts_at_run_or_tmp_stays_whatever_it_is() {
    let mut spec = read_only(&json!([bind("/run/", "/of-user"), tmpfs("/tmp/below")]));
    assert_eq!(complete(&mut spec, false), ["mounts[/tmp]"]);
    assert_eq!(options(&spec, "/run"), ["rbind"]);
    assert!(is_mounted(&spec, "/tmp/below"));
}

#[test]
fn in_a_read_only_rootfs_mounts_at_and_below_sys_are_read_only() {
    let mut spec = read_only(&json!([
        sysfs(&["nosuid", "rw", "nodev"]),
        bind("/sys/kernel", "/k"),
        bind("/system", "/s")
    ]));
    assert_eq!(complete(&mut spec, false)[..2], ["mounts[/sys]", "mounts[/sys/kernel]"]);
    assert_eq!(options(&spec, "/sys"), ["nosuid", "ro", "nodev"]);
    assert_eq!(options(&spec, "/sys/kernel"), ["rbind", "ro"]);
    assert_eq!(options(&spec, "/system"), ["rbind"], "it is not below /sys");
    assert_eq!(complete(&mut spec, false), [""; 0]);
}

#[test]
fn where_the_manager_is_relaxed_mounts_at_and_below_sys_can_be_written() {
    let mut spec = read_only(&json!([sysfs(&["ro", "nosuid"]), bind("/sys/kernel", "/k"), tmpfs("/sys/x")]));
    assert_eq!(complete(&mut spec, true)[..3], ["mounts[/sys]", "mounts[/sys/kernel]", "mounts[/sys/x]"]);
    assert_eq!(options(&spec, "/sys"), ["rw", "nosuid"]);
    assert_eq!(options(&spec, "/sys/kernel"), ["rbind", "rw"]);
    assert_eq!(options(&spec, "/sys/x"), ["rw"]);
    assert_eq!(complete(&mut spec, true), [""; 0]);
}

#[test]
fn what_replaces_a_mount_outside_of_sys_has_not_its_access() {
    let proc = json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["ro"] });
    let mut spec = read_only(&json!([proc, sysfs(&["ro"])]));
    add_system_mounts(&mut spec, &mut Changes::default());
    assert_eq!(options(&spec, "/proc"), ["noexec", "nosuid", "nodev"]);
    assert_eq!(options(&spec, "/sys"), ["noexec", "nosuid", "nodev", "ro"]);
}

#[test]
fn of_several_options_that_say_who_can_write_one_is_left() {
    let mut spec = read_only(&json!([sysfs(&["rw", "ro", "nodev", "rw"])]));
    complete(&mut spec, false);
    assert_eq!(options(&spec, "/sys"), ["ro", "nodev"]);
}
