//! A target that was mirrored before, or is something else, is brought in line.

use std::{
    fs,
    io::Write,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
};

use rustix::fs::{
    FileType,
    inotify::{self, CreateFlags, WatchFlags},
};
use sysbox_host::mirror::Owners;

use super::support::*;

#[test]
fn what_the_source_has_not_is_removed() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        file(&source.join("kept"), "x", 0o644, (0, 0));
        file(&target.join("old"), "x", 0o644, (0, 0));
        file(&target.join(".sysbox-mirror-0"), "left over", 0o600, (0, 0));
        let inner = directory(&target.join("directory"), 0o755, (0, 0));
        for index in 0..3000 {
            file(&inner.join(index.to_string()), "x", 0o644, (0, 0));
        }
        for index in 0..3000 {
            symlink("kept", &target.join(index.to_string()), (0, 0));
        }
        assert_eq!(mirror_and_check(place).removed, 2 + 1 + 3000 + 3000);
    });
}

/// How often a directory was read since it was watched, together with another one that is read in turn with it: the kernel
/// makes one event of several that are the same.
fn readings(watch: &OwnedFd, directory: i32) -> usize {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(watch, &mut buffer);
    let mut readings = 0;
    while let Ok(event) = events.next() {
        readings += usize::from(event.wd() == directory && event.file_name().is_none());
    }
    readings
}

#[test]
fn however_many_names_are_removed_the_directories_are_not_read_again_and_again() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        file(&source.join("kept"), "x", 0o644, (0, 0));
        for index in 0..10_000 {
            symlink("kept", &target.join(index.to_string()), (0, 0));
        }
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("inotify(7)");
        let [in_source, _] = [&source, &target]
            .map(|path| inotify::add_watch(&watch, path, WatchFlags::ACCESS).expect("a directory"));
        assert_eq!(mirror(&source, &target).expect("it can be mirrored").removed, 10_000);
        let readings = readings(&watch, in_source);
        // Twice for each of two times that the names are compared, and for their entries.
        assert!((1..=6).contains(&readings), "{readings} times");
    });
}

#[test]
fn a_name_may_become_any_other_type() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        let make = |root: &std::path::Path, turn: usize| {
            for name in 0..5 {
                let path = root.join(name.to_string());
                match (name + turn) % 5 {
                    0 => drop(file(&path, "content", 0o644, (1, 1))),
                    1 => drop(file(&directory(&path, 0o755, (2, 2)).join("inner"), "y", 0o600, (0, 0))),
                    2 => symlink("nowhere", &path, (3, 3)),
                    3 => drop(node(&path, FileType::Fifo, 0, 0o644, (4, 4))),
                    _ => drop(node(&path, FileType::CharacterDevice, 0, 0o600, (5, 5))),
                }
            }
        };
        make(&target, 0);
        for turn in 1..5 {
            make(&source, turn);
            mirror_and_check(place);
            sysbox_host::remove::remove_tree(&abs(&source)).expect("it can be removed");
            directory(&source, 0o755, (0, 0));
        }
    });
}

#[test]
fn a_change_of_metadata_alone_copies_nothing() {
    on_each_file_system(|place| {
        let source = place.source();
        let path = file(&source.join("file"), "content", 0o644, (1, 1));
        let inner = directory(&source.join("directory"), 0o755, (1, 1));
        symlink("x", &source.join("link"), (1, 1));
        node(&source.join("fifo"), FileType::Fifo, 0, 0o644, (1, 1));
        mirror_and_check(place);
        let inode = fs::metadata(place.target().join("file")).expect("it is there").ino();

        set_attribute(&path, CAPABILITY, &capability(0));
        assert_eq!(counts(place), (0, 1));
        own(&path, 0o4711, (2, 3));
        set_attribute(&path, CAPABILITY, &capability(0));
        own(&inner, 0o2711, (2, 3));
        assert_eq!(counts(place), (0, 2));
        rustix::fs::lremovexattr(&path, CAPABILITY).expect("it is there");
        set_attribute(&inner, DEFAULT_ACL, &acl(1, 1));
        assert_eq!(counts(place), (0, 2));
        rustix::fs::lremovexattr(&inner, DEFAULT_ACL).expect("it is there");
        own(&source.join("fifo"), 0o600, (9, 9));
        set_modified(&source.join("link"), 5, 6);
        set_modified(&inner, 7, 8);
        assert_eq!(counts(place), (0, 3));
        assert_eq!(fs::metadata(place.target().join("file")).expect("it is there").ino(), inode);
    });
}

