//! Whose the host's ids are. They are given, and kept apart, in slots of 65,536.
//!
//! A slot is given to one user namespace, or named by specs of any number of them, or free. Only free ones are given, and no
//! other user namespace may name what was given.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use sysbox_core::{HostGid, HostUid, IdRange, Subids};

use super::container::Mappings;

/// How many ids a slot has.
const SLOT: u32 = 65_536;

/// A user namespace, as far as ids go: containers that share one share its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Userns(pub(super) u64);

/// What ids are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    User,
    Group,
}

impl Kind {
    pub(super) const BOTH: [Self; 2] = [Self::User, Self::Group];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

impl Mappings {
    /// The host's ids in them.
    pub(super) fn host_ids(&self) -> impl Iterator<Item = (Kind, IdRange)> {
        Kind::BOTH.into_iter().flat_map(|kind| {
            let mappings = match kind {
                Kind::User => &self.uids,
                Kind::Group => &self.gids,
            };
            mappings.as_slice().iter().map(move |extent| (kind, extent.host()))
        })
    }
}

/// The ids of both kinds.
#[derive(Debug)]
pub(super) struct Ids {
    pool: IdRange,
    users: Slots,
    groups: Slots,
}

impl Ids {
    pub(super) fn new(pool: IdRange) -> Self {
        Self { pool, users: Slots::new(pool), groups: Slots::new(pool) }
    }

    /// Gives a user namespace `size` ids of each kind, alike where that is possible.
    ///
    /// # Errors
    /// The kind of which there is no such range.
    pub(super) fn give(&mut self, size: u32, userns: Userns) -> Result<Subids, Kind> {
        let (uid, gid) = match self.place(size, &Kind::BOTH) {
            Some(both) => (both, both),
            None => (
                self.place(size, &[Kind::User]).ok_or(Kind::User)?,
                self.place(size, &[Kind::Group]).ok_or(Kind::Group)?,
            ),
        };
        for (kind, first) in [(Kind::User, uid), (Kind::Group, gid)] {
            self.of_mut(kind).give(slots_from(first, size), userns);
        }
        Ok(Subids { uid: HostUid(uid), gid: HostGid(gid) })
    }

    /// Takes back what [`give`](Self::give) gave.
    pub(super) fn take_back(&mut self, subids: Subids, size: u32) {
        for (kind, first) in [(Kind::User, subids.uid.0), (Kind::Group, subids.gid.0)] {
            self.of_mut(kind).take_back(slots_from(first, size));
        }
    }

    /// Notes that a spec names ids, so that they are given to nobody.
    pub(super) fn name(&mut self, kind: Kind, ids: IdRange) {
        self.of_mut(kind).name(slots_of(ids));
    }

    /// Notes that one spec less names ids.
    pub(super) fn unname(&mut self, kind: Kind, ids: IdRange) {
        self.of_mut(kind).unname(slots_of(ids));
    }

    /// The user namespaces that were given some of these ids.
    pub(super) fn given_to(&self, kind: Kind, ids: IdRange) -> impl Iterator<Item = Userns> {
        self.of(kind).given.range(slots_of(ids)).map(|(_, userns)| *userns)
    }

    /// Where `size` ids of all these kinds can begin: at a multiple of the slot, and not below their number, for then no id
    /// that was shifted is one that was not.
    fn place(&self, size: u32, kinds: &[Kind]) -> Option<u32> {
        let candidates = kinds.first().into_iter().flat_map(|kind| &self.of(*kind).free);
        let mut places = candidates.map(|slot| slot * SLOT);
        places.find(|&first| {
            let fits =
                first.checked_add(size - 1).is_some_and(|last| first >= size && last <= self.pool.last());
            fits && kinds
                .iter()
                .all(|kind| slots_from(first, size).all(|slot| self.of(*kind).free.contains(&slot)))
        })
    }

    const fn of(&self, kind: Kind) -> &Slots {
        match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
        }
    }

    const fn of_mut(&mut self, kind: Kind) -> &mut Slots {
        match kind {
            Kind::User => &mut self.users,
            Kind::Group => &mut self.groups,
        }
    }
}

/// The slots of one kind of id, by number.
#[derive(Debug)]
struct Slots {
    /// Those of the pool.
    all: RangeInclusive<u32>,
    /// Those of the pool that are neither given nor named.
    free: BTreeSet<u32>,
    given: BTreeMap<u32, Userns>,
    /// How often each is named.
    named: BTreeMap<u32, u32>,
}

impl Slots {
    fn new(pool: IdRange) -> Self {
        let all = pool.first().div_ceil(SLOT)..=pool.last() / SLOT;
        Self { free: all.clone().collect(), all, given: BTreeMap::new(), named: BTreeMap::new() }
    }

    fn give(&mut self, slots: RangeInclusive<u32>, userns: Userns) {
        for slot in slots {
            self.free.remove(&slot);
            self.given.insert(slot, userns);
        }
    }

    fn take_back(&mut self, slots: RangeInclusive<u32>) {
        for slot in slots {
            self.given.remove(&slot);
            self.settle(slot);
        }
    }

    fn name(&mut self, slots: RangeInclusive<u32>) {
        for slot in slots {
            *self.named.entry(slot).or_default() += 1;
            self.free.remove(&slot);
        }
    }

    fn unname(&mut self, slots: RangeInclusive<u32>) {
        for slot in slots {
            if let Some(times) = self.named.get_mut(&slot) {
                *times -= 1;
                if *times == 0 {
                    self.named.remove(&slot);
                }
            }
            self.settle(slot);
        }
    }

    fn settle(&mut self, slot: u32) {
        let held = self.given.contains_key(&slot) || self.named.contains_key(&slot);
        if !held && self.all.contains(&slot) {
            self.free.insert(slot);
        }
    }
}

fn slots_of(ids: IdRange) -> RangeInclusive<u32> {
    ids.first() / SLOT..=ids.last() / SLOT
}

/// The slots of `size` ids from `first` on, which are within a pool.
fn slots_from(first: u32, size: u32) -> RangeInclusive<u32> {
    first / SLOT..=first.saturating_add(size - 1) / SLOT
}
