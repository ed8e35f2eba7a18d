//! Which directories of a host are given, by distribution.

use std::fs;

use sysbox_core::MockHostPort;
use tempfile::TempDir;

use super::*;

fn host(release: &'static str) -> MockHostPort {
    let mut host = MockHostPort::new();
    host.expect_kernel_release().returning(move || Ok(release.parse().expect("a release")));
    host
}

fn root(directories: &[&str]) -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for directory in directories {
        fs::create_dir_all(root.path().join(directory)).expect("writable");
    }
    root
}

fn destinations(release: &'static str, directories: &[&str]) -> Vec<String> {
    let root = root(directories);
    let mounts = mounts(&host(release), root.path()).expect("the release is known");
    mounts.iter().map(|mount| mount.destination.to_string()).collect()
}

#[test]
fn headers_of_debian_are_given_with_those_they_lead_to() {
    let found = destinations(
        "6.1.0-18-amd64",
        &[
            "usr/src/linux-headers-6.1.0-18-amd64",
            "usr/src/linux-headers-6.1.0-18-common",
            "usr/src/linux-headers-6.1.0-17-amd64",
            "lib/modules/6.1.0-18-amd64",
        ],
    );
    let wanted = [
        "/usr/src/linux-headers-6.1.0-18-amd64",
        "/usr/src/linux-headers-6.1.0-18-common",
        "/lib/modules/6.1.0-18-amd64",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn headers_of_ubuntu_are_given_with_those_of_all_flavours() {
    let directories = ["usr/src/linux-headers-5.15.0-91-generic", "usr/src/linux-headers-5.15.0-91"];
    let found = destinations("5.15.0-91-generic", &directories);
    assert_eq!(found, directories.map(|directory| format!("/{directory}")));
}

#[test]
fn headers_of_fedora_are_given_read_only_at_the_same_path() {
    let root = root(&["usr/src/kernels/6.6.9-200.fc39.x86_64"]);
    let given = mounts(&host("6.6.9-200.fc39.x86_64"), root.path()).expect("the release is known");
    let path = root.path().join("usr/src/kernels/6.6.9-200.fc39.x86_64");
    let wanted = Mount {
        source: path.to_str().expect("text").to_owned(),
        destination: AbsPath::new("/usr/src/kernels/6.6.9-200.fc39.x86_64").expect("absolute"),
        kind: "bind".to_owned(),
        options: ["rbind", "rprivate", "ro"].map(str::to_owned).into(),
    };
    assert_eq!(given, [wanted]);
}

#[test]
fn a_host_without_any_gives_none() {
    assert!(destinations("6.6.0", &[]).is_empty());
    let root = root(&["usr/src"]);
    fs::write(root.path().join("usr/src/linux-headers-6.6.0"), "a file").expect("writable");
    assert_eq!(mounts(&host("6.6.0"), root.path()).expect("known"), []);
}

#[test]
fn binfmt_misc_is_given_by_kernels_that_have_one_for_each_namespace() {
    let root = root(&["proc/sys/fs/binfmt_misc"]);
    assert_eq!(mounts(&host("6.6.99"), root.path()).expect("known"), []);
    let given = mounts(&host("6.7.0-rc1"), root.path()).expect("known");
    let [mount] = &given[..] else { panic!("one mount: {given:?}") };
    assert_eq!((mount.source.as_str(), mount.kind.as_str()), ("binfmt_misc", "binfmt_misc"));
    assert_eq!(mount.destination.to_string(), "/proc/sys/fs/binfmt_misc");
    assert_eq!(mount.options, ["noexec", "nosuid", "nodev"]);
}

#[test]
fn a_distribution_that_is_like_fedora_keeps_headers_where_fedora_does() {
    let release: KernelRelease = "6.6.0".parse().expect("a release");
    for (text, wanted) in [
        ("ID=fedora", "/usr/src/kernels/6.6.0"),
        ("ID=\"ol\"", "/usr/src/kernels/6.6.0"),
        ("ID=mine\nID_LIKE=\"rhel centos\"", "/usr/src/kernels/6.6.0"),
        ("ID=debian", "/usr/src/linux-headers-6.6.0"),
        ("ID=pop\nID_LIKE=\"ubuntu debian\"", "/usr/src/linux-headers-6.6.0"),
        ("", "/usr/src/linux-headers-6.6.0"),
    ] {
        assert_eq!(directory(&text.parse().expect("os-release"), &release), wanted, "{text}");
    }
}
