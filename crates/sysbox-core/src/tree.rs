//! Shifting the owners of a whole tree, by plan and on record.
//!
//! A tree whose owners are being shifted, or have been, says so itself: a [`TreeRecord`] is kept with its root directory.
//! So the owner that the tree has on disk is known and never guessed, and whoever comes next, after a crash too, can finish
//! or undo exactly what was begun. A tree is made for container ids from 0 on, or from some other [`Owner`] on who stands for
//! the container's root, as in a directory of a user's that is mounted into a container.

use std::{fmt, str::FromStr};

use crate::{ContainerId, HostGid, HostUid, IdRange, Owner};

/// The ranges of the host's ids that a tree's owners are shifted to: those of a user namespace with one extent from
/// container id 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TreeIds {
    /// The user ids.
    pub uids: IdRange,
    /// The group ids.
    pub gids: IdRange,
}

impl TreeIds {
    /// The host's owner of what the container's root owns.
    pub const fn root(self) -> Owner {
        Owner { uid: HostUid(self.uids.first()), gid: HostGid(self.gids.first()) }
    }
}

/// How far a shift has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TreePhase {
    /// Begun: some owners may be shifted, some not.
    Shifting,
    /// Done: every owner is shifted.
    Shifted,
    /// Being undone: some owners may be shifted still.
    Reverting,
}

/// What a tree says of the shift of its owners.
///
/// Its text form is what is kept with the tree: `1 <phase> <uid range> <gid range> <container id>` where the container's
/// root was 0:0, and otherwise `2 <phase> <uid>:<gid> <uid range> <gid range> <container id>` with who it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TreeRecord {
    /// The container that it was shifted for.
    pub container: ContainerId,
    /// Who stands for the container's root where the tree is not shifted: 0:0 in a tree made for containers.
    pub from: Owner,
    /// Where to.
    pub ids: TreeIds,
    /// How far it has come.
    pub phase: TreePhase,
}

impl fmt::Display for TreeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            TreePhase::Shifting => "shifting",
            TreePhase::Shifted => "shifted",
            TreePhase::Reverting => "reverting",
        };
        let TreeIds { uids, gids } = self.ids;
        match self.from {
            from if from.is_root() => write!(f, "1 {phase} ")?,
            from => write!(f, "2 {phase} {from} ")?,
        }
        let range = |range: IdRange| format!("{}:{}", range.first(), range.count());
        write!(f, "{} {} {}", range(uids), range(gids), self.container)
    }
}

impl FromStr for TreeRecord {
    type Err = UnreadableTreeRecord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || UnreadableTreeRecord { text: text.chars().take(200).collect() };
        let fields: Vec<&str> = text.split(' ').collect();
        let (phase, from, uids, gids, container) = match fields[..] {
            ["1", phase, uids, gids, container] => (phase, Owner::new(0, 0), uids, gids, container),
            ["2", phase, from, uids, gids, container] => {
                (phase, owner(from).ok_or_else(unreadable)?, uids, gids, container)
            }
            _ => return Err(unreadable()),
        };
        let phase = match phase {
            "shifting" => TreePhase::Shifting,
            "shifted" => TreePhase::Shifted,
            "reverting" => TreePhase::Reverting,
            _ => return Err(unreadable()),
        };
        let range = |text: &str| text.parse::<IdRange>().map_err(|_| unreadable());
        Ok(Self {
            container: container.parse().map_err(|_| unreadable())?,
            from,
            ids: TreeIds { uids: range(uids)?, gids: range(gids)? },
            phase,
        })
    }
}

/// Reads `UID:GID`.
fn owner(text: &str) -> Option<Owner> {
    let (uid, gid) = text.split_once(':')?;
    Some(Owner::new(uid.parse().ok()?, gid.parse().ok()?))
}

/// A record that was not written by this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record {text:?} of a shift is not of version 1 or 2; the tree is left as it is")]
pub struct UnreadableTreeRecord {
    /// The record, cut after 200 characters.
    pub text: String,
}

/// What must be done to a tree so that its owners are as wanted, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TreePlan {
    /// Shift back what the record says.
    pub revert: bool,
    /// Shift to these.
    pub shift: Option<TreeIds>,
}

