//! Trees whose own ids do not begin at 0, and trees that others have shifted.

use std::fs;

use sysbox_core::{
    IdRange, Owner,
    tree::{TreeIds, TreePhase, TreeRecord},
};
use sysbox_host::chown::{ChownError, IdKind, ShiftReport, adopt, shift_tree_from};

use super::support::*;

const USER: Owner = Owner::new(1000, 100);

fn shift_from(root: &std::path::Path, from: Owner) -> Result<ShiftReport, ChownError> {
    shift_tree_from(&abs(root), &container(), from, ids(), &|_| ())
}

#[test]
fn a_users_directory_comes_to_belong_to_the_containers_root_and_goes_back() {
    on_each_file_system(|root| {
        own(root, 0o755, (1000, 100));
        let users = file(&root.join("users"), 0o6755, (1000, 100));
        let others = file(&root.join("others"), 0o644, (1005, 103));
        let below = file(&root.join("below"), 0o644, (999, 99));
        set_attribute(&users, ACCESS_ACL, &acl(&[1007, 0], &[108, 0]));
        set_attribute(&others, CAPABILITY, &capability(1000));
        fs::hard_link(&users, root.join("link")).expect("same file system");
        let before = snapshot(root);
        assert_eq!(shift_from(root, USER).expect("it can be shifted").changed, 3);
        assert_eq!((owner(root), owner(&users)), ((UIDS, GIDS), (UIDS, GIDS)));
        assert_eq!(owner(&others), (UIDS + 5, GIDS + 3));
        assert_eq!(owner(&below), (999, 99), "it is not the container's");
        assert_eq!(mode(&users), before[&users].mode & 0o7777);
        assert_eq!(attribute(&users, ACCESS_ACL), Some(acl(&[UIDS + 7, 0], &[GIDS + 8, 0])));
        assert_eq!(attribute(&others, CAPABILITY), Some(capability(UIDS)));
        let found = record(root).expect("on record");
        assert_eq!((found.from, found.phase), (USER, TreePhase::Shifted));
        assert_eq!(shift_from(root, USER).expect("nothing to do"), ShiftReport::default());
        file(&root.join("made"), 0o644, (UIDS, GIDS + 1));
        revert(root).expect("it can be reverted");
        assert_eq!(owner(&root.join("made")), (1000, 101));
        fs::remove_file(root.join("made")).expect("there");
        // The directory was written to meanwhile.
        let mut found = snapshot(root);
        found.get_mut(root).expect("there").modified = before[root].modified;
        assert_same(&found, &before);
    });
}

#[test]
fn an_interrupted_shift_from_another_base_is_undone_by_its_record() {
    on_each_file_system(|root| {
        own(root, 0o755, (1000, 100));
        let done = file(&root.join("done"), 0o644, (1001, 101));
        file(&root.join("left"), 0o644, (1002, 102));
        let before = snapshot(root);
        own(&done, 0o644, (UIDS + 1, GIDS + 1));
        set_attribute(root, RECORD, b"2 shifting 1000:100 1000000:65536 2000000:65536 c1");
        revert(root).expect("it can be undone");
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn a_base_that_differs_from_the_record_or_shares_ids_with_the_range_changes_nothing() {
    on_each_file_system(|root| {
        own(root, 0o755, (1000, 100));
        let before = snapshot(root);
        let near = Owner::new(UIDS - 1, 0);
        let error = shift_from(root, near).expect_err("shared ids");
        assert!(matches!(error, ChownError::RangesOverlap { kind: IdKind::User, .. }), "{error:?}");
        let error = shift_from(root, Owner::new(0, u32::MAX - 5)).expect_err("too few ids");
        assert!(matches!(error, ChownError::NoOwnRange { kind: IdKind::Group, .. }), "{error:?}");
        assert_same(&snapshot(root), &before);
        shift_from(root, USER).expect("it can be shifted");
        let shifted = snapshot(root);
        for error in [shift(root), shift_from(root, Owner::new(1000, 101))] {
            let error = error.expect_err("another base");
            assert!(matches!(error, ChownError::OtherIds { .. }), "{error:?}");
        }
        assert_same(&snapshot(root), &shifted);
    });
}

#[test]
fn a_tree_that_others_have_shifted_is_reverted_once_it_is_adopted() {
    on_each_file_system(|root| {
        let path = file(&root.join("file"), 0o4755, (5, 6));
        let before = snapshot(root);
        own(root, before[root].mode & 0o7777, (UIDS, GIDS));
        own(&path, 0o4755, (UIDS + 5, GIDS + 6));
        for _ in 0..2 {
            adopt(&abs(root), &container(), ids()).expect("it is shifted");
        }
        let wanted = TreeRecord {
            container: container(),
            from: Owner::new(0, 0),
            ids: ids(),
            phase: TreePhase::Shifted,
        };
        assert_eq!(record(root), Some(wanted));
        revert(root).expect("it can be reverted");
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn a_tree_that_is_not_shifted_or_has_another_record_is_not_adopted() {
    on_each_file_system(|root| {
        let error = adopt(&abs(root), &container(), ids()).expect_err("it is root's");
        assert!(
            matches!(error, ChownError::NotShifted { found, wanted, .. }
                if found == Owner::new(0, 0) && wanted == Owner::new(UIDS, GIDS)),
            "{error:?}"
        );
        assert_eq!(record(root), None);
        shift(root).expect("it can be shifted");
        let before = snapshot(root);
        let range = IdRange::new(3_000_000, COUNT).expect("valid");
        for (name, ids) in [("c2", ids()), ("c1", TreeIds { uids: range, ..ids() })] {
            let error = adopt(&abs(root), &name.parse().expect("valid"), ids).expect_err("on record");
            assert!(matches!(error, ChownError::OtherIds { .. }), "{error:?}");
        }
        set_attribute(root, RECORD, b"1 shifting 1000000:65536 2000000:65536 c1");
        let error = adopt(&abs(root), &container(), ids()).expect_err("interrupted");
        assert!(matches!(error, ChownError::OtherIds { .. }), "{error:?}");
        set_attribute(root, RECORD, &before[root].attributes[std::ffi::OsStr::new(RECORD)]);
        assert_same(&snapshot(root), &before);
    });
}
