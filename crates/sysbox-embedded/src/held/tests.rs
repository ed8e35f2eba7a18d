//! Rows of a kind stay the same or apart, and what was given stays one holder's.

use proptest::{collection::vec, prelude::*};
use sysbox_core::IdMapping;

use super::*;
use crate::{registry::new_userns, store::in_memory};

fn mappings(host: u32, size: u32) -> IdMappings {
    IdMappings::new([IdMapping::new(0, host, size).expect("a valid extent")]).expect("one extent")
}

fn range(first: u32, count: u32) -> IdRange {
    IdRange::new(first, count).expect("a valid range")
}

fn is_held(db: &Connection, id: u32, userns: UsernsNr) -> bool {
    let rows = reaching_into(db, IdKind::Uid, range(id, 1)).expect("readable");
    rows.iter().any(|row| row.userns == userns)
}

#[test]
fn ids_that_were_given_cannot_be_named_by_another_but_by_their_holder() {
    let db = in_memory();
    let (holder, other) = (new_userns(&db).expect("new"), new_userns(&db).expect("new"));
    give(&db, IdKind::Uid, range(65_536, 65_536), holder).expect("free");
    hold_named(&db, IdKind::Uid, &mappings(65_536, 1000), holder).expect("its own");
    let refused = hold_named(&db, IdKind::Uid, &mappings(131_071, 10), other).expect_err("another's");
    assert!(matches!(refused, Fault::Refused { kind: ErrorKind::FailedPrecondition, .. }));
    hold_named(&db, IdKind::Uid, &mappings(131_072, 10), other).expect("just beyond");
    hold_named(&db, IdKind::Gid, &mappings(65_536, 10), other).expect("another kind");
}

#[test]
fn the_last_id_can_be_held() {
    let db = in_memory();
    let userns = new_userns(&db).expect("new");
    hold_named(&db, IdKind::Uid, &mappings(u32::MAX - 1, 1), userns).expect("free");
    assert!(is_held(&db, u32::MAX - 1, userns));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn named_ranges_may_overlap_and_each_holder_keeps_exactly_its_own(
        named in vec((0usize..4, 1u32..60, 1u32..25), 1..14), released in 0usize..4,
    ) {
        let db = in_memory();
        let holders: Vec<_> = (0..4).map(|_| new_userns(&db).expect("new")).collect();
        for &(holder, host, size) in &named {
            hold_named(&db, IdKind::Uid, &mappings(host, size), holders[holder]).expect("nothing was given");
        }
        release(&db, holders[released]).expect("released");
        let mut rows = all(&db, IdKind::Uid).expect("readable");
        rows.dedup();
        prop_assert!(rows.windows(2).all(|pair| pair[0].last() < pair[1].first()), "{:?}", rows);
        for id in 0..90 {
            for (nr, &holder) in holders.iter().enumerate() {
                let wanted = nr != released
                    && named.iter().any(|&(by, host, size)| by == nr && range(host, size).contains(id));
                prop_assert_eq!(is_held(&db, id, holder), wanted, "id {} of {}", id, nr);
            }
        }
    }
}
