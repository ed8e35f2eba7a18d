//! The two directions of a shift, as functions on single ids.
//!
//! The tree's own range, `[0, count)` or that from another base on, and the host's range share no id (checked when a
//! [`Direction`] is made), so an id tells by itself on which side it is: applying a direction twice is applying it once, and
//! an id of neither range, which is not the container's, stays as it is.

use sysbox_core::{IdRange, Owner, tree::TreeIds};

use super::{ChownError, IdKind};

/// From where to where one kind of id goes: two ranges of the same size that share no id.
#[derive(Clone, Copy, Debug)]
struct Leg {
    from: IdRange,
    to: IdRange,
}

impl Leg {
    const fn apply(self, id: u32) -> u32 {
        if self.from.contains(id) { self.to.first() + (id - self.from.first()) } else { id }
    }

    const fn inverse(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

/// Where user and group ids go: to the host's ranges, or back to the container's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction {
    users: Leg,
    groups: Leg,
}

impl Direction {
    /// From a container's ids to the host's.
    pub(crate) fn to_host(ids: TreeIds) -> Result<Self, ChownError> {
        Self::to_host_from(Owner::new(0, 0), ids)
    }

    /// From the host's ids back to a container's.
    pub(crate) fn to_container(ids: TreeIds) -> Result<Self, ChownError> {
        Self::to_host(ids).map(Self::inverse)
    }

    /// From a tree's own ids, those from this owner's on, to the host's.
    pub(super) fn to_host_from(from: Owner, ids: TreeIds) -> Result<Self, ChownError> {
        let leg = |kind, first, range: IdRange| {
            let own = IdRange::new(first, range.count()).map_err(|source| ChownError::NoOwnRange {
                kind,
                first,
                source,
            })?;
            match own.overlaps(range) {
                false => Ok(Leg { from: own, to: range }),
                true if first == 0 => Err(ChownError::RangeTooLow { kind, range }),
                true => Err(ChownError::RangesOverlap { kind, own, range }),
            }
        };
        Ok(Self {
            users: leg(IdKind::User, from.uid.0, ids.uids)?,
            groups: leg(IdKind::Group, from.gid.0, ids.gids)?,
        })
    }

    /// The way back.
    pub(super) const fn inverse(self) -> Self {
        Self { users: self.users.inverse(), groups: self.groups.inverse() }
    }

    const fn leg(self, kind: IdKind) -> Leg {
        match kind {
            IdKind::User => self.users,
            IdKind::Group => self.groups,
        }
    }

    /// The id in place of `id`.
    pub(crate) const fn apply(self, kind: IdKind, id: u32) -> u32 {
        self.leg(kind).apply(id)
    }

    /// The range that ids of this kind go to.
    pub(crate) const fn destination(self, kind: IdKind) -> IdRange {
        self.leg(kind).to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(uids: (u32, u32), gids: (u32, u32)) -> TreeIds {
        let range = |(first, count)| IdRange::new(first, count).expect("valid");
        TreeIds { uids: range(uids), gids: range(gids) }
    }

    #[test]
    fn ranges_that_share_an_id_are_refused() {
        let low = ids((65_536, 65_536), (65_535, 65_536));
        assert!(matches!(
            Direction::to_host(low),
            Err(ChownError::RangeTooLow { kind: IdKind::Group, range }) if range == low.gids
        ));
        assert!(matches!(
            Direction::to_container(ids((0, 1), (1, 1))),
            Err(ChownError::RangeTooLow { kind: IdKind::User, .. })
        ));
        let range = ids((65_536, 65_536), (65_536, 65_536));
        assert!(Direction::to_host(range).is_ok());
        assert!(matches!(
            Direction::to_host_from(Owner::new(0, 1), range),
            Err(ChownError::RangesOverlap { kind: IdKind::Group, own, .. }) if own.last() == 65_536
        ));
    }

    #[test]
    fn a_base_without_room_for_the_range_is_refused() {
        let base = Owner::new(u32::MAX - 10, 0);
        assert!(matches!(
            Direction::to_host_from(base, ids((100, 11), (100, 11))),
            Err(ChownError::NoOwnRange { kind: IdKind::User, first, .. }) if first == base.uid.0
        ));
    }

    #[test]
    fn users_and_groups_go_their_own_way() {
        let direction =
            Direction::to_host_from(Owner::new(0, 5), ids((100_000, 10), (200_000, 20))).expect("disjoint");
        assert_eq!(direction.apply(IdKind::User, 9), 100_009);
        assert_eq!(direction.apply(IdKind::User, 10), 10, "beyond the tree's range");
        assert_eq!(direction.apply(IdKind::Group, 24), 200_019);
        assert_eq!(direction.apply(IdKind::Group, 4), 4, "below the tree's range");
    }

    proptest! {
        #[test]
        fn a_direction_applied_twice_is_applied_once_and_the_other_leads_back(
            base in 0u32..100_000, count in 1u32..100_000, gap in 0u32..1_000_000, id in any::<u32>(),
        ) {
            let (from, first) = (Owner::new(base, base), base + count + gap);
            let ids = ids((first, count), (first, count));
            let there = Direction::to_host_from(from, ids).expect("disjoint");
            let back = there.inverse();
            let shifted = there.apply(IdKind::User, id);
            prop_assert_eq!(there.apply(IdKind::User, shifted), shifted);
            if !ids.uids.contains(id) {
                prop_assert_eq!(back.apply(IdKind::User, shifted), id);
            }
        }
    }
}
