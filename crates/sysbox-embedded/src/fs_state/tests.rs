//! Which entries a rootfs gets, by the distributions of both.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use sysbox_core::MockHostPort;
use tempfile::TempDir;

use super::*;

const RELEASE: &str = "6.6.0-1-generic";
const DEBIANS: &str = "usr/src/linux-headers-6.6.0-1-generic";
const FEDORAS: &str = "usr/src/kernels/6.6.0-1-generic";

/// A host of a distribution, and a rootfs.
struct Place {
    directory: TempDir,
    distribution: &'static str,
}

impl Place {
    fn new(distribution: &'static str, headers: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let place = Self { directory, distribution };
        for headers in headers {
            fs::create_dir_all(place.path("host").join(headers)).expect("writable");
        }
        fs::create_dir_all(place.path("rootfs/etc")).expect("writable");
        fs::create_dir_all(place.path("rootfs/usr/lib")).expect("writable");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("writable");
    }

    fn entries(&self) -> Vec<FsEntry> {
        let mut host = MockHostPort::new();
        let distribution = self.distribution;
        host.expect_kernel_release().returning(|| Ok(RELEASE.parse().expect("a release")));
        host.expect_os_release().returning(move || Ok(distribution.parse().expect("os-release")));
        let rootfs = AbsPath::new(self.path("rootfs")).expect("absolute");
        entries_on(&host, &self.path("host"), &rootfs).expect("the release is known")
    }
}

fn wanted(parent: &str, link: &str, target: &str) -> [FsEntry; 2] {
    let path = |path: &str| AbsPath::new(format!("/{path}")).expect("absolute");
    [
        FsEntry { kind: FsEntryKind::Dir, path: path(parent), mode: 0o755, target: None },
        FsEntry {
            kind: FsEntryKind::Softlink,
            path: path(link),
            mode: 0o777,
            target: Some(format!("/{target}")),
        },
    ]
}

#[test]
fn a_rootfs_of_another_family_gets_a_link_to_where_the_hosts_headers_are() {
    let place = Place::new("ID=debian", &[DEBIANS]);
    place.write("rootfs/etc/os-release", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n");
    assert_eq!(place.entries(), wanted("usr/src/kernels", FEDORAS, DEBIANS));
    let place = Place::new("ID=fedora", &[FEDORAS]);
    place.write("rootfs/etc/os-release", "ID=alpine");
    assert_eq!(place.entries(), wanted("usr/src", DEBIANS, FEDORAS));
}

#[test]
fn a_rootfs_of_the_same_family_gets_none() {
    let place = Place::new("ID=debian", &[DEBIANS]);
    place.write("rootfs/etc/os-release", "ID=ubuntu\nID_LIKE=debian");
    assert_eq!(place.entries(), []);
}

#[test]
fn a_host_without_headers_has_none_to_link_to() {
    let place = Place::new("ID=debian", &[FEDORAS]);
    place.write("rootfs/etc/os-release", "ID=fedora");
    assert_eq!(place.entries(), []);
}

#[test]
fn the_second_place_of_os_release_counts_where_the_first_is_empty() {
    let place = Place::new("ID=debian", &[DEBIANS]);
    place.write("rootfs/usr/lib/os-release", "ID=fedora");
    assert_eq!(place.entries().len(), 2);
    place.write("rootfs/etc/os-release", "ID=debian");
    assert_eq!(place.entries(), []);
}

#[test]
fn a_rootfs_that_does_not_tell_gets_none() {
    let place = Place::new("ID=debian", &[DEBIANS]);
    assert_eq!(place.entries(), [], "it has no os-release");
    place.write("rootfs/etc/os-release", "nonsense");
    assert_eq!(place.entries(), [], "it is unreadable");
    place.write("rootfs/etc/os-release", format!("ID=fedora\nX={}\n", "x".repeat(AT_MOST)));
    assert_eq!(place.entries(), [], "it is too long");
    place.write("rootfs/etc/os-release", b"ID=fedora\nNAME=\xff\n");
    assert_eq!(place.entries().len(), 2, "what is no text elsewhere in it is no harm");
}

#[test]
fn a_link_in_the_rootfs_leads_to_no_file_of_the_host() {
    let place = Place::new("ID=debian", &[DEBIANS]);
    place.write("outside", "ID=fedora");
    symlink(place.path("outside"), place.path("rootfs/etc/os-release")).expect("writable");
    assert_eq!(place.entries(), []);
}
