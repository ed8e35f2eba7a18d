//! What sysbox-fs emulates is mounted, once, from the directory of the container.

use serde_json::json;

use super::*;
use crate::syscont::mounts::{
    complete_read_only,
    testing::{abs, bind, changed, destinations, mount, options, spec},
};

fn add(spec: &mut Spec) -> Vec<String> {
    changed(|changes| add_emulated(spec, &abs("/var/lib/sysboxfs/c1"), changes))
}

#[test]
fn what_sysbox_fs_emulates_is_bound_from_the_directory_of_the_container() {
    let mut spec = spec(json!({}));
    assert_eq!(add(&mut spec).len(), EMULATED_PATHS.len());
    assert_eq!(destinations(&spec), EMULATED_PATHS.map(Path::new));
    for path in EMULATED_PATHS {
        let mount = mount(&spec, path);
        assert_eq!(mount.typ().as_deref(), Some("bind"));
        let source = mount.source().as_deref().and_then(Path::to_str);
        assert_eq!(source, Some(&*format!("/var/lib/sysboxfs/c1{path}")));
        assert_eq!(options(&spec, path), ["rbind", "rprivate"]);
    }
    assert_eq!(add(&mut spec), [""; 0]);
}

#[test]
fn emulated_files_replace_what_the_spec_mounts_there() {
    let mut spec = spec(json!({ "mounts": [bind("/proc/sys", "/of-user"), bind("/proc/sys/fs", "/below")] }));
    assert!(add(&mut spec).contains(&"mounts[/proc/sys]".to_owned()));
    let source = |at| mount(&spec, at).source().as_deref().and_then(Path::to_str);
    assert_eq!(source("/proc/sys"), Some("/var/lib/sysboxfs/c1/proc/sys"));
    assert_eq!(source("/proc/sys/fs"), Some("/below"));
}

#[test]
fn in_a_read_only_rootfs_those_below_sys_are_read_only_and_stay_so_in_another_conversion() {
    let mut spec = spec(json!({ "root": { "path": "/r", "readonly": true } }));
    add(&mut spec);
    complete_read_only(&mut spec, false, &mut Changes::default());
    assert_eq!(options(&spec, "/sys/kernel"), ["rbind", "rprivate", "ro"]);
    assert_eq!(options(&spec, "/proc/sys"), ["rbind", "rprivate"]);
    assert_eq!(add(&mut spec), [""; 0]);
}
