//! The algebra and the search against what a list of ids and a list of places would say.

use std::convert::Infallible;

use proptest::{collection::vec, prelude::*};

use super::*;

const QUARTER: u32 = 16_384;

fn range(first: u32, count: u32) -> IdRange {
    IdRange::new(first, count).expect("a valid range")
}

fn set(ranges: &[IdRange]) -> IdSet {
    ranges.iter().copied().collect()
}

fn slots(first: u32, count: u32) -> IdRange {
    range(first * 65_536, count * 65_536)
}

/// Ranges with ends at quarters of slots, within 24 slots.
fn quarters(most: usize) -> impl Strategy<Value = Vec<IdRange>> {
    let one = (0u32..90, 1u32..24).prop_map(|(first, count)| range(first * QUARTER, count * QUARTER));
    vec(one, 0..most)
}

fn all_places(set: &IdSet, size: u32) -> Vec<u32> {
    let fits = |first: &u32| *first > 0 && *first >= size && set.contains_all(range(*first, size));
    (0..40).map(|slot| slot * 65_536).filter(fits).collect()
}

fn search(set: &IdSet, size: u32, from: u32, busy: &[IdRange]) -> Option<u32> {
    let mut busy = busy.to_vec();
    busy.sort();
    let found: Result<_, Infallible> = first_free(set.places(size), from, busy.into_iter().map(Ok));
    found.expect("infallible")
}

#[test]
fn a_gap_that_fits_exactly_is_used() {
    let pool = set(&[slots(1, 3)]);
    assert_eq!(search(&pool, 65_536, 0, &[slots(1, 1), slots(3, 1)]), Some(2 * 65_536));
    assert_eq!(search(&pool, 65_537, 0, &[slots(1, 1), slots(3, 1)]), None);
    assert_eq!(search(&pool, 65_536, 0, &[slots(1, 3)]), None);
}

#[test]
fn a_range_begins_at_the_first_aligned_id_of_an_unaligned_entry() {
    let pool = set(&[range(100_000, 65_536)]);
    assert_eq!(pool.places(34_464).at_or_after(0), Some(131_072));
    assert_eq!(pool.places(34_465).at_or_after(0), None);
}

#[test]
fn a_range_never_begins_at_0_or_below_its_size() {
    let pool = set(&[range(0, 500_000)]);
    assert_eq!(pool.places(1).at_or_after(0), Some(65_536));
    assert_eq!(pool.places(65_537).at_or_after(0), Some(131_072));
    assert_eq!(pool.places(250_000).at_or_after(0), None);
}

#[test]
fn the_topmost_ids_can_be_had() {
    let pool = set(&[range(0xffff_0000, 65_535)]);
    assert_eq!(pool.places(65_535).at_or_after(0), Some(0xffff_0000));
    assert_eq!(occupied(0xffff_0000, 65_535), Some(range(0xffff_0000, 65_535)));
    assert_eq!(pool.places(65_536).at_or_after(0), None);
}

proptest! {
    #[test]
    fn set_operations_do_what_they_do_to_each_id(a in quarters(8), b in quarters(8)) {
        let (left, right) = (set(&a), set(&b));
        let (minus, and, or) = (left.minus(&right), left.and(&right), left.or(&right));
        for id in (0..120).map(|quarter| quarter * QUARTER) {
            let has = |ranges: &[IdRange]| ranges.iter().any(|range| range.contains(id));
            let one = range(id, 1);
            prop_assert_eq!(left.overlaps(one), has(&a));
            prop_assert_eq!(minus.contains_all(one), has(&a) && !has(&b));
            prop_assert_eq!(and.contains_all(one), has(&a) && has(&b));
            prop_assert_eq!(or.contains_all(one), has(&a) || has(&b));
            prop_assert_eq!(left.whole_slots().contains_all(one), left.overlaps(range(id / 65_536 * 65_536, 65_536)));
        }
    }

    #[test]
    fn places_are_counted_and_numbered_in_order(pool in quarters(8), size in 1u32..200_000) {
        let pool = set(&pool);
        let places = all_places(&pool, size);
        prop_assert_eq!(pool.places(size).count(), places.len() as u64);
        for (nth, place) in places.iter().enumerate() {
            prop_assert_eq!(pool.places(size).nth(nth as u64), Some(*place));
        }
        prop_assert_eq!(pool.places(size).nth(places.len() as u64), None);
    }

    #[test]
    fn the_first_free_place_is_found_and_no_other(
        pool in quarters(8), busy in quarters(8), size in 1u32..200_000, from in 0u32..2_000_000,
    ) {
        let pool = set(&pool);
        let free = |place: &u32| {
            let slots = occupied(*place, size).expect("a valid range");
            *place >= from && !busy.iter().any(|range| range.overlaps(slots))
        };
        prop_assert_eq!(search(&pool, size, from, &busy), all_places(&pool, size).into_iter().find(free));
    }
}
