//! What is carried over with an inode.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use rustix::fs::{FallocateFlags, FileType, SeekFrom, fallocate, seek};

use super::support::*;

#[test]
fn every_type_of_inode_is_carried_over_with_all_it_has() {
    on_each_file_system(|place| {
        let source = place.source();
        file(&source.join("set-id"), "x", 0o6755, (1000, 50));
        file(&source.join("empty"), "", 0o000, (0, 0));
        let inner = directory(&source.join("directory"), 0o3770, (7, 8));
        set_attribute(&inner, DEFAULT_ACL, &acl(3, 4));
        set_attribute(&inner, ACCESS_ACL, &acl(5, 6));
        file(&inner.join("below a default ACL"), "y", 0o600, (0, 0));
        directory(&inner.join("directory below it"), 0o700, (0, 0));
        symlink("/etc/passwd", &source.join("link"), (9, 10));
        set_attribute(&source.join("link"), "trusted.of.a.link", b"1");
        node(&source.join("fifo"), FileType::Fifo, 0, 0o4640, (1, 1));
        node(&source.join("socket"), FileType::Socket, 0, 0o640, (1, 1));
        node(&source.join("whiteout"), FileType::CharacterDevice, 0, 0o000, (0, 0));
        let capable = file(&source.join("capable"), "z", 0o4755, (0, 0));
        set_attribute(&capable, CAPABILITY, &capability(0));
        set_attribute(&capable, "trusted.overlay.opaque", b"y");
        set_attribute(&capable, ACCESS_ACL, &acl(1, 2));
        for (index, path) in snapshot(&source).keys().enumerate() {
            set_modified(&source.join(path), 1_000_000_000 + i64::try_from(index).expect("few"), 123_456_789);
        }
        set_modified(&source.join("empty"), -1, 1);
        let report = mirror_and_check(place);
        assert_eq!((report.inodes, report.copied, report.removed), (10, 10, 0));
        assert_eq!((report.left_out_attributes, report.left_out_devices, report.vanished), (0, 0, 0));
    });
}

#[test]
fn names_may_be_any_bytes() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    on_each_file_system(|place| {
        let long = [b'x'; 255];
        for name in [&b"a\nb"[..], b"\xff\xfe", b" ", b"-rf", b"*", b"\\", b"\x01", &long] {
            file(&place.source().join(OsStr::from_bytes(name)), name, 0o644, (0, 0));
        }
        mirror_and_check(place);
    });
}

#[test]
fn names_of_one_inode_stay_names_of_one_inode() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        let first = file(&source.join("first"), "content", 0o644, (1, 2));
        for index in 0..20 {
            let inner = directory(&source.join(format!("{index}")), 0o755, (0, 0));
            fs::hard_link(&first, inner.join("further")).expect("same file system");
        }
        symlink("somewhere", &source.join("link"), (0, 0));
        rustix::fs::link(source.join("link"), source.join("another link")).expect("same file system");
        let report = mirror_and_check(place);
        assert_eq!((report.inodes, report.copied, report.linked), (22, 22, 21));
        assert_eq!(fs::metadata(target.join("first")).expect("it is there").nlink(), 21);
    });
}

#[test]
fn names_that_the_source_has_parted_or_joined_are_parted_or_joined() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        for name in ["a", "b", "c", "d"] {
            set_modified(&file(&source.join(name), "same", 0o644, (0, 0)), 1, 1);
        }
        fs::hard_link(source.join("a"), source.join("a2")).expect("same file system");
        // The target has joined what the source has not, and the other way round.
        for name in ["a", "c"] {
            set_modified(&file(&target.join(name), "same", 0o644, (0, 0)), 1, 1);
        }
        fs::hard_link(target.join("a"), target.join("b")).expect("same file system");
        fs::hard_link(target.join("c"), target.join("a2")).expect("same file system");
        fs::hard_link(target.join("c"), target.join("d")).expect("same file system");
        mirror_and_check(place);
        // Two pairs of the target that are crossed in the source.
        fs::hard_link(source.join("b"), source.join("b2")).expect("same file system");
        fs::remove_file(target.join("a2")).expect("it is there");
        fs::hard_link(target.join("b"), target.join("a2")).expect("same file system");
        fs::hard_link(target.join("a"), target.join("b2")).expect("same file system");
        mirror_and_check(place);
    });
}

#[test]
fn ten_thousand_names_of_one_inode_are_all_there() {
    on_each_file_system(|place| {
        let source = place.source();
        let first = file(&source.join("first"), "content", 0o644, (1, 2));
        let inner = directory(&source.join("directory"), 0o755, (0, 0));
        for index in 0..9_999 {
            fs::hard_link(&first, inner.join(index.to_string())).expect("same file system");
        }
        let report = mirror_and_check(place);
        assert_eq!((report.inodes, report.copied, report.linked), (2, 2, 9_999));
    });
}

