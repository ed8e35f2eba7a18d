//! What is refused, with the reason, and leaves the tree as it was or on record.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use sysbox_core::{
    AbsPath, IdRange,
    tree::{TreeIds, TreePhase},
};
use sysbox_host::chown::{ChownError, IdKind, IdPlace, shift_tree};

use super::support::*;

/// Checks that a shift fails like this and changes nothing.
#[track_caller]
fn assert_refused(root: &Path, expected: impl Fn(&ChownError) -> bool) {
    let before = snapshot(root);
    let error = shift(root).expect_err("it must be refused");
    assert!(expected(&error), "{error:?}");
    assert_same(&snapshot(root), &before);
}

#[test]
fn an_id_that_would_pass_for_a_shifted_one_is_named() {
    type Make = fn(&Path);
    let cases: [(Make, IdPlace, IdKind, u32); 6] = [
        (|path| drop(file(path, 0o644, (UIDS, 0))), IdPlace::Owner, IdKind::User, UIDS),
        (|path| drop(file(path, 0o644, (0, GIDS + 7))), IdPlace::Owner, IdKind::Group, GIDS + 7),
        (
            |path| symlink(Path::new("x"), path, (UIDS + 65_535, 0)),
            IdPlace::Owner,
            IdKind::User,
            UIDS + 65_535,
        ),
        (
            |path| set_attribute(&file(path, 0o644, (0, 0)), ACCESS_ACL, &acl(&[], &[GIDS])),
            IdPlace::Acl,
            IdKind::Group,
            GIDS,
        ),
        (
            |path| set_attribute(&directory(path, 0o755, (0, 0)), DEFAULT_ACL, &acl(&[UIDS + 1], &[])),
            IdPlace::Acl,
            IdKind::User,
            UIDS + 1,
        ),
        (
            |path| set_attribute(&file(path, 0o644, (70_000, 0)), CAPABILITY, &capability(UIDS)),
            IdPlace::Capability,
            IdKind::User,
            UIDS,
        ),
    ];
    on_each_file_system(|root| {
        file(&root.join("innocent"), 0o4755, (1, 1));
        for (make, wanted_place, wanted_kind, wanted_id) in cases {
            let culprit = root.join("culprit");
            make(&culprit);
            assert_refused(root, |error| {
                matches!(error, ChownError::IdInRange { path, place, kind, id, .. }
                    if (path, *place, *kind, *id) == (&culprit, wanted_place, wanted_kind, wanted_id))
            });
            run(Command::new("rm").arg("-rf").arg(&culprit));
        }
    });
}

#[test]
fn a_range_that_overlaps_the_containers_own_is_refused() {
    require_root();
    let place = Place::temporary();
    let low = TreeIds { gids: IdRange::new(65_535, COUNT).expect("valid"), ..ids() };
    let error = shift_tree(&abs(&place.root()), &container(), low, &|_| ()).expect_err("too low");
    assert!(matches!(error, ChownError::RangeTooLow { kind: IdKind::Group, .. }), "{error:?}");
    assert_eq!(owner(&place.root()), (0, 0));
}

#[test]
fn a_file_system_that_keeps_no_record_is_refused() {
    require_root();
    let place = Place::ramfs();
    let root = place.root();
    let error = shift(&root).expect_err("no attributes there");
    assert!(matches!(&error, ChownError::NoTrustedAttributes { root: at, .. } if *at == root), "{error:?}");
    assert_eq!(owner(&root), (0, 0));
    let error = sysbox_host::chown::record(&abs(&root)).expect_err("no attributes there");
    assert!(matches!(error, ChownError::NoTrustedAttributes { .. }), "{error:?}");
}

#[test]
fn a_mark_without_a_record_is_refused() {
    on_each_file_system(|root| {
        let path = file(&root.join("file"), 0o755, (1, 1));
        set_attribute(&path, MARK, b"1 4755 -");
        assert_refused(root, |error| matches!(error, ChownError::StrayMark { path: at } if *at == path));
    });
}

