//! Trees that try to lead out, and that change while they are mirrored. What is outside stays as it is, and is not read.

use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rustix::fs::{CWD, FileType, RenameFlags, renameat_with};

use super::{removal::nest, support::*};

/// What must neither be changed nor turn up in the other tree.
const SECRET: &[u8] = b"the secret of the host";

/// A tree outside of both, that must stay as it is.
fn outside(place: &Place) -> PathBuf {
    let outside = place.beside();
    file(&outside.join("file"), SECRET, 0o4755, (0, 0));
    file(&directory(&outside.join("directory"), 0o755, (0, 0)).join("file"), SECRET, 0o644, (0, 0));
    outside
}

fn assert_no_secret(root: &Path) {
    let found = snapshot(root).into_iter().find(|(_, facts)| facts.content == SECRET);
    assert_eq!(found.map(|(path, _)| path), None, "it comes from outside");
}

#[test]
fn no_symbolic_link_of_either_tree_is_followed() {
    on_each_file_system(|place| {
        let (source, target, outside) = (place.source(), place.target(), outside(place));
        let before = snapshot(&outside);
        let links =
            [outside.join("file"), outside.join("directory"), "/etc".into(), "..".into(), "loop".into()];
        for (index, link) in links.iter().enumerate() {
            symlink(link, &source.join(format!("link-{index}")), (1, 1));
            // Where the source has a file or a directory, the target has a link that leads out.
            file(&source.join(format!("file-{index}")), "x", 0o600, (2, 2));
            symlink(link, &target.join(format!("file-{index}")), (0, 0));
            let inner = directory(&source.join(format!("directory-{index}")), 0o700, (3, 3));
            file(&inner.join("file"), "x", 0o600, (2, 2));
            symlink(link, &target.join(format!("directory-{index}")), (0, 0));
            symlink(link, &target.join(format!("surplus-{index}")), (0, 0));
        }
        symlink("loop", &source.join("loop"), (0, 0));
        mirror_and_check(place);
        assert_no_secret(&target);
        assert_same(&snapshot(&outside), &before);
    });
}

#[test]
fn fifos_and_devices_are_not_opened() {
    on_each_file_system(|place| {
        let source = place.source();
        // A reader would wait for ever, and zero never ends.
        node(&source.join("fifo"), FileType::Fifo, 0, 0o666, (0, 0));
        let zero = rustix::fs::makedev(1, 5);
        node(&source.join("zero"), FileType::CharacterDevice, zero, 0o666, (0, 0));
        node(&place.target().join("fifo"), FileType::CharacterDevice, zero, 0o666, (0, 0));
        assert_eq!(mirror(&source, &place.target()).expect("it can be mirrored").left_out_devices, 1);
    });
}

#[test]
fn deep_trees_are_mirrored_and_brought_in_line() {
    on_each_file_system(|place| {
        nest(&place.source(), 300);
        mirror_and_check(place);
        fs::remove_dir_all(place.source().join("level/level/level")).expect("it is there");
        let report = mirror_and_check(place);
        assert_eq!(report.removed, 2 * 298);
    });
}

#[test]
fn five_thousand_levels_are_mirrored_and_removed() {
    on_each_file_system(|place| {
        nest(&place.source(), 5_000);
        let report = mirror(&place.source(), &place.target()).expect("it can be mirrored");
        assert_eq!((report.inodes, report.copied), (10_000, 10_000));
        assert!(!mirror(&place.source(), &place.target()).expect("it can be mirrored").changed());
        fs::rename(place.source().join("level"), place.beside_on_same().join("away"))
            .expect("same file system");
        assert_eq!(mirror(&place.source(), &place.target()).expect("it can be mirrored").removed, 10_000);
    });
}

#[test]
fn what_is_mounted_in_either_tree_is_neither_read_nor_changed() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        for root in [&source, &target] {
            directory(&root.join("of the source"), 0o755, (0, 0));
            directory(&root.join("of the target"), 0o755, (0, 0));
            file(&root.join("file"), "x", 0o644, (0, 0));
        }
        file(&source.join("of the target").join("file"), "x", 0o644, (0, 0));
        let _mounts = [
            Mount::new(&["-t", "tmpfs", "none"], &source.join("of the source")),
            Mount::new(&["-t", "tmpfs", "none"], &target.join("of the target")),
            Mount::new(&["--bind", "/etc/passwd"], &source.join("file")),
        ];
        file(&source.join("of the source/inner"), SECRET, 0o644, (0, 0));
        file(&target.join("of the target/inner"), "kept", 0o644, (0, 0));
        let report = mirror(&source, &target).expect("it can be mirrored");
        assert_eq!(report.mounts, 3);
        assert_no_secret(&target);
        assert_eq!(fs::read(target.join("file")).expect("it is there"), b"x");
        assert_eq!(fs::read(target.join("of the target/inner")).expect("it is there"), b"kept");
    });
}

