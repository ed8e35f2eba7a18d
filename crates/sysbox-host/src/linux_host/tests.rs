//! What the host says, by fixtures of its files.

use super::*;
use std::fs;

/// A host whose files are these.
fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, LinuxHost) {
    let root = tempfile::tempdir().expect("made");
    for (file, text) in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, text).expect("written");
    }
    let host = LinuxHost::with_root(root.path());
    (root, host)
}

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).expect("absolute")
}

const OS_RELEASE: &str = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";

#[test]
fn os_release_is_taken_from_etc_before_usr_lib() {
    let (_root, debian) = host(&[("etc/os-release", OS_RELEASE), ("usr/lib/os-release", "ID=fedora\n")]);
    assert_eq!(debian.os_release().expect("read").id, "debian");
    let (_root, fedora) = host(&[("usr/lib/os-release", "ID=fedora\n")]);
    assert_eq!(fedora.os_release().expect("read").id, "fedora");
    let (_root, none) = host(&[]);
    assert!(none.os_release().is_err());
}

#[test]
fn a_sysctl_is_read_whole_and_a_missing_one_is_none() {
    let long = "1".repeat(5000);
    let (_root, host) = host(&[
        ("proc/sys/user/max_user_namespaces", "15000\n"),
        ("proc/sys/kernel/long", &format!("{long}\n")),
    ]);
    let read = |name: &str| host.sysctl(name).expect("read");
    assert_eq!(read("user.max_user_namespaces").as_deref(), Some("15000"));
    assert_eq!(read("kernel.long"), Some(long));
    assert_eq!(read("kernel.unprivileged_userns_clone"), None);
    assert_eq!(read("user.max_user_namespaces.below"), None);
}

#[test]
fn a_sysctl_name_that_could_leave_proc_sys_is_refused() {
    let (_root, host) = host(&[("etc/os-release", OS_RELEASE)]);
    for name in ["", "..", "a..b", ".a", "a.", "../../etc/os-release", "/etc", "a/b", "a b", "a\0"] {
        let error = host.sysctl(name).expect_err(name);
        assert!(
            std::error::Error::source(&error).is_some_and(|source| source.is::<InvalidSysctl>()),
            "{name:?}"
        );
    }
}

#[test]
fn what_the_running_kernel_says_of_itself_is_read() {
    let host = LinuxHost::new();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("read");
    assert_eq!(host.kernel_release().expect("read").as_str(), release.trim_end());
    let proc = host.file_system(&path("/proc")).expect("found");
    assert_eq!((proc.kind.as_str(), proc.mount_point), ("proc", path("/proc")));
    assert!(host.file_system(&path("/no/such/file")).is_err());
    assert_eq!(host.overlay_layers(&path("/proc")).expect("asked"), None);
}

#[test]
fn a_new_directory_has_its_makers_owner_and_no_record_of_a_shift() {
    let made = tempfile::tempdir().expect("made");
    let dir = AbsPath::new(made.path()).expect("absolute");
    let maker = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert_eq!(LinuxHost::new().owner(&dir).expect("asked"), Owner::new(maker.0, maker.1));
    assert_eq!(LinuxHost::new().tree_record(&dir).expect("asked"), None);
}

#[test]
fn a_namespace_is_told_from_any_other_file() {
    let host = LinuxHost::new();
    let mount = host.namespace(&path("/proc/self/ns/mnt")).expect("one");
    assert_eq!(host.namespace(&path("/proc/thread-self/ns/mnt")).expect("one"), mount);
    assert_ne!(host.namespace(&path("/proc/self/ns/net")).expect("one"), mount);
    for other in ["/etc", "/proc/self/ns", "/no/such/file"] {
        assert!(host.namespace(&path(other)).is_err(), "{other}");
    }
}

#[test]
fn apparmor_answers_from_its_settings() {
    let confined = [
        ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
        ("sys/module/apparmor/parameters/enabled", "Y\n"),
        (
            "sys/kernel/security/apparmor/profiles",
            "/usr/bin/man (enforce)\nfusermount3 (enforce)\nlsb (complain)\n",
        ),
    ];
    let (_root, ubuntu) = host(&confined);
    let (_root, debian) = host(&[]);
    for feature in [Feature::AppArmorUserns, Feature::AppArmorFusermount3] {
        assert!(matches!(ubuntu.probe(&feature), Ok(Support::No { cure: Some(_), .. })), "{feature}");
        assert_eq!(debian.probe(&feature).expect("asked"), Support::Yes, "{feature}");
    }
    let complaining = [confined[1], ("sys/kernel/security/apparmor/profiles", "fusermount3 (complain)\n")];
    let (_root, complaining) = host(&complaining);
    assert_eq!(complaining.probe(&Feature::AppArmorFusermount3).expect("asked"), Support::Yes);
    let (_root, unmounted) = host(&confined[1..2]);
    assert!(
        unmounted.probe(&Feature::AppArmorFusermount3).is_err(),
        "profiles that cannot be seen are not taken for none"
    );
}

#[test]
fn shiftfs_is_not_tried_where_the_kernel_does_not_list_it() {
    let (_root, host) = host(&[("proc/filesystems", "nodev\tsysfs\n\text4\nnodev\tshiftfs2\n")]);
    assert!(matches!(host.probe(&Feature::Shiftfs), Ok(Support::No { .. })));
    assert!(lists("nodev\tsysfs\n\text4\n", "ext4") && !lists("nodev\tsysfs\n", "nodev"));
}
