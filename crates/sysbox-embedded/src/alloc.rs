//! Giving ids to a user namespace: once, of the size asked for, and nobody else's.
//!
//! The search begins at a place that a hash of the container's id chooses, so that a name tends to get the same ids again,
//! and goes on to the next free place from there; it reads no more of the table than the run of held ranges it meets.

#[cfg(test)]
mod tests;

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use rusqlite::Connection;
use siphasher::sip::SipHasher13;
use sysbox_core::{ContainerId, ErrorKind, HostGid, HostUid, Subids};

use crate::{
    error::Fault,
    held::{self, IdKind},
    idset::{IdSet, first_free, occupied},
    pools::Pools,
    registry::{self, UsernsNr},
};

/// Chosen once; another key would send every name elsewhere.
const HASH_KEY: (u64, u64) = (0x7379_7362_6f78_2d72, 0x7375_6269_6473_0001);

/// Gives the user namespace `size` user ids and as many group ids, or tells those it has; `pools` are the ids in force,
/// asked for where it has none yet.
///
/// # Errors
/// `InvalidArgument` when it has ids of another size, `ResourceExhausted` when there are none left or never were enough.
pub(crate) fn alloc(
    db: &Connection,
    id: &ContainerId,
    userns: UsernsNr,
    size: u32,
    pools: impl FnOnce() -> Result<Arc<Pools>, Fault>,
) -> Result<Subids, Fault> {
    match registry::given(db, userns)? {
        Some(given) if given.size == size => return Ok(given.subids),
        Some(given) => {
            let had = given.size;
            let message = format!(
                "was given {had} user and group ids and now asks for {size}; a container keeps its ids until it is removed"
            );
            return Err(Fault::refused(ErrorKind::InvalidArgument, message));
        }
        None => {}
    }
    let (pools, hash) = (&*pools()?, hash_of(id));
    let (uid, gid) = match search(db, &pools.uids.usable.and(&pools.gids.usable), size, hash, &IdKind::BOTH)?
    {
        Some(both) => (both, both),
        None => {
            (search_one(db, pools, IdKind::Uid, size, hash)?, search_one(db, pools, IdKind::Gid, size, hash)?)
        }
    };
    for (kind, first) in [(IdKind::Uid, uid), (IdKind::Gid, gid)] {
        if let Some(range) = occupied(first, size) {
            held::give(db, kind, range, userns)?;
        }
    }
    let subids = Subids { uid: HostUid(uid), gid: HostGid(gid) };
    registry::set_given(db, userns, size, subids)?;
    Ok(subids)
}

fn hash_of(id: &ContainerId) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(HASH_KEY.0, HASH_KEY.1);
    id.as_str().hash(&mut hasher);
    hasher.finish()
}

fn search_one(db: &Connection, pools: &Pools, kind: IdKind, size: u32, hash: u64) -> Result<u32, Fault> {
    match search(db, &pools.of(kind).usable, size, hash, &[kind])? {
        Some(first) => Ok(first),
        None => Err(exhausted(db, pools, kind, size)?),
    }
}

/// A place in the set where `size` ids of all these kinds are free: the one that the hash chooses, or the next.
fn search(
    db: &Connection,
    set: &IdSet,
    size: u32,
    hash: u64,
    kinds: &[IdKind],
) -> Result<Option<u32>, Fault> {
    let places = set.places(size);
    let Some(chosen) = hash.checked_rem(places.count()).and_then(|nth| places.nth(nth)) else {
        return Ok(None);
    };
    for from in [chosen, 0] {
        let found = held::walk(db, kinds, from, |busy| first_free(places, from, busy))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn exhausted(db: &Connection, pools: &Pools, kind: IdKind, size: u32) -> Result<Fault, Fault> {
    let pool = pools.of(kind);
    let add = pool.cure();
    let found = match pool.too_small_for(size) {
        Some(too_small) => format!("{too_small}; {add}"),
        None => {
            let (ranges, containers) = registry::count_given(db)?;
            format!(
                "{} has no such range free, {ranges} ranges by {containers} containers are in use; \
                 remove containers that are not needed, or {add}",
                pool.origin
            )
        }
    };
    let message = format!("cannot be given {size} {} ids: {found}", kind.name());
    Ok(Fault::refused(ErrorKind::ResourceExhausted, message))
}
