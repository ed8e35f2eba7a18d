//! What the target refuses: attributes are left out and counted, all else is an error that says what to do.

use std::{fs, path::Path, process::Command};

use rustix::fs::FileType;
use sysbox_host::mirror::MirrorError;

use super::support::*;

#[test]
fn a_target_without_attributes_gets_everything_else() {
    require_root();
    let (place, other) = (Place::tmpfs(), Place::ramfs());
    for index in 0..3 {
        let path = file(&place.source().join(index.to_string()), "x", 0o644, (1, 1));
        set_attribute(&path, "trusted.x", b"1");
        set_attribute(&path, ACCESS_ACL, &acl(1, 1));
    }
    let report = mirror(&place.source(), &other.target()).expect("it can be mirrored");
    assert_eq!((report.copied, report.left_out_attributes), (3, 6));
    let mut wanted = snapshot(&place.source());
    wanted.values_mut().for_each(|facts| facts.attributes.clear());
    assert_same(&snapshot(&other.target()), &wanted);
    let again = mirror(&place.source(), &other.target()).expect("it can be mirrored");
    assert_eq!((again.changed(), again.left_out_attributes), (false, 6));
}

#[test]
fn attributes_of_users_that_are_too_large_for_the_target_are_left_out() {
    require_root();
    let large = Place::made_by(&["mkfs.xfs", "-q"], 320);
    let small = Place::made_by(&["mkfs.ext4", "-q", "-F", "-b", "4096"], 64);
    let path = file(&large.source().join("file"), "content", 0o644, (1, 1));
    set_attribute(&path, "user.large", b"small at first");
    set_attribute(&path, "user.small", b"x");
    mirror(&large.source(), &small.target()).expect("it can be mirrored");
    set_attribute(&path, "user.large", &[b'x'; 12_000]);
    let mut wanted = snapshot(&large.source());
    wanted.values_mut().for_each(|facts| drop(facts.attributes.remove("user.large")));
    for changed in [true, false] {
        let report = mirror(&large.source(), &small.target()).expect("it can be mirrored");
        assert_eq!((report.changed(), report.left_out_attributes), (changed, 1));
        assert_same(&snapshot(&small.target()), &wanted);
    }
    // What root gives a meaning to is not left out in silence.
    set_attribute(&path, "trusted.large", &[b'x'; 12_000]);
    let error = mirror(&large.source(), &small.target()).expect_err("it does not fit");
    assert!(matches!(error, MirrorError::NoSpace { .. }), "{error:?}");
}

#[test]
fn an_overlay_gets_everything_but_what_it_keeps_for_itself() {
    require_root();
    let place = Place::tmpfs();
    let base = place.beside_on_same();
    for name in ["lower", "upper", "work", "merged"] {
        directory(&base.join(name), 0o755, (0, 0));
    }
    for name in ["old", "same"] {
        set_modified(&file(&base.join("lower").join(name), "x", 0o644, (0, 0)), 1, 1);
    }
    fs::hard_link(base.join("lower/same"), base.join("lower/another name")).expect("same file system");
    file(&directory(&base.join("lower/directory"), 0o755, (0, 0)).join("inner"), "x", 0o644, (0, 0));
    let options = ["lower", "upper", "work"].map(|name| format!("{name}dir={}", base.join(name).display()));
    let _mount = Mount::new(&["-t", "overlay", "none", "-o", &options.join(",")], &base.join("merged"));

    let source = place.source();
    set_modified(&file(&source.join("same"), "x", 0o644, (0, 0)), 1, 1);
    let layer = directory(&source.join("layer"), 0o755, (0, 0));
    set_attribute(&layer, "trusted.overlay.opaque", b"y");
    node(&layer.join("whiteout"), FileType::CharacterDevice, 0, 0o600, (0, 0));
    file(&layer.join("file"), "content", 0o4755, (5, 5));
    let report = mirror(&source, &base.join("merged")).expect("it can be mirrored");
    // Linux 6.7 and later keep an attribute of an overlay in an overlay under another name.
    let of_overlay = attribute(&base.join("merged/layer"), "trusted.overlay.opaque");
    assert_eq!(report.left_out_attributes, u64::from(of_overlay.is_none()));
    assert_eq!(report.left_out_whiteouts, 1, "an overlay makes no whiteout for others");
    let mut wanted = snapshot(&source);
    wanted.remove(Path::new("layer/whiteout")).expect("it is there");
    if of_overlay.is_none() {
        wanted.get_mut(Path::new("layer")).expect("it is there").attributes.clear();
    }
    assert_same(&snapshot(&base.join("merged")), &wanted);
    let again = mirror(&source, &base.join("merged")).expect("it can be mirrored");
    assert!(!again.changed(), "{again:?}");
}

