//! What a tree says of itself, and what a call does by that.

use std::sync::Mutex;

use sysbox_core::{
    IdRange, Owner,
    tree::{TreeIds, TreePhase, TreeRecord},
};
use sysbox_host::chown::{ChownError, Progress, ShiftReport, shift_tree};

use super::support::*;

fn on_record(phase: TreePhase) -> TreeRecord {
    TreeRecord { container: container(), from: Owner::new(0, 0), ids: ids(), phase }
}

#[test]
fn a_tree_says_that_it_is_shifted_and_forgets_it_when_reverted() {
    on_each_file_system(|root| {
        assert_eq!(record(root), None);
        shift(root).expect("it can be shifted");
        assert_eq!(record(root), Some(on_record(TreePhase::Shifted)));
        let [text, longest] =
            [TreePhase::Shifted, TreePhase::Reverting].map(|phase| on_record(phase).to_string());
        let kept = attribute(root, RECORD).expect("a record");
        assert_eq!(kept.trim_ascii_end(), text.as_bytes());
        assert_eq!(kept.len(), longest.len(), "it has the same length in each phase");
        revert(root).expect("it can be reverted");
        assert_eq!((record(root), attribute(root, RECORD)), (None, None));
    });
}

#[test]
fn a_second_shift_and_a_revert_without_a_record_do_nothing() {
    on_each_file_system(|root| {
        file(&root.join("file"), 0o4755, (1, 1));
        let before = snapshot(root);
        assert_eq!(revert(root).expect("nothing to do"), ShiftReport::default());
        assert_same(&snapshot(root), &before);
        shift(root).expect("it can be shifted");
        let shifted = snapshot(root);
        assert_eq!(shift(root).expect("nothing to do"), ShiftReport::default());
        assert_same(&snapshot(root), &shifted);
    });
}

#[test]
fn a_tree_that_another_container_takes_over_says_so() {
    require_root();
    let place = Place::temporary();
    shift(&place.root()).expect("it can be shifted");
    let other = "c2".parse().expect("valid");
    shift_tree(&abs(&place.root()), &other, ids(), &|_| ()).expect("the same ids");
    assert_eq!(record(&place.root()).expect("a record").container, other);
}

#[test]
fn a_tree_on_record_for_other_ids_is_left_as_it_is() {
    on_each_file_system(|root| {
        file(&root.join("file"), 0o644, (1, 1));
        shift(root).expect("it can be shifted");
        let before = snapshot(root);
        let range = IdRange::new(3_000_000, COUNT).expect("valid");
        let other = TreeIds { uids: range, ..ids() };
        let error = shift_tree(&abs(root), &container(), other, &|_| ()).expect_err("other ids");
        assert!(
            matches!(&error, ChownError::OtherIds { record, .. } if *record == on_record(TreePhase::Shifted)),
            "{error:?}"
        );
        assert_same(&snapshot(root), &before);
    });
}

#[test]
fn an_interrupted_revert_is_turned_into_a_shift() {
    on_each_file_system(|root| {
        let done = file(&root.join("done"), 0o644, (1, 1));
        shift(root).expect("it can be shifted");
        let shifted = snapshot(root);
        set_attribute(root, RECORD, on_record(TreePhase::Reverting).to_string().as_bytes());
        own(&done, 0o644, (1, 1));
        assert_eq!(shift(root).expect("it can be finished").changed, 1);
        assert_same(&snapshot(root), &shifted);
    });
}

#[test]
fn progress_ends_at_its_total_and_is_told_now_and_then() {
    on_each_file_system(|root| {
        for index in 0..2_000 {
            file(&root.join(index.to_string()), 0o644, (1, 1));
        }
        file(&root.join("foreign"), 0o644, (70_000, 70_000));
        let told = Mutex::new(Vec::new());
        let progress = |progress| told.lock().expect("no panic").push(progress);
        let report = shift_tree(&abs(root), &container(), ids(), &progress).expect("it can be shifted");
        assert_eq!((report.inodes, report.changed), (2_002, 2_001));
        let told = told.into_inner().expect("no panic");
        assert!(told.iter().all(|&Progress { done, total }| done <= total && total == 2_001), "{told:?}");
        assert_eq!(told.iter().map(|progress| progress.done).max(), Some(2_001));
        assert!((5..=20).contains(&told.len()), "{} times", told.len());
    });
}
