//! The two directions of a shift, as functions on single ids.
//!
//! The container's range `[0, count)` and the host's range share no id (checked when a [`Direction`] is made), so an id
//! tells by itself on which side it is: applying a direction twice is applying it once, and an id of neither range, which is
//! not the container's, stays as it is.

use sysbox_core::{IdRange, tree::TreeIds};

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
pub(super) struct Direction {
    users: Leg,
    groups: Leg,
}

impl Direction {
    /// From the container's ids to the host's.
    pub(super) fn to_host(ids: TreeIds) -> Result<Self, ChownError> {
        let leg = |kind, range: IdRange| match IdRange::new(0, range.count()) {
            Ok(own) if !own.overlaps(range) => Ok(Leg { from: own, to: range }),
            _ => Err(ChownError::RangeTooLow { kind, range }),
        };
        Ok(Self { users: leg(IdKind::User, ids.uids)?, groups: leg(IdKind::Group, ids.gids)? })
    }

    /// From the host's ids back to the container's.
    pub(super) fn to_container(ids: TreeIds) -> Result<Self, ChownError> {
        let Self { users, groups } = Self::to_host(ids)?;
        Ok(Self { users: users.inverse(), groups: groups.inverse() })
    }

    const fn leg(self, kind: IdKind) -> Leg {
        match kind {
            IdKind::User => self.users,
            IdKind::Group => self.groups,
        }
    }

    /// The id in place of `id`.
    pub(super) const fn apply(self, kind: IdKind, id: u32) -> u32 {
        self.leg(kind).apply(id)
    }

    /// The range that ids of this kind go to.
    pub(super) const fn destination(self, kind: IdKind) -> IdRange {
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
    fn a_range_that_begins_below_its_size_is_refused() {
        let low = ids((65_536, 65_536), (65_535, 65_536));
        assert!(matches!(
            Direction::to_host(low),
            Err(ChownError::RangeTooLow { kind: IdKind::Group, range }) if range == low.gids
        ));
        assert!(matches!(
            Direction::to_container(ids((0, 1), (1, 1))),
            Err(ChownError::RangeTooLow { kind: IdKind::User, .. })
        ));
    }

    #[test]
    fn users_and_groups_go_their_own_way() {
        let direction = Direction::to_host(ids((100_000, 10), (200_000, 20))).expect("high enough");
        assert_eq!(direction.apply(IdKind::User, 9), 100_009);
        assert_eq!(direction.apply(IdKind::User, 10), 10, "beyond the container's range");
        assert_eq!(direction.apply(IdKind::Group, 19), 200_019);
    }

    proptest! {
        #[test]
        fn a_direction_applied_twice_is_applied_once_and_the_other_leads_back(
            count in 1u32..100_000, gap in 0u32..1_000_000, id in any::<u32>(),
        ) {
            let ids = ids((count + gap, count), (count + gap, count));
            let there = Direction::to_host(ids).expect("high enough");
            let back = Direction::to_container(ids).expect("high enough");
            let shifted = there.apply(IdKind::User, id);
            prop_assert_eq!(there.apply(IdKind::User, shifted), shifted);
            if !ids.uids.contains(id) {
                prop_assert_eq!(back.apply(IdKind::User, shifted), id);
            }
        }
    }
}
