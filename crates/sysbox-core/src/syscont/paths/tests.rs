//! Masked and read-only paths lose what is in the way, and keep all else.

use serde_json::json;

use super::*;

const SH: &str = "/bin/sh";
const SYSTEMD: &str = "/sbin/init";

#[derive(Debug, PartialEq, Eq)]
struct Completed {
    masked: Option<Vec<String>>,
    read_only: Option<Vec<String>>,
    noted: Vec<String>,
}

fn spec(program: &str, rootfs_is_read_only: bool, masked: &[&str], read_only: &[&str]) -> Spec {
    serde_json::from_value(json!({
        "ociVersion": "1.0.2",
        "root": { "path": "/r", "readonly": rootfs_is_read_only },
        "process": { "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": [program] },
        "linux": { "maskedPaths": masked, "readonlyPaths": read_only },
    }))
    .expect("a spec")
}

/// What becomes of a spec; checks that it is noted when something changes, and only then, and that nothing does a second time.
fn completed(mut spec: Spec, config: &ContainerConfig, emulated: bool) -> Completed {
    let files = emulated.then(|| AbsPath::new("/var/lib/sysboxfs/c1").expect("absolute"));
    let (before, mut changes) = (spec.clone(), Changes::default());
    complete_paths(&mut spec, config, files.as_ref(), &mut changes);
    assert_eq!(changes.is_empty(), spec == before);
    let (once, mut again) = (spec.clone(), Changes::default());
    complete_paths(&mut spec, config, files.as_ref(), &mut again);
    assert_eq!((&spec, again.is_empty()), (&once, true));
    let linux = spec.linux().as_ref().expect("there");
    Completed {
        masked: linux.masked_paths().clone(),
        read_only: linux.readonly_paths().clone(),
        noted: changes.iter().map(|change| change.field.clone().into_owned()).collect(),
    }
}

fn list(paths: &[&str]) -> Option<Vec<String>> {
    Some(paths.iter().map(|path| String::from(*path)).collect())
}

fn in_syscont_mode() -> ContainerConfig {
    ContainerConfig::default()
}

#[test]
fn masked_paths_lose_what_a_system_container_sees_of_proc() {
    let masked = [
        "/proc/acpi",
        "/proc/kcore",
        "/proc",
        "/proc/sys",
        "/proc/keys",
        "/proc/kallsyms",
        "/proc/kmsg",
        "/run",
    ];
    let done = completed(spec(SH, false, &masked, &[]), &in_syscont_mode(), false);
    assert_eq!(done.masked, list(&["/proc/acpi", "/proc/keys", "/run"]));
    let noted = ["/proc/kcore", "/proc", "/proc/sys", "/proc/kallsyms", "/proc/kmsg"];
    assert_eq!(done.noted, noted.map(|path| format!("linux.maskedPaths[{path}]")));
}

#[test]
fn read_only_paths_lose_proc_and_proc_sys() {
    let paths = ["/proc/bus", "/proc/sys", "/proc", "/proc/kcore", "/run"];
    let done = completed(spec(SH, false, &[], &paths), &in_syscont_mode(), true);
    assert_eq!(done.read_only, list(&["/proc/bus", "/proc/kcore", "/run"]));
    assert_eq!(done.noted, ["linux.readonlyPaths[/proc/sys]", "linux.readonlyPaths[/proc]"]);
}

#[test]
fn with_systemd_both_lose_what_it_mounts_or_writes_to() {
    let paths = ["/run", "/run/lock", "/tmp", "/sys/kernel", "/sys/firmware", "/run/user"];
    let done = completed(spec(SYSTEMD, false, &paths, &paths), &in_syscont_mode(), false);
    assert_eq!(done.masked, list(&["/sys/firmware", "/run/user"]));
    assert_eq!(done.read_only, done.masked);
    assert_eq!(completed(spec(SH, false, &paths, &paths), &in_syscont_mode(), false).noted, [""; 0]);
}

#[test]
fn paths_are_compared_as_paths_and_a_list_that_becomes_empty_stays_a_list() {
    let done =
        completed(spec(SH, false, &["/proc/", "//proc/./kcore"], &["/proc/sys/"]), &in_syscont_mode(), false);
    assert_eq!((done.masked, done.read_only), (list(&[]), list(&[])));
    assert_eq!(done.noted.first().map(String::as_str), Some("linux.maskedPaths[/proc/]"));
}

#[test]
fn lists_that_a_spec_does_not_have_are_not_made() {
    let bare: Spec =
        serde_json::from_str(r#"{"ociVersion":"1.0.2","root":{"path":"/r"},"linux":{}}"#).expect("a spec");
    let done = completed(bare, &in_syscont_mode(), true);
    assert_eq!((done.masked, done.read_only), (None, None));
}

#[test]
fn nothing_is_taken_off_outside_of_system_container_mode() {
    let config = ContainerConfig { syscont_mode: false, ..ContainerConfig::default() };
    let done = completed(spec(SYSTEMD, false, &["/proc", "/run"], &["/proc/sys", "/tmp"]), &config, true);
    assert_eq!(done.noted, [""; 0]);
}

#[test]
fn what_sysbox_fs_emulates_is_read_only_at_the_end_where_the_rootfs_is() {
    for syscont_mode in [true, false] {
        let config = ContainerConfig { syscont_mode, ..ContainerConfig::default() };
        let done = completed(spec(SH, true, &[], &["/proc/sys", "/proc/bus"]), &config, true);
        let expected: Vec<_> = ["/proc/bus"].into_iter().chain(EMULATED_PATHS).collect();
        assert_eq!(done.read_only, list(&expected));
        assert_eq!(done.noted, EMULATED_PATHS.map(|path| format!("linux.readonlyPaths[{path}]")));
    }
    let without_fs = completed(spec(SH, true, &[], &["/proc/bus"]), &in_syscont_mode(), false);
    assert_eq!(without_fs.noted, [""; 0]);
}

#[test]
fn what_sysbox_fs_emulates_can_be_written_where_the_manager_is_relaxed() {
    let relaxed = ContainerConfig { relaxed_read_only: true, ..ContainerConfig::default() };
    let done = completed(spec(SH, true, &[], &["/proc/sys", "/proc/bus"]), &relaxed, true);
    assert_eq!(done.read_only, list(&["/proc/bus"]));
    assert_eq!(done.noted, ["linux.readonlyPaths[/proc/sys]"]);
}

#[test]
fn proc_sys_that_is_read_only_at_its_place_already_is_not_noted() {
    let paths: Vec<_> = ["/proc/bus"].into_iter().chain(EMULATED_PATHS).collect();
    let done = completed(spec(SYSTEMD, true, &[], &paths), &in_syscont_mode(), true);
    assert_eq!((done.read_only, done.noted.len()), (list(&paths), 0));
}

#[test]
fn what_sysbox_fs_emulates_is_there_once() {
    let paths: Vec<_> = EMULATED_PATHS.into_iter().chain(["/proc/sys/"]).chain(EMULATED_PATHS).collect();
    let done = completed(spec(SH, true, &[], &paths), &in_syscont_mode(), true);
    assert_eq!(done.read_only, list(&EMULATED_PATHS));
}

#[test]
fn odd_paths_make_no_panic_and_stay() {
    let odd = ["", "\0", "/proc\n", "..", "/proc/../proc", "/proc/sys/..", "proc"];
    let done = completed(spec("", true, &odd, &odd), &in_syscont_mode(), false);
    assert_eq!((done.masked, done.read_only), (list(&odd), list(&odd)));
}
