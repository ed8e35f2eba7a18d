//! ID-mapped mounts of directories, files and mount trees.

use std::{error::Error, fs, io, time::Instant};

use rustix::{
    io::Errno,
    mount::{MountFlags, mount},
};
use sysbox_host::idmap;

use crate::place::{GID, Place, UID, as_container_root, owner, userns};

fn owners_are_mapped_both_ways(place: &Place) {
    let (source, target) = (place.dir("source"), place.dir("target"));
    place.file("source/of-root");
    idmap::attach(&source, &target, &userns()).expect("attached");
    assert_eq!(owner(target.as_path().join("of-root")), (UID, GID));
    as_container_root(&target, "echo text > made; mkdir dir; chown 5:6 dir; mknod fifo p");
    assert_eq!(owner(source.as_path().join("made")), (0, 0));
    assert_eq!(owner(source.as_path().join("fifo")), (0, 0));
    assert_eq!(owner(source.as_path().join("dir")), (5, 6));
    assert_eq!(owner(target.as_path().join("dir")), (UID + 5, GID + 6));
}

#[test]
fn owners_are_mapped_both_ways_on_the_file_system_of_the_temporary_directory() {
    owners_are_mapped_both_ways(&Place::new());
}

#[test]
fn owners_are_mapped_both_ways_on_tmpfs() {
    owners_are_mapped_both_ways(&Place::on_tmpfs());
}

#[test]
fn the_hosts_root_cannot_make_files_there() {
    let place = Place::new();
    let target = place.dir("target");
    idmap::attach(&place.dir("source"), &target, &userns()).expect("attached");
    let error = fs::write(target.as_path().join("file"), "").expect_err("unmapped");
    assert_eq!(Errno::from_io_error(&error), Some(Errno::OVERFLOW));
}

#[test]
fn a_file_can_be_attached_to_a_file() {
    let place = Place::new();
    let (source, target) = (place.file("source"), place.file("target"));
    idmap::attach(&source, &target, &userns()).expect("attached");
    assert_eq!(fs::read_to_string(&target).expect("read"), "source");
    assert_eq!(owner(&target), (UID, GID));
}

#[test]
fn mounts_below_are_taken_and_mapped_only_by_a_recursive_attach() {
    let place = Place::new();
    let (source, below) = (place.dir("source"), place.dir("source/below"));
    mount("tmpfs", below.as_path(), "tmpfs", MountFlags::empty(), None).expect("mounted");
    place.file("source/below/file");
    let (one, all) = (place.dir("one"), place.dir("all"));
    idmap::attach(&source, &one, &userns()).expect("attached");
    assert!(!one.as_path().join("below/file").exists());
    idmap::attach_recursive(&source, &all, &userns()).expect("attached");
    assert_eq!(owner(all.as_path().join("below/file")), (UID, GID));
}

#[test]
fn what_cannot_be_mapped_is_refused_with_the_kernels_error_and_attaches_nothing() {
    let place = Place::new();
    let target = place.dir("target");
    idmap::attach(&place.dir("source"), &place.dir("mapped"), &userns()).expect("attached");
    let proc = "/proc".parse().expect("absolute");
    for (source, errno) in
        [(proc, Errno::INVAL), (place.at("mapped"), Errno::PERM), (place.at("missing"), Errno::NOENT)]
    {
        let error = idmap::attach(&source, &target, &userns()).expect_err("refused");
        let cause = error.source().and_then(Error::source).and_then(|cause| cause.downcast_ref::<Errno>());
        assert_eq!(cause, Some(&errno), "{source}");
    }
    assert_eq!(owner(&target), (0, 0));
}

#[test]
fn the_time_to_attach_does_not_depend_on_how_many_files_there_are() {
    let place = Place::on_tmpfs();
    let time = |name: &str, files: usize| {
        let (source, target) = (place.dir(name), place.dir(&format!("{name}-target")));
        (0..files)
            .try_for_each(|nth| fs::write(source.as_path().join(nth.to_string()), ""))
            .expect("written");
        let attach = || -> io::Result<_> {
            let start = Instant::now();
            idmap::attach(&source, &target, &userns()).map_err(io::Error::other)?;
            Ok(start.elapsed())
        };
        (0..20).map(|_| attach().expect("attached")).min().expect("some")
    };
    let (few, many) = (time("few", 10), time("many", 100_000));
    // Work done for each of 10,000 times as many files would show far above this, on the busiest machine.
    assert!(many < 20 * few, "10 files: {few:?}, 100,000 files: {many:?}");
}
