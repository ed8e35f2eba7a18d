//! The rules of giving ids, on a database in memory.

use proptest::{collection::vec, prelude::*};
use sysbox_core::IdRange;

use super::*;
use crate::{idset::SLOT, pools::Pool, registry::new_userns, store::in_memory};

fn range(first: u32, count: u32) -> IdRange {
    IdRange::new(first, count).expect("a valid range")
}

fn pools(uids: &[IdRange], gids: &[IdRange]) -> Arc<Pools> {
    let pool = |ranges: &[IdRange]| Pool::of_option(ranges.iter().copied().collect());
    Arc::new(Pools { uids: pool(uids), gids: pool(gids) })
}

fn id(text: &str) -> ContainerId {
    text.parse().expect("a valid id")
}

fn give(db: &Connection, name: &str, size: u32, pools: &Arc<Pools>) -> Result<(u32, u32), Fault> {
    let subids = alloc(db, &id(name), new_userns(db).expect("new"), size, || Ok(pools.clone()))?;
    Ok((subids.uid.0, subids.gid.0))
}

fn kind(outcome: Result<(u32, u32), Fault>) -> ErrorKind {
    match outcome {
        Err(Fault::Refused { kind, .. }) => kind,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_second_call_gives_the_same_and_another_size_is_refused() {
    let db = in_memory();
    let pools = pools(&[range(65_536, 10 * 65_536)], &[range(65_536, 10 * 65_536)]);
    let userns = new_userns(&db).expect("new");
    let not_asked = || panic!("the files are not needed");
    let first = alloc(&db, &id("c"), userns, 65_536, || Ok(pools.clone())).expect("free");
    assert_eq!(alloc(&db, &id("c"), userns, 65_536, not_asked).expect("the same"), first);
    assert_eq!(alloc(&db, &id("other"), userns, 65_536, not_asked).expect("shared"), first);
    let other = alloc(&db, &id("c"), userns, 65_537, not_asked).map(|subids| (subids.uid.0, subids.gid.0));
    assert_eq!(kind(other), ErrorKind::InvalidArgument);
}

#[test]
fn a_name_tends_to_get_the_same_ids() {
    let all = [range(65_536, 1000 * 65_536)];
    let given: Vec<_> =
        (0..2).map(|_| give(&in_memory(), "web", 65_536, &pools(&all, &all)).expect("free")).collect();
    assert_eq!(given[0], given[1]);
    let other = give(&in_memory(), "db", 65_536, &pools(&all, &all)).expect("free");
    assert_ne!(given[0], other);
}

#[test]
fn user_and_group_ids_begin_alike_where_they_can_and_apart_where_not() {
    let db = in_memory();
    let apart = pools(&[range(65_536, 131_072)], &[range(131_072, 131_072)]);
    assert_eq!(give(&db, "a", 65_536, &apart).expect("free"), (131_072, 131_072));
    assert_eq!(give(&db, "b", 65_536, &apart).expect("free"), (65_536, 196_608));
    assert_eq!(kind(give(&db, "c", 65_536, &apart)), ErrorKind::ResourceExhausted);
}

#[test]
fn a_pool_is_used_to_its_last_slot_and_then_says_what_is_in_use() {
    let db = in_memory();
    let all = [range(65_536, 3 * 65_536), range(655_360, 65_536)];
    for name in ["a", "b", "c", "d"] {
        give(&db, name, 1, &pools(&all, &all)).expect("one slot each");
    }
    assert_eq!(kind(give(&db, "e", 1, &pools(&all, &all))), ErrorKind::ResourceExhausted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn ranges_are_aligned_within_the_pool_and_no_two_share_a_slot(
        sizes in vec(1u32..200_000, 1..24), slots in 1u32..40, odd in 0u32..65_536,
    ) {
        let db = in_memory();
        let pool = range(odd + 1, slots * 65_536);
        let pools = pools(&[pool], &[pool]);
        let mut given: Vec<IdRange> = Vec::new();
        for (nr, &size) in sizes.iter().enumerate() {
            match give(&db, &format!("c{nr}"), size, &pools) {
                Ok((uid, gid)) => {
                    let own = range(uid, size);
                    prop_assert_eq!(uid, gid);
                    prop_assert_eq!(u64::from(uid) % SLOT, 0);
                    prop_assert!(uid >= size && pool.contains(uid) && pool.contains(own.last()));
                    let slots = occupied(uid, size).expect("valid");
                    prop_assert!(given.iter().all(|other| !other.overlaps(slots)));
                    given.push(slots);
                }
                outcome => {
                    prop_assert_eq!(kind(outcome), ErrorKind::ResourceExhausted);
                    let taken = |place: u32| {
                        let slots = occupied(place, size).expect("valid");
                        given.iter().any(|other| other.overlaps(slots))
                    };
                    let places = pools.uids.usable.places(size);
                    prop_assert!((0..places.count()).filter_map(|nth| places.nth(nth)).all(taken));
                }
            }
        }
    }
}
