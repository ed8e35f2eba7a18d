//! What is shifted with an inode, and what must stay as it is.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::fs::FileType;

use super::support::*;

#[test]
fn an_owner_in_the_containers_range_is_shifted_and_no_other() {
    on_each_file_system(|root| {
        let cases = [
            ((0, 0), (UIDS, GIDS)),
            ((1000, 50), (UIDS + 1000, GIDS + 50)),
            ((65_535, 65_535), (UIDS + 65_535, GIDS + 65_535)),
            ((65_536, 65_536), (65_536, 65_536)),
            ((0, 70_000), (UIDS, 70_000)),
            ((GIDS, UIDS), (GIDS, UIDS)),
        ];
        for (index, (owner, _)) in cases.iter().enumerate() {
            file(&root.join(index.to_string()), 0o644, *owner);
        }
        let report = shift(root).expect("it can be shifted");
        for (index, (before, after)) in cases.iter().enumerate() {
            assert_eq!(owner(&root.join(index.to_string())), *after, "{before:?}");
        }
        assert_eq!(owner(root), (UIDS, GIDS));
        assert_eq!((report.inodes, report.changed), (7, 5), "root and four files of six");
    });
}

#[test]
fn set_id_and_sticky_bits_survive_both_ways() {
    on_each_file_system(|root| {
        let modes = [0o4755, 0o2755, 0o6711, 0o2644, 0o4000, 0o7777, 0o0000, 0o1644];
        for mode in modes {
            file(&root.join(format!("file-{mode:o}")), mode, (0, 7));
            directory(&root.join(format!("directory-{mode:o}")), mode, (7, 0));
        }
        node(&root.join("fifo"), FileType::Fifo, 0, 0o6755, (1, 1));
        let before = snapshot(root);
        shift(root).expect("it can be shifted");
        for (path, facts) in &before {
            assert_eq!(mode(path), facts.mode & 0o7777, "{path:?}");
            assert_eq!(owner(path), (facts.owner.0 + UIDS, facts.owner.1 + GIDS), "{path:?}");
            assert_eq!(attribute(path, MARK), None, "{path:?}");
        }
        revert(root).expect("it can be reverted");
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn capabilities_follow_the_root_that_they_are_for() {
    on_each_file_system(|root| {
        // Root of the capabilities before, owner, and their root after.
        let cases = [
            (0, (0, 0), UIDS),
            (0, (1000, 1000), UIDS),
            (5, (0, 0), UIDS + 5),
            (0, (70_000, 70_000), UIDS),
            (70_000, (0, 0), 70_000),
            (70_000, (70_000, 70_000), 70_000),
        ];
        let path = |index: usize| root.join(index.to_string());
        for (index, (before, owner, _)) in cases.iter().enumerate() {
            set_attribute(&file(&path(index), 0o4755, *owner), CAPABILITY, &capability(*before));
        }
        let before = snapshot(root);
        shift(root).expect("it can be shifted");
        for (index, (_, _, after)) in cases.iter().enumerate() {
            assert_eq!(attribute(&path(index), CAPABILITY), Some(capability(*after)), "{index}");
            assert_eq!(mode(&path(index)), 0o4755);
        }
        revert(root).expect("it can be reverted");
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn the_ids_in_access_and_default_acls_are_shifted_and_their_permissions_stay() {
    on_each_file_system(|root| {
        let inner = directory(&root.join("directory"), 0o755, (0, 0));
        set_attribute(&inner, DEFAULT_ACL, &acl(&[1, 70_000], &[2]));
        set_attribute(&inner, ACCESS_ACL, &acl(&[3], &[]));
        let foreign = file(&root.join("foreign"), 0o644, (70_000, 70_000));
        set_attribute(&foreign, ACCESS_ACL, &acl(&[0, 65_535], &[65_536, 9]));
        let plain = file(&root.join("plain"), 0o2755, (1, 1));
        set_attribute(&plain, ACCESS_ACL, &acl(&[], &[70_000]));
        let before = snapshot(root);
        let report = shift(root).expect("it can be shifted");
        assert_eq!(attribute(&inner, DEFAULT_ACL), Some(acl(&[UIDS + 1, 70_000], &[GIDS + 2])));
        assert_eq!(attribute(&inner, ACCESS_ACL), Some(acl(&[UIDS + 3], &[])));
        assert_eq!(attribute(&foreign, ACCESS_ACL), Some(acl(&[UIDS, UIDS + 65_535], &[65_536, GIDS + 9])));
        assert_eq!(owner(&foreign), (70_000, 70_000));
        assert_eq!(attribute(&plain, ACCESS_ACL), Some(acl(&[], &[70_000])));
        assert_eq!(report.changed, 4);
        revert(root).expect("it can be reverted");
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn an_acl_of_a_thousand_entries_is_shifted() {
    let place = Place::tmpfs();
    let path = file(&place.root().join("file"), 0o644, (0, 0));
    let users: Vec<u32> = (1..=1000).collect();
    set_attribute(&path, ACCESS_ACL, &acl(&users, &[]));
    shift(&place.root()).expect("it can be shifted");
    let shifted: Vec<u32> = users.iter().map(|id| id + UIDS).collect();
    assert_eq!(attribute(&path, ACCESS_ACL), Some(acl(&shifted, &[])));
}

#[test]
fn hard_links_count_and_change_once() {
    on_each_file_system(|root| {
        let inner = directory(&root.join("directory"), 0o755, (0, 0));
        let plain = file(&root.join("plain"), 0o644, (1, 2));
        let set_id = file(&root.join("set-id"), 0o4755, (3, 4));
        set_attribute(&set_id, CAPABILITY, &capability(0));
        for (index, at) in [root, &inner, &inner].into_iter().enumerate() {
            fs::hard_link(&plain, at.join(format!("plain-{index}"))).expect("same file system");
            fs::hard_link(&set_id, at.join(format!("set-id-{index}"))).expect("same file system");
        }
        let before = snapshot(root);
        let report = shift(root).expect("it can be shifted");
        assert_eq!((report.inodes, report.changed), (4, 4));
        assert_eq!(owner(&inner.join("plain-2")), (UIDS + 1, GIDS + 2));
        assert_eq!(fs::metadata(&set_id).expect("it is there").nlink(), 4);
        assert_eq!((mode(&set_id), owner(&set_id)), (0o4755, (UIDS + 3, GIDS + 4)));
        let report = revert(root).expect("it can be reverted");
        assert_eq!((report.inodes, report.changed), (4, 4));
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn devices_fifos_sockets_and_whiteouts_are_shifted_like_files() {
    on_each_file_system(|root| {
        node(&root.join("fifo"), FileType::Fifo, 0, 0o600, (1, 2));
        node(&root.join("socket"), FileType::Socket, 0, 0o600, (1, 2));
        node(&root.join("whiteout"), FileType::CharacterDevice, 0, 0, (1, 2));
        node(&root.join("null"), FileType::CharacterDevice, rustix::fs::makedev(1, 3), 0o666, (1, 2));
        node(&root.join("loop"), FileType::BlockDevice, rustix::fs::makedev(7, 99), 0o660, (1, 2));
        let before = snapshot(root);
        assert_eq!(shift(root).expect("it can be shifted").changed, 6);
        for path in before.keys().filter(|path| *path != root) {
            assert_eq!(owner(path), (UIDS + 1, GIDS + 2), "{path:?}");
        }
        revert(root).expect("it can be reverted");
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn a_name_may_hold_every_byte_but_slash_and_nul() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    on_each_file_system(|root| {
        let long = [b'x'; 255];
        let names: [&[u8]; 8] =
            [b"new\nline", b"\xFF\xFE", b" ", b"-R", b"...", b"*", b"\x01\x7F\"'\\", &long];
        for name in names {
            let inner = directory(&root.join(OsStr::from_bytes(name)), 0o755, (5, 6));
            file(&inner.join(OsStr::from_bytes(name)), 0o4755, (5, 6));
        }
        let before = snapshot(root);
        assert_eq!(shift(root).expect("it can be shifted").changed, 17);
        revert(root).expect("it can be reverted");
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn what_the_container_has_made_goes_back_with_the_rest() {
    on_each_file_system(|root| {
        shift(root).expect("it can be shifted");
        let made = file(&root.join("made"), 0o4751, (UIDS + 8, GIDS + 9));
        set_attribute(&made, CAPABILITY, &capability(UIDS));
        set_attribute(&made, ACCESS_ACL, &acl(&[UIDS + 1], &[]));
        let by_host = file(&root.join("by-the-host"), 0o644, (0, 0));
        revert(root).expect("it can be reverted");
        assert_eq!((owner(&made), mode(&made)), ((8, 9), 0o4751));
        assert_eq!(attribute(&made, CAPABILITY), Some(capability(0)));
        assert_eq!(attribute(&made, ACCESS_ACL), Some(acl(&[1], &[])));
        assert_eq!(owner(&by_host), (0, 0));
        assert_eq!(attribute(root, RECORD), None);
    });
}

#[test]
fn a_wide_directory_is_changed_to_the_last_name() {
    let check = |root: &Path| {
        for index in 0..3000 {
            file(&root.join(index.to_string()), 0o644, (index, index));
        }
        assert_eq!(shift(root).expect("it can be shifted").changed, 3001);
        for index in 0..3000 {
            assert_eq!(owner(&root.join(index.to_string())), (UIDS + index, GIDS + index));
        }
    };
    on_each_file_system(check);
}

#[test]
fn every_name_of_a_hard_linked_file_is_shifted_on_overlayfs_too() {
    require_root();
    for index in ["index=off", "index=on"] {
        let place = Place::tmpfs();
        let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"]
            .map(|name| directory(&place.root().join(name), 0o755, (0, 0)));
        set_attribute(&file(&lower.join("set-id"), 0o4755, (1, 2)), CAPABILITY, &capability(0));
        file(&lower.join("plain"), 0o644, (3, 4));
        for name in ["set-id", "plain"] {
            for number in 0..3 {
                fs::hard_link(lower.join(name), lower.join(format!("{name}-{number}")))
                    .expect("same file system");
            }
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={},{index}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let _mount = Mount::new(&["-t", "overlay", "none", "-o", &options], &merged);
        let visible = || -> Vec<_> {
            let facts = snapshot(&merged).into_iter();
            facts.map(|(path, facts)| (path, facts.mode, facts.owner, facts.attributes)).collect()
        };
        let before = visible();
        shift(&merged).expect("it can be shifted");
        for (path, mode, owner, attributes) in visible().into_iter().skip(1) {
            let set_id = path.to_string_lossy().contains("set-id");
            let wanted = if set_id { (UIDS + 1, GIDS + 2) } else { (UIDS + 3, GIDS + 4) };
            assert_eq!((owner, mode & 0o4000 != 0), (wanted, set_id), "{path:?} with {index}");
            assert_eq!(
                attributes.get(CAPABILITY.as_ref() as &std::ffi::OsStr),
                set_id.then(|| capability(UIDS)).as_ref()
            );
        }
        revert(&merged).expect("it can be reverted");
        assert_eq!(visible(), before, "{index}");
    }
}