#[test]
fn holes_stay_holes() {
    const MIB: u64 = 1 << 20;
    on_each_file_system(|place| {
        let source = place.source();
        let holes = |name: &str, data: &[u64], len: u64| {
            let file = fs::File::create(source.join(name)).expect("a new file");
            file.set_len(len).expect("a sparse file");
            for &at in data {
                file.write_all_at(&[1; 4096], at).expect("there is room");
            }
        };
        holes("all hole", &[], 64 * MIB);
        holes("small", &[], 5000);
        holes("in the middle", &[0, 63 * MIB], 64 * MIB);
        holes("at both ends", &[32 * MIB], 64 * MIB);
        let preallocated = fs::File::create(source.join("preallocated")).expect("a new file");
        let flags = FallocateFlags::KEEP_SIZE;
        if fallocate(&preallocated, flags, 0, MIB).is_ok() {
            preallocated.write_all_at(b"start", 0).expect("there is room");
        }
        let report = mirror_and_check(place);
        assert!(report.bytes < MIB, "{report:?}");
        for name in ["all hole", "small", "in the middle", "at both ends"] {
            let copy = fs::File::open(place.target().join(name)).expect("it is there");
            let metadata = copy.metadata().expect("it is open");
            assert!(metadata.blocks() * 512 <= 64 * 1024, "{name} takes {} blocks", metadata.blocks());
            let hole = seek(&copy, SeekFrom::Hole(0)).expect("it tells holes");
            assert!(hole < metadata.len(), "{name} has a hole");
        }
    });
}

#[test]
fn a_large_file_is_copied_whole_also_from_another_file_system() {
    on_each_file_system(|place| {
        let content: Vec<u8> = (0..5_000_001u32).map(|index| (index % 251) as u8).collect();
        file(&place.source().join("large"), &content, 0o644, (0, 0));
        assert_eq!(mirror_and_check(place).bytes.min(5_000_001), 5_000_001);
        let other = place.beside();
        mirror(&place.source(), &other).expect("it can be mirrored");
        assert_same(&snapshot(&other), &snapshot(&place.source()));
    });
}

#[test]
fn what_is_of_this_host_is_neither_carried_over_nor_removed() {
    on_each_file_system(|place| {
        let mark = |root: &Path, value: &[u8]| {
            let path = root.join("file");
            set_attribute(&path, "trusted.sysbox.shift", value);
            set_attribute(&path, "trusted.other", value);
        };
        for root in [place.source(), place.target()] {
            set_modified(&file(&root.join("file"), "x", 0o644, (0, 0)), 1, 1);
        }
        mark(&place.source(), b"source");
        mark(&place.target(), b"target");
        mirror(&place.source(), &place.target()).expect("it can be mirrored");
        let copy = place.target().join("file");
        assert_eq!(attribute(&copy, "trusted.sysbox.shift").as_deref(), Some(&b"target"[..]));
        assert_eq!(attribute(&copy, "trusted.other").as_deref(), Some(&b"source"[..]));
        fs::remove_file(&copy).expect("it is there");
        mirror(&place.source(), &place.target()).expect("it can be mirrored");
        assert_eq!(attribute(&copy, "trusted.sysbox.shift"), None);
    });
}

#[test]
fn devices_are_left_out_and_whiteouts_are_not() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        let null = rustix::fs::makedev(1, 3);
        node(&source.join("null"), FileType::CharacterDevice, null, 0o666, (0, 0));
        node(&source.join("disk"), FileType::BlockDevice, null, 0o666, (0, 0));
        node(&source.join("whiteout"), FileType::CharacterDevice, 0, 0o600, (0, 0));
        file(&target.join("disk"), "no device", 0o600, (0, 0));
        node(&target.join("of the target"), FileType::CharacterDevice, null, 0o666, (0, 0));
        node(&target.join("old whiteout"), FileType::CharacterDevice, 0, 0o666, (0, 0));
        let inner = directory(&target.join("directory"), 0o755, (0, 0));
        node(&inner.join("null"), FileType::CharacterDevice, null, 0o666, (0, 0));
        let report = mirror(&source, &target).expect("it can be mirrored");
        assert_eq!((report.left_out_devices, report.inodes, report.copied), (2, 3, 1));
        let names: Vec<_> = snapshot(&target).into_keys().collect();
        assert_eq!(names, [Path::new("of the target"), Path::new("whiteout")]);
        assert!(!mirror(&source, &target).expect("it can be mirrored").changed());
    });
}