#[test]
fn a_full_target_is_an_error_that_loses_nothing_and_can_be_mended() {
    require_root();
    for full in [
        Place::made_by(&["mkfs.ext4", "-q", "-F", "-m", "0"], 16),
        Place::made_by(&["mkfs.btrfs", "-q", "-M"], 40),
    ] {
        let place = Place::tmpfs();
        let (old, new) = (vec![b'o'; 300_000], vec![b'n'; 300_000]);
        for index in 0..10 {
            file(&place.source().join(index.to_string()), &old, 0o644, (0, 0));
        }
        mirror(&place.source(), &full.target()).expect("there is room");
        for index in 0..10 {
            file(&place.source().join(index.to_string()), &new, 0o644, (0, 0));
        }
        file(&place.source().join("large"), vec![1; 60 << 20], 0o644, (0, 0));
        let error = mirror(&place.source(), &full.target()).expect_err("there is no room");
        let MirrorError::NoSpace { path, .. } = &error else { panic!("{error:?}") };
        assert!(path.starts_with(full.target()), "{path:?}");
        assert!(error.to_string().contains("free space or inodes on its file system"), "{error}");
        let found = snapshot(&full.target());
        for index in 0..10 {
            let content = &found[Path::new(&index.to_string())].content;
            assert!(*content == old || *content == new, "{index} is half done");
        }
        assert!(!found.contains_key(Path::new("large")), "what cannot be finished takes no room");
        fs::remove_file(place.source().join("large")).expect("it is there");
        mirror(&place.source(), &full.target()).expect("there is room");
        assert_same(&snapshot(&full.target()), &snapshot(&place.source()));
    }
}

#[test]
fn an_immutable_file_is_an_error_that_names_it_and_says_what_to_do() {
    require_root();
    let place = Place::made_by(&["mkfs.ext4", "-q", "-F"], 64);
    set_modified(&file(&place.source().join("file"), "new", 0o644, (0, 0)), 2, 2);
    let path = file(&place.target().join("file"), "old", 0o644, (0, 0));
    run(Command::new("chattr").arg("+i").arg(&path));
    let error = mirror(&place.source(), &place.target()).expect_err("it is immutable");
    run(Command::new("chattr").arg("-i").arg(&path));
    assert!(matches!(&error, MirrorError::Refused { path: at, .. } if *at == path), "{error:?}");
    assert!(error.to_string().contains("chattr -ia"), "{error}");
    assert_eq!(fs::read(&path).expect("it is there"), b"old");
    assert_eq!(snapshot(&place.target()).len(), 1, "nothing is left over");
    mirror_and_check(&place);
}

#[test]
fn what_is_mounted_on_a_surplus_name_is_an_error() {
    require_root();
    let place = Place::tmpfs();
    let point = directory(&place.target().join("point"), 0o755, (0, 0));
    let mount = Mount::new(&["-t", "tmpfs", "none"], &point);
    let error = mirror(&place.source(), &place.target()).expect_err("something is mounted there");
    assert!(matches!(&error, MirrorError::Mounted { path, .. } if *path == point), "{error:?}");
    drop(mount);
    mirror_and_check(&place);
}
