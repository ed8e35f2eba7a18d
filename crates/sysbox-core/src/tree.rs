//! Shifting the owners of a whole tree, by plan and on record.
//!
//! A tree whose owners are being shifted, or have been, says so itself: a [`TreeRecord`] is kept with its root directory.
//! So the owner that the tree has on disk is known and never guessed, and whoever comes next, after a crash too, can finish
//! or undo exactly what was begun. Only trees made for container ids (their root directory is 0:0) are ever shifted.

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
/// Its text form is what is kept with the tree: `1 <phase> <uid range> <gid range> <container id>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TreeRecord {
    /// The container that it was shifted for.
    pub container: ContainerId,
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
        write!(
            f,
            "1 {phase} {}:{} {}:{} {}",
            uids.first(),
            uids.count(),
            gids.first(),
            gids.count(),
            self.container
        )
    }
}

impl FromStr for TreeRecord {
    type Err = UnreadableTreeRecord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || UnreadableTreeRecord { text: text.chars().take(200).collect() };
        let fields: Vec<&str> = text.split(' ').collect();
        let ["1", phase, uids, gids, container] = fields[..] else { return Err(unreadable()) };
        let phase = match phase {
            "shifting" => TreePhase::Shifting,
            "shifted" => TreePhase::Shifted,
            "reverting" => TreePhase::Reverting,
            _ => return Err(unreadable()),
        };
        let range = |text: &str| text.parse::<IdRange>().map_err(|_| unreadable());
        Ok(Self {
            container: container.parse().map_err(|_| unreadable())?,
            ids: TreeIds { uids: range(uids)?, gids: range(gids)? },
            phase,
        })
    }
}

/// A record that was not written by this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record {text:?} of a shift is not of version 1; the tree is left as it is")]
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
/// `record` is what the tree says of itself, `wanted` where its owners should be: shifted to these ids, or (`None`) as
/// they were made.
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
        (Some(record), Some(ids)) if record.ids == ids => {
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
        TreeRecord { container: "c1".parse().expect("valid"), ids: ids(first), phase }
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
            assert_eq!(record.to_string().parse(), Ok(record));
        }
        assert_eq!(record(65_536, TreePhase::Shifted).to_string(), "1 shifted 65536:65536 65536:65536 c1");
    }

    #[test]
    fn a_record_of_another_version_or_a_broken_one_is_refused() {
        for text in [
            "",
            "2 shifted 1:1 1:1 c1",
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
