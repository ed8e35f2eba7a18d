//! How far a shift reaches: to the bottom of the tree, and never out of it.

use std::{fs, os::fd::OwnedFd, path::Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, statat};

use super::support::*;

#[test]
fn no_symbolic_link_is_followed() {
    on_each_file_system(|root| {
        let outside = tempfile::tempdir().expect("a directory for temporary files");
        let target = file(&outside.path().join("file"), 0o4755, (1, 1));
        let targets = [&target, outside.path(), Path::new("/nowhere"), Path::new(".."), Path::new("loop")];
        for (index, target) in targets.into_iter().enumerate() {
            symlink(target, &root.join(index.to_string()), (3, 4));
        }
        symlink(Path::new("loop"), &root.join("loop"), (3, 4));
        let (before, untouched) = (snapshot(root), snapshot(outside.path()));
        assert_eq!(shift(root).expect("it can be shifted").changed, 7);
        for path in before.keys().filter(|path| *path != root) {
            assert_eq!(owner(path), (UIDS + 3, GIDS + 4), "{path:?}");
        }
        revert(root).expect("it can be reverted");
        assert_same(&snapshot(root), &before);
        assert_same(&snapshot(outside.path()), &untouched);
    });
}

#[test]
fn what_is_mounted_in_the_tree_stays_and_what_it_hides_is_shifted() {
    on_each_file_system(|root| {
        let point = directory(&root.join("point"), 0o755, (1, 2));
        let hidden = file(&point.join("hidden"), 0o644, (3, 4));
        let covered = file(&root.join("covered"), 0o644, (5, 6));
        let outside = tempfile::tempdir().expect("a directory for temporary files");
        let source = file(&outside.path().join("file"), 0o644, (7, 7));
        let before = snapshot(root);

        let over_directory = Mount::new(&["-t", "tmpfs", "none"], &point);
        let over_file = Mount::new(&["--bind", source.to_str().expect("ASCII")], &covered);
        let inner = file(&point.join("inner"), 0o644, (8, 8));
        shift(root).expect("it can be shifted");
        assert_eq!((owner(&point), owner(&inner), owner(&covered)), ((0, 0), (8, 8), (7, 7)));
        drop((over_directory, over_file));
        assert_eq!(owner(&point), (UIDS + 1, GIDS + 2));
        assert_eq!(owner(&hidden), (UIDS + 3, GIDS + 4));
        assert_eq!(owner(&covered), (UIDS + 5, GIDS + 6));

        let over_directory = Mount::new(&["-t", "tmpfs", "none"], &point);
        revert(root).expect("it can be reverted");
        assert_eq!(owner(&point), (0, 0));
        drop(over_directory);
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn the_root_may_be_a_mount_point() {
    require_root();
    let place = Place::temporary();
    let root = place.root();
    let _mount = Mount::new(&["-t", "tmpfs", "none"], &root);
    file(&root.join("file"), 0o644, (1, 1));
    assert_eq!(shift(&root).expect("it can be shifted").changed, 2);
    assert_eq!(owner(&root), (UIDS, GIDS));
    assert!(record(&root).is_some());
}

#[test]
fn a_path_may_be_longer_than_the_kernel_takes_at_once() {
    const LEVELS: u32 = 1_500;
    const NAME: &str = "a-directory-with-a-name-of-some-length";
    let walk = |root: &Path, visit: &dyn Fn(u32, &OwnedFd)| {
        let open = |from: &OwnedFd| {
            openat(from, NAME, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        let mut at =
            openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("it is there");
        for level in 0..LEVELS {
            visit(level, &at);
            at = open(&at).expect("it is there");
        }
    };
    on_each_file_system(|root| {
        walk(root, &|_, at| mkdirat(at, NAME, Mode::RWXU).expect("a new directory"));
        let report = shift(root).expect("it can be shifted");
        assert_eq!((report.inodes, report.changed), (u64::from(LEVELS) + 1, u64::from(LEVELS) + 1));
        walk(root, &|level, at| {
            let inner = statat(at, NAME, AtFlags::SYMLINK_NOFOLLOW).expect("it is there");
            assert_eq!((inner.st_uid, inner.st_gid), (UIDS, GIDS), "level {level}");
        });
        assert_eq!(revert(root).expect("it can be reverted").changed, u64::from(LEVELS) + 1);
        walk(root, &|_, at| assert_eq!(fstat(at).expect("it is open").st_uid, 0));
    });
}

#[test]
fn a_directory_that_nobody_may_enter_is_no_obstacle() {
    on_each_file_system(|root| {
        let closed = directory(&root.join("closed"), 0o000, (1, 1));
        file(&closed.join("file"), 0o000, (1, 1));
        node(&closed.join("fifo"), FileType::Fifo, 0, 0o000, (1, 1));
        assert_eq!(shift(root).expect("it can be shifted").changed, 4);
    });
}

#[test]
fn a_root_named_by_a_symbolic_link_is_the_directory_it_leads_to() {
    require_root();
    let place = Place::temporary();
    let link = place.root().with_file_name("link");
    symlink(&place.root(), &link, (0, 0));
    shift(&link).expect("it can be shifted");
    assert_eq!((owner(&place.root()), owner(&link)), ((UIDS, GIDS), (0, 0)));
}

#[test]
fn times_of_access_and_modification_stay() {
    use std::os::unix::fs::MetadataExt;
    on_each_file_system(|root| {
        let inner = directory(&root.join("directory"), 0o755, (1, 1));
        set_attribute(&file(&inner.join("file"), 0o4755, (1, 1)), CAPABILITY, &capability(0));
        let times = || {
            [root, &inner, &inner.join("file")].map(|path| {
                let metadata = fs::metadata(path).expect("it is there");
                (metadata.atime(), metadata.atime_nsec(), metadata.mtime(), metadata.mtime_nsec())
            })
        };
        let before = times();
        shift(root).expect("it can be shifted");
        assert_eq!(times(), before);
    });
}