/// Swaps the names of each pair for as long as the work lasts.
fn while_swapping(pairs: &[[PathBuf; 2]], work: impl Fn()) {
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        for [one, other] in pairs {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // One of the two may just be away, while it is replaced.
                    let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
                }
            });
        }
        let _stop = StopOnDrop(stop);
        work();
    });
}

/// Ends the swapping also when the work fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_source_that_swaps_files_and_directories_for_links_while_it_is_read_gives_nothing_from_outside() {
    on_each_file_system(|place| {
        let (source, target, outside) = (place.source(), place.target(), outside(place));
        let before = snapshot(&outside);
        let parking = place.beside_on_same();
        file(&source.join("file"), "mine", 0o644, (0, 0));
        symlink(outside.join("file"), &parking.join("file"), (0, 0));
        file(&directory(&source.join("directory"), 0o755, (0, 0)).join("file"), "mine", 0o644, (0, 0));
        symlink(outside.join("directory"), &parking.join("directory"), (0, 0));
        file(&source.join("or fifo"), "mine", 0o644, (0, 0));
        node(&parking.join("or fifo"), FileType::Fifo, 0, 0o644, (0, 0));
        file(&source.join("or device"), "mine", 0o644, (0, 0));
        let zero = rustix::fs::makedev(1, 5);
        node(&parking.join("or device"), FileType::CharacterDevice, zero, 0o644, (0, 0));
        let names = ["file", "directory", "or fifo", "or device"];
        let pairs = names.map(|name| [source.join(name), parking.join(name)]);
        while_swapping(&pairs, || {
            for _ in 0..150 {
                mirror(&source, &target).expect("what vanishes is left out");
                assert_no_secret(&target);
            }
        });
        assert_same(&snapshot(&outside), &before);
        fs::remove_file(source.join("or device")).expect("it is there");
        mirror_and_check(place);
    });
}

#[test]
fn a_target_that_swaps_names_for_links_while_it_is_written_changes_nothing_outside() {
    on_each_file_system(|place| {
        let (source, target, outside) = (place.source(), place.target(), outside(place));
        let before = snapshot(&outside);
        let parking = place.beside_on_same();
        for name in ["one", "two"] {
            let inner = directory(&source.join(name), 0o700, (7, 7));
            for index in 0..20 {
                file(&inner.join(index.to_string()), "mine", 0o600, (7, 7));
            }
        }
        file(&source.join("file"), "mine", 0o600, (7, 7));
        mirror(&source, &target).expect("nobody is swapping yet");
        symlink(outside.join("directory"), &parking.join("one"), (0, 0));
        symlink(outside.join("file"), &parking.join("file"), (0, 0));
        let pairs = ["one", "file"].map(|name| [target.join(name), parking.join(name)]);
        while_swapping(&pairs, || {
            for round in 0..150 {
                fs::write(source.join("file"), round.to_string()).expect("it can be written");
                fs::write(source.join("one/0"), round.to_string()).expect("it can be written");
                // A target that is changed by others may be an error, but never leads out.
                let _ = mirror(&source, &target);
            }
        });
        assert_same(&snapshot(&outside), &before);
        mirror_and_check(place);
    });
}

#[test]
fn a_source_that_is_written_to_meanwhile_is_the_same_after_another_call() {
    on_each_file_system(|place| {
        let (source, target) = (place.source(), place.target());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut round = 0u32;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let path = source.join((round % 50).to_string());
                    match round % 7 {
                        0 => drop(fs::remove_file(&path)),
                        1 => drop(fs::rename(&path, source.join("renamed"))),
                        2 => drop(fs::hard_link(source.join("renamed"), &path)),
                        _ => drop(fs::write(&path, vec![b'x'; (round % 9_000) as usize])),
                    }
                }
            });
            let _stop = StopOnDrop(&stop);
            for _ in 0..100 {
                mirror(&source, &target).expect("what vanishes is left out");
            }
        });
        let began = std::time::SystemTime::UNIX_EPOCH;
        mirror_as(&source, &target, sysbox_host::mirror::Owners::Kept, Some(began))
            .expect("it can be mirrored");
        assert_same(&snapshot(&target), &snapshot(&source));
    });
}

#[test]
fn few_descriptors_are_enough_for_any_tree() {
    on_each_file_system(|place| {
        nest(&place.source(), 400);
        for index in 0..2_000 {
            directory(&place.source().join(index.to_string()), 0o755, (0, 0));
        }
        let (source, target) = (dir(&place.source()), dir(&place.target()));
        let most = std::sync::atomic::AtomicUsize::new(0);
        let progress = |_| {
            let open = fs::read_dir("/proc/self/fd").expect("proc(5)").count();
            most.fetch_max(open, Ordering::Relaxed);
        };
        let options = sysbox_host::mirror::Options {
            owners: sysbox_host::mirror::Owners::Kept,
            unchanged_since: None,
            progress: &progress,
        };
        sysbox_host::mirror::mirror(source.as_fd(), target.as_fd(), &options).expect("it can be mirrored");
        // Other tests hold some as well.
        assert!(most.into_inner() < 400);
    });
}
