//! A file whose change was broken off between any two steps is mended, in either direction, whichever way it was going.
//!
//! The states are set up by hand as a kill, or a loss of power, would leave them: the kernel drops capabilities, then sets
//! the owner and drops the set-id bits, and the mark is there from before that until all is back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::fs::removexattr;
use sysbox_core::tree::TreePhase;

use super::support::*;

/// The group's bits are those of the mask in [`acl`].
const MODE: u32 = 0o6751;
const DROPPED: u32 = MODE & 0o777;

/// How far a change of the file has come.
#[derive(Clone, Copy, Debug)]
enum Step {
    AclRewritten,
    Marked,
    CapabilityDropped,
    Chowned,
    ModeRestored,
    CapabilityRestored,
}

const STEPS: [Step; 6] = [
    Step::AclRewritten,
    Step::Marked,
    Step::CapabilityDropped,
    Step::Chowned,
    Step::ModeRestored,
    Step::CapabilityRestored,
];

/// One side of a shift, as the file shows it.
#[derive(Clone, Copy, Debug)]
struct Side {
    owner: (u32, u32),
    capability_root: u32,
    acl: (u32, u32),
}

const MADE: Side = Side { owner: (5, 6), capability_root: 0, acl: (7, 8) };
const SHIFTED: Side = Side { owner: (UIDS + 5, GIDS + 6), capability_root: UIDS, acl: (UIDS + 7, GIDS + 8) };

fn set(path: &Path, mode: u32, side: Side, has_capability: bool) {
    own(path, mode, side.owner);
    set_attribute(path, ACCESS_ACL, &acl(&[side.acl.0], &[side.acl.1]));
    match has_capability {
        true => set_attribute(path, CAPABILITY, &capability(side.capability_root)),
        // It is not there any more if the change of owner has just dropped it.
        false => drop(removexattr(path, CAPABILITY)),
    }
}

/// Leaves the file as a change from one side to the other does that is broken off after this step.
fn break_off(path: &Path, step: Step, from: Side, to: Side) {
    let acl_rewritten = Side { acl: to.acl, ..from };
    set(path, MODE, acl_rewritten, true);
    let hexadecimal: String =
        capability(from.capability_root).iter().map(|byte| format!("{byte:02x}")).collect();
    if !matches!(step, Step::AclRewritten) {
        set_attribute(path, MARK, format!("1 {MODE:o} {hexadecimal}").as_bytes());
    }
    match step {
        Step::AclRewritten | Step::Marked => {}
        Step::CapabilityDropped => set(path, MODE, acl_rewritten, false),
        Step::Chowned => set(path, DROPPED, to, false),
        Step::ModeRestored => set(path, MODE, to, false),
        Step::CapabilityRestored => set(path, MODE, to, true),
    }
}

fn make(root: &Path) -> PathBuf {
    let path = file(&root.join("file"), MODE, MADE.owner);
    set(&path, MODE, MADE, true);
    fs::hard_link(&path, root.join("link")).expect("same file system");
    path
}

#[test]
fn a_change_broken_off_anywhere_is_finished_or_undone() {
    on_each_file_system(|root| {
        let path = make(root);
        let made = snapshot(root);
        shift(root).expect("it can be shifted");
        let shifted = snapshot(root);
        let record = attribute(root, RECORD).expect("a record");
        for phase in [TreePhase::Shifting, TreePhase::Reverting] {
            let (from, to) = match phase {
                TreePhase::Reverting => (SHIFTED, MADE),
                _ => (MADE, SHIFTED),
            };
            let text = String::from_utf8(record.clone()).expect("text");
            let text = text.replace("shifted", if to.owner == MADE.owner { "reverting" } else { "shifting" });
            for step in STEPS {
                for forward in [true, false] {
                    eprintln!(
                        "{phase:?}, broken off after {step:?}, then {}",
                        if forward { "shift" } else { "revert" }
                    );
                    set_attribute(root, RECORD, text.as_bytes());
                    break_off(&path, step, from, to);
                    let wanted = if forward {
                        shift(root).expect("it can be finished");
                        &shifted
                    } else {
                        revert(root).expect("it can be undone");
                        &made
                    };
                    assert_same(&snapshot(root), wanted);
                }
            }
        }
    });
}

#[test]
fn a_mend_that_is_broken_off_is_mended() {
    on_each_file_system(|root| {
        let path = make(root);
        let made = snapshot(root);
        shift(root).expect("it can be shifted");
        let shifted = snapshot(root);
        // A shift was broken off, then its revert as well: the mark is still the first one's.
        set_attribute(root, RECORD, b"1 reverting 1000000:65536 2000000:65536 c1");
        for step in [Step::Chowned, Step::ModeRestored, Step::CapabilityRestored] {
            for there_again in [true, false] {
                break_off(&path, Step::Chowned, MADE, SHIFTED);
                let mark = attribute(&path, MARK).expect("a mark");
                break_off(&path, step, SHIFTED, MADE);
                set_attribute(&path, MARK, &mark);
                set_attribute(root, RECORD, b"1 reverting 1000000:65536 2000000:65536 c1");
                if there_again {
                    shift(root).expect("it can be finished");
                    assert_same(&snapshot(root), &shifted);
                } else {
                    revert(root).expect("it can be undone");
                    assert_same(&snapshot(root), &made);
                }
            }
        }
    });
}
