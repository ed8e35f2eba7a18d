//! The mounts of every system container, and what they replace.

use serde_json::json;

use super::*;
use crate::syscont::mounts::testing::{
    bind, changed, destinations, mount, mounts, options, spec, spec_at, tmpfs,
};

fn add(spec: &mut Spec) -> Vec<String> {
    changed(|changes| add_system_mounts(spec, changes))
}

#[test]
fn every_system_container_has_sys_cgroups_proc_dev_and_kmsg_with_the_options_of_the_table() {
    let mut spec = spec(json!({}));
    assert_eq!(
        add(&mut spec),
        ["mounts[/sys]", "mounts[/sys/fs/cgroup]", "mounts[/proc]", "mounts[/dev]", "mounts[/dev/kmsg]"]
    );
    let table: Vec<(&str, &str, &str)> = mounts(&spec)
        .iter()
        .map(|mount| {
            let text = |path: &'_ Path| path.to_str().expect("text").to_owned().leak() as &str;
            let kind = mount.typ().as_deref().expect("a type").to_owned().leak() as &str;
            (text(mount.destination()), kind, text(mount.source().as_deref().expect("a source")))
        })
        .collect();
    assert_eq!(
        table,
        [
            ("/sys", "sysfs", "sysfs"),
            ("/sys/fs/cgroup", "cgroup", "cgroup"),
            ("/proc", "proc", "proc"),
            ("/dev", "tmpfs", "tmpfs"),
            ("/dev/kmsg", "bind", "/dev/null"),
        ]
    );
    for of_kernel in ["/sys", "/sys/fs/cgroup", "/proc"] {
        assert_eq!(options(&spec, of_kernel), ["noexec", "nosuid", "nodev"]);
    }
    assert_eq!(options(&spec, "/dev"), ["nosuid", "strictatime", "mode=755", "size=65536k"]);
    assert_eq!(options(&spec, "/dev/kmsg"), ["rbind", "rprivate"]);
}

#[test]
fn system_mounts_replace_all_mounts_at_the_same_destination_however_it_is_spelled() {
    let mut spec = spec(
        json!({ "mounts": [bind("/proc", "/proc"), tmpfs("//dev/"), tmpfs("/proc/."), tmpfs("/proc/x")] }),
    );
    add(&mut spec);
    assert_eq!(mount(&spec, "/proc").typ().as_deref(), Some("proc"));
    assert_eq!(options(&spec, "/dev").len(), 4);
    assert_eq!(mounts(&spec).len(), 6, "what is below stays");
}

#[test]
fn system_mounts_that_are_there_already_change_nothing() {
    let mut spec = spec(json!({}));
    add(&mut spec);
    let converted = spec.clone();
    assert_eq!(add(&mut spec), [""; 0]);
    assert_eq!(spec, converted);
}

#[test]
fn a_read_only_sys_of_docker_becomes_one_that_can_be_written() {
    let docker = json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs",
        "options": ["nosuid", "noexec", "nodev", "ro"] });
    let mut spec = spec(json!({ "root": { "path": "/r" }, "mounts": [docker] }));
    assert!(add(&mut spec).contains(&"mounts[/sys]".to_owned()));
    assert_eq!(options(&spec, "/sys"), ["noexec", "nosuid", "nodev"]);
}

#[test]
fn mounts_below_the_cgroups_go_and_others_that_begin_like_it_stay() {
    let mut spec =
        spec_at(&["/sys/fs/cgroup/systemd", "/sys/fs/cgroup2", "/sys/fs/cgroup//a/b", "/sys/fs/bpf"]);
    let fields = add(&mut spec);
    assert_eq!(fields[..2], ["mounts[/sys/fs/cgroup/systemd]", "mounts[/sys/fs/cgroup//a/b]"]);
    let kept = destinations(&spec);
    assert_eq!(kept[..2], [Path::new("/sys/fs/cgroup2"), Path::new("/sys/fs/bpf")]);
    assert_eq!(kept.len(), 2 + MOUNTS.len());
}

#[test]
fn devices_where_a_system_mount_is_go() {
    let device = |path: &str| json!({ "path": path, "type": "c", "major": 1, "minor": 11 });
    let mut spec = spec(json!({ "linux": { "devices": [device("/dev/fuse"), device("/dev//kmsg")] } }));
    assert!(add(&mut spec).contains(&"linux.devices[/dev//kmsg]".to_owned()));
    let devices = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref()).expect("devices");
    assert_eq!(
        devices.iter().map(|device| device.path().as_path()).collect::<Vec<_>>(),
        [Path::new("/dev/fuse")]
    );
}

#[test]
fn a_destination_is_absolute_without_dotdot_and_nul_and_not_too_long() {
    for wrong in ["", "proc", "./proc", "/a/../proc", "/..", "/a\0", &format!("/{}", "x".repeat(4095))] {
        let error = check_destinations(&spec_at(&["/proc", wrong])).expect_err(wrong);
        assert_eq!(error.field, "mounts[1].destination");
        assert!(error.found.starts_with('"') && !error.rule.is_empty());
    }
}

#[test]
fn a_destination_can_have_a_newline_dots_and_bytes_that_are_no_text() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let mut spec = spec_at(&["/", "/a\nb", "/a/./b", "/a//b/", "/..a", "/no text"]);
    let last = spec.mounts_mut().as_mut().and_then(|mounts| mounts.last_mut()).expect("a mount");
    last.set_destination(OsStr::from_bytes(b"/\xff\xfe").into());
    assert_eq!(check_destinations(&spec), Ok(()));
    assert_eq!(add(&mut spec).len(), MOUNTS.len());
}