#[test]
fn a_record_or_a_mark_of_another_version_is_refused() {
    on_each_file_system(|root| {
        set_attribute(root, RECORD, b"2 something");
        assert_refused(root, |error| matches!(error, ChownError::Record { .. }));
        assert!(matches!(revert(root), Err(ChownError::Record { .. })));
        set_attribute(root, RECORD, b"1 shifting 1000000:65536 2000000:65536 c1");
        let path = file(&root.join("file"), 0o755, (1, 1));
        set_attribute(&path, MARK, b"2 something");
        assert_refused(
            root,
            |error| matches!(error, ChownError::Attribute { path: at, attribute: MARK } if *at == path),
        );
    });
}

#[test]
fn a_root_that_is_no_directory_is_refused() {
    require_root();
    let place = Place::temporary();
    let cases = [
        (file(&place.root().join("file"), 0o644, (0, 0)), std::io::ErrorKind::NotADirectory),
        (place.root().join("missing"), std::io::ErrorKind::NotFound),
    ];
    for (root, kind) in cases {
        let error = shift(&root).expect_err("no directory");
        assert!(
            matches!(&error, ChownError::System { path, source, .. } if *path == root && source.kind() == kind),
            "{error:?}"
        );
    }
}

#[test]
fn without_the_privilege_to_see_a_record_none_is_denied() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    require_root();
    let place = Place::temporary();
    let root: AbsPath = abs(&place.root());
    let unprivileged = std::thread::spawn(move || {
        let mut sets = capabilities(None).expect("of this thread");
        sets.effective.remove(CapabilitySet::SYS_ADMIN);
        set_capabilities(None, sets).expect("fewer than before");
        sysbox_host::chown::record(&root)
    });
    let answer = unprivileged.join().expect("no panic");
    assert!(matches!(answer, Err(ChownError::NotPrivileged)), "{answer:?}");
}

/// Makes a file immutable until the guard goes.
struct Immutable<'a>(&'a Path);

impl<'a> Immutable<'a> {
    fn new(path: &'a Path) -> Self {
        run(Command::new("chattr").arg("+i").arg(path));
        Self(path)
    }
}

impl Drop for Immutable<'_> {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(self.0).status();
    }
}

#[test]
fn a_file_that_cannot_be_changed_is_named_and_the_shift_can_be_undone_or_finished() {
    require_root();
    for (place, mode) in [(Place::temporary(), 0o644), (Place::ext4(), 0o644), (Place::ext4(), 0o4755)] {
        let root = place.root();
        for index in 0..500 {
            file(&root.join(index.to_string()), 0o4755, (1, 1));
        }
        let path = file(&root.join("immutable"), mode, (1, 1));
        let before = snapshot(&root);
        let immutable = Immutable::new(&path);
        let refused =
            |error: &ChownError| matches!(error, ChownError::Refused { path: at, .. } if *at == path);
        let error = shift(&root).expect_err("it is immutable");
        assert!(refused(&error), "{error:?}");
        assert_eq!(record(&root).expect("a record").phase, TreePhase::Shifting);
        revert(&root).expect("the file has stayed as it was");
        assert_same(&snapshot(&root), &before);

        shift(&root).expect_err("it is immutable");
        drop(immutable);
        shift(&root).expect("it can be finished");
        assert_eq!(fs::metadata(&path).expect("it is there").uid(), UIDS + 1);
        assert_eq!(record(&root).expect("a record").phase, TreePhase::Shifted);
        revert(&root).expect("it can be reverted");
        assert_same(&snapshot(&root), &before);
    }
}

#[test]
fn each_error_names_its_path_and_what_to_do() {
    require_root();
    let place = Place::temporary();
    let root = place.root();
    let culprit = file(&root.join("a\nb"), 0o644, (UIDS, 0));
    assert_eq!(
        shift(&root).expect_err("in the range").to_string(),
        format!(
            "{culprit:?} has the user id 1000000 (as owner) in the range 1000000-1065535 that the tree is to be shifted \
             to; choose another range, or change it"
        )
    );
}