/// Mirrors and returns how many inodes were copied and adjusted.
#[track_caller]
fn counts(place: &Place) -> (u64, u64) {
    let report = mirror_and_check(place);
    (report.copied, report.adjusted)
}

#[test]
fn a_time_that_was_set_back_is_seen_through_by_the_time_of_the_last_call() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        let path = file(&source.join("file"), "before", 0o644, (0, 0));
        set_modified(&path, 1_000, 1);
        mirror_and_check(place);
        let mirrored = sysbox_host::mirror::clock_after_changes();
        fs::write(&path, "after!").expect("it can be written");
        set_modified(&path, 1_000, 1);
        assert_eq!(mirror(&source, &target).expect("it can be mirrored").copied, 0, "nobody can tell");
        let report = mirror_as(&source, &target, Owners::Kept, Some(mirrored)).expect("it can be mirrored");
        assert_eq!(report.copied, 1);
        assert_same(&snapshot(&target), &snapshot(&source));
    });
}

#[test]
fn a_reader_of_the_old_file_keeps_the_old_contents() {
    use std::io::Read;
    on_each_file_system(|place| {
        file(&place.source().join("file"), "old", 0o644, (0, 0));
        mirror_and_check(place);
        let mut reader = fs::File::open(place.target().join("file")).expect("it is there");
        let mut writer =
            fs::File::options().append(true).open(place.source().join("file")).expect("it is there");
        writer.write_all(b" and new").expect("there is room");
        mirror_and_check(place);
        let mut content = String::new();
        reader.read_to_string(&mut content).expect("it is open");
        assert_eq!(content, "old");
    });
}

#[test]
fn names_like_temporary_ones_are_names_like_others() {
    on_each_file_system(|place| {
        let source = place.source();
        for index in 0..20 {
            file(&source.join(format!(".sysbox-mirror-{index}")), "a", 0o644, (0, 0));
            file(&source.join(format!("file-{index}")), "a", 0o644, (0, 0));
        }
        mirror_and_check(place);
        for index in 0..20 {
            file(&source.join(format!(".sysbox-mirror-{index}")), "changed", 0o644, (0, 0));
            file(&source.join(format!("file-{index}")), "changed", 0o644, (0, 0));
        }
        mirror_and_check(place);
    });
}

#[test]
fn the_roots_themselves_stay_as_they_are() {
    on_each_file_system(|place| {
        own(&place.source(), 0o700, (1, 1));
        own(&place.target(), 0o750, (2, 2));
        set_attribute(&place.source(), "trusted.x", b"1");
        file(&place.source().join("file"), "x", 0o644, (0, 0));
        mirror_and_check(place);
        let metadata = fs::metadata(place.target()).expect("it is there");
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o750, 2, 2));
        assert_eq!(attribute(&place.target(), "trusted.x"), None);
    });
}

#[test]
fn progress_is_told_to_the_end() {
    use std::{
        os::fd::AsFd,
        sync::atomic::{AtomicU64, Ordering},
    };
    on_each_file_system(|place| {
        for index in 0..1000 {
            file(&place.source().join(index.to_string()), "four", 0o644, (0, 0));
        }
        let (entries, bytes, told) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let progress = |progress: sysbox_host::mirror::Progress| {
            entries.fetch_max(progress.entries, Ordering::Relaxed);
            bytes.fetch_max(progress.bytes, Ordering::Relaxed);
            told.fetch_add(1, Ordering::Relaxed);
        };
        let options =
            sysbox_host::mirror::Options { owners: Owners::Kept, unchanged_since: None, progress: &progress };
        let (source, target) = (dir(&place.source()), dir(&place.target()));
        sysbox_host::mirror::mirror(source.as_fd(), target.as_fd(), &options).expect("it can be mirrored");
        assert_eq!((entries.into_inner(), bytes.into_inner()), (1000, 4000));
        assert!(told.into_inner() >= 4);
    });
}