/// Decides what must be done to a tree.
///
/// `record` is what the tree says of itself, `wanted` where its owners should be: shifted from 0:0 to these ids, or (`None`)
/// as they were made.
///
/// ```
/// use sysbox_core::tree::{TreePlan, plan};
///
/// assert_eq!(plan(None, None), TreePlan::default());
/// ```
pub fn plan(record: Option<&TreeRecord>, wanted: Option<TreeIds>) -> TreePlan {
    match (record, wanted) {
        (None, shift) => TreePlan { revert: false, shift },
        (Some(_), None) => TreePlan { revert: true, shift: None },
        (Some(record), Some(ids)) if record.ids == ids && record.from.is_root() => {
            // Each owner tells by its range whether it is shifted, so going on needs no way back first.
            let done = record.phase == TreePhase::Shifted;
            TreePlan { revert: false, shift: (!done).then_some(ids) }
        }
        (Some(_), Some(ids)) => TreePlan { revert: true, shift: Some(ids) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(first: u32) -> TreeIds {
        let range = IdRange::new(first, 65_536).expect("valid");
        TreeIds { uids: range, gids: range }
    }

    fn record(first: u32, phase: TreePhase) -> TreeRecord {
        let container = "c1".parse().expect("valid");
        TreeRecord { container, from: Owner::new(0, 0), ids: ids(first), phase }
    }

    const PHASES: [TreePhase; 3] = [TreePhase::Shifting, TreePhase::Shifted, TreePhase::Reverting];

    #[test]
    fn a_tree_on_record_is_never_shifted_twice() {
        for phase in PHASES {
            let record = record(65_536, phase);
            let same = plan(Some(&record), Some(ids(65_536)));
            assert_eq!(same.shift.is_none(), phase == TreePhase::Shifted);
            assert!(!same.revert);
            assert_eq!(
                plan(Some(&record), Some(ids(131_072))),
                TreePlan { revert: true, shift: Some(ids(131_072)) },
                "another range is reached by way of the owners as made"
            );
            assert_eq!(plan(Some(&record), None), TreePlan { revert: true, shift: None });
            let other_base = TreeRecord { from: Owner::new(1000, 1000), ..record };
            assert_eq!(
                plan(Some(&other_base), Some(ids(65_536))),
                TreePlan { revert: true, shift: Some(ids(65_536)) },
                "so is the way from another base"
            );
        }
    }

    #[test]
    fn a_tree_without_a_record_is_shifted_if_wanted() {
        assert_eq!(plan(None, Some(ids(65_536))), TreePlan { revert: false, shift: Some(ids(65_536)) });
        assert_eq!(plan(None, None), TreePlan::default());
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for phase in PHASES {
            let record = record(231_072, phase);
            assert_eq!(record.to_string().parse(), Ok(record.clone()));
            let based = TreeRecord { from: Owner::new(1000, 0), ..record };
            assert_eq!(based.to_string().parse(), Ok(based));
        }
        let record = record(65_536, TreePhase::Shifted);
        assert_eq!(record.to_string(), "1 shifted 65536:65536 65536:65536 c1");
        let based = TreeRecord { from: Owner::new(1000, 100), ..record };
        assert_eq!(based.to_string(), "2 shifted 1000:100 65536:65536 65536:65536 c1");
    }

    #[test]
    fn a_record_of_another_version_or_a_broken_one_is_refused() {
        for text in [
            "",
            "2 shifted 1:1 1:1 c1",
            "2 shifted 1 1:1 1:1 c1",
            "2 shifted -1:1 1:1 1:1 c1",
            "1 shifted 1:1 1:1 1:1 c1",
            "3 shifted 1:1 1:1 c1",
            "1 shifted 1:1 1:1",
            "1 gone 1:1 1:1 c",
            "1 shifted 1:0 1:1 c",
            "1 shifted 1:1 1:1 c d",
        ] {
            assert!(text.parse::<TreeRecord>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_a_record_never_panics(text in ".*") {
            let _ = text.parse::<TreeRecord>();
        }
    }
}
