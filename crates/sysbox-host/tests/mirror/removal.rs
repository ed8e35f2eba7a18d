//! Removing and measuring trees.

use std::{fs, path::Path};

use rustix::fs::{FileType, Mode, OFlags, mkdirat, openat};
use sysbox_host::{remove::remove_tree, usage::usage};

use super::support::*;

/// Nests so many directories below another one, with a file in each.
pub(crate) fn nest(root: &Path, levels: u32) {
    let mut at = dir(root);
    for _ in 0..levels {
        mkdirat(&at, "level", Mode::RWXU).expect("a new directory");
        at = openat(&at, "level", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .expect("it is there");
        openat(&at, "file", OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR)
            .expect("a new file");
    }
}

#[test]
fn a_tree_of_any_kind_and_depth_is_removed_and_nothing_else() {
    on_each_file_system(|place| {
        let root = place.source();
        let outside = file(&place.beside().join("outside"), "x", 0o644, (0, 0));
        symlink(place.beside(), &root.join("link"), (0, 0));
        symlink(&outside, &root.join("link to a file"), (0, 0));
        node(&root.join("fifo"), FileType::Fifo, 0, 0o644, (0, 0));
        node(&root.join("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3), 0o644, (0, 0));
        let closed = directory(&root.join("closed"), 0o000, (5, 5));
        for index in 0..5_000 {
            file(&closed.join(index.to_string()), "", 0o000, (5, 5));
            directory(&root.join(index.to_string()), 0o755, (5, 5));
        }
        nest(&root, 3_000);
        assert_eq!(remove_tree(&abs(&root)).expect("it can be removed"), 1 + 4 + 1 + 5_000 + 5_000 + 6_000);
        assert!(!root.exists());
        assert!(outside.exists());
        assert_eq!(remove_tree(&abs(&root)).expect("nothing is there"), 0);
        assert_eq!(remove_tree(&abs(&root.join("below"))).expect("nothing is there"), 0);
    });
}

#[test]
fn a_symbolic_link_is_removed_and_not_what_it_leads_to() {
    require_root();
    let place = Place::temporary();
    let link = place.source().join("link");
    file(&place.target().join("file"), "x", 0o644, (0, 0));
    symlink(place.target(), &link, (0, 0));
    assert_eq!(remove_tree(&abs(&link)).expect("it can be removed"), 1);
    assert!(place.target().join("file").exists() && !link.exists());
}

#[test]
fn what_is_mounted_in_a_tree_stays() {
    require_root();
    let place = Place::temporary();
    let point = directory(&directory(&place.source().join("a"), 0o755, (0, 0)).join("b"), 0o755, (0, 0));
    file(&point.join("hidden"), "x", 0o644, (0, 0));
    let mount = Mount::new(&["-t", "tmpfs", "none"], &point);
    let inner = file(&point.join("inner"), "x", 0o644, (0, 0));
    let error = remove_tree(&abs(&place.source())).expect_err("a mount is in the way");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!(cause, "something is mounted there; unmount it and try again");
    assert!(inner.exists());
    remove_tree(&abs(&point)).expect_err("it is a mount itself");
    assert!(inner.exists());
    drop(mount);
    assert_eq!(remove_tree(&abs(&place.source())).expect("it can be removed"), 4);
}

#[test]
fn an_immutable_file_is_an_error_that_names_it_and_the_rest_can_go_on() {
    require_root();
    let place = Place::made_by(&["mkfs.ext4", "-q", "-F"], 64);
    let inner = directory(&place.source().join("directory"), 0o755, (0, 0));
    let path = file(&inner.join("immutable"), "x", 0o644, (0, 0));
    run(std::process::Command::new("chattr").arg("+i").arg(&path));
    let error = remove_tree(&abs(&place.source())).expect_err("it is immutable");
    assert_eq!(error.subject, path.display().to_string());
    run(std::process::Command::new("chattr").arg("-i").arg(&path));
    remove_tree(&abs(&place.source())).expect("it can be removed");
}

#[test]
fn usage_counts_what_is_allocated_and_each_inode_once() {
    on_each_file_system(|place| {
        let root = place.source();
        let large = file(&root.join("large"), vec![1; 1 << 20], 0o644, (0, 0));
        fs::File::create(root.join("hole")).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
        fs::hard_link(&large, root.join("further name")).expect("same file system");
        symlink("/", &root.join("link"), (0, 0));
        nest(&root, 1_500);
        let usage = usage(&abs(&root)).expect("it can be measured");
        assert_eq!(usage.inodes, 1 + 3 + 3_000);
        assert!(usage.bytes >= 1 << 20 && usage.bytes < 64 << 20, "{usage:?}");
    });
}

#[test]
fn usage_is_what_du_tells() {
    on_each_file_system(|place| {
        let root = place.source();
        for index in 0..200 {
            file(&root.join(index.to_string()), vec![1; index * 97], 0o644, (0, 0));
        }
        let inner = directory(&root.join("directory"), 0o755, (0, 0));
        fs::hard_link(root.join("150"), inner.join("further")).expect("same file system");
        rustix::fs::sync();
        let output = std::process::Command::new("du").args(["-s", "-B1"]).arg(&root).output().expect("du(1)");
        let told = String::from_utf8_lossy(&output.stdout);
        let bytes: u64 = told.split('\t').next().and_then(|bytes| bytes.parse().ok()).expect("a number");
        assert_eq!(usage(&abs(&root)).expect("it can be measured").bytes, bytes);
    });
}
