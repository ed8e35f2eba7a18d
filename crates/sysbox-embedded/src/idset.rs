//! Sets of ids and the places in them where a range can begin. Pure; the ranges of a set are ordered, apart and not empty.

#[cfg(test)]
mod tests;

use sysbox_core::IdRange;

/// Ranges begin at multiples of this, and no two containers have ids in the same slot of this size. So an owner left by an
/// interrupted shift tells by its upper bits which range it is of (systemd's UIDS-GIDS document gives the same rule).
pub(crate) const SLOT: u64 = 65_536;

/// A set of ids, as half-open intervals: there `u64` needs no care at the greatest id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdSet(Vec<(u64, u64)>);

impl IdSet {
    pub(crate) fn ranges(&self) -> impl Iterator<Item = IdRange> {
        self.0.iter().filter_map(|&span| range(span))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ids are in it.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    pub(crate) fn contains_all(&self, range: IdRange) -> bool {
        let (start, end) = span(range);
        let at = self.0.partition_point(|own| own.1 <= start);
        self.0.get(at).is_some_and(|own| own.0 <= start && end <= own.1)
    }

    pub(crate) fn overlaps(&self, range: IdRange) -> bool {
        let (start, end) = span(range);
        let at = self.0.partition_point(|own| own.1 <= start);
        self.0.get(at).is_some_and(|own| own.0 < end)
    }

    #[must_use]
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        for &(mut start, end) in &self.0 {
            let first = other.0.partition_point(|hole| hole.1 <= start);
            for hole in other.0[first..].iter().take_while(|hole| hole.0 < end) {
                if start < hole.0 {
                    left.push((start, hole.0));
                }
                start = hole.1;
            }
            if start < end {
                left.push((start, end));
            }
        }
        Self(left)
    }

    #[must_use]
    pub(crate) fn and(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    #[must_use]
    pub(crate) fn or(&self, other: &Self) -> Self {
        Self::from_spans([&self.0[..], &other.0[..]].concat())
    }

    /// The slots that have an id of the set, whole.
    #[must_use]
    pub(crate) fn whole_slots(&self) -> Self {
        let rounded = self.0.iter().map(|&(start, end)| (start / SLOT * SLOT, end.next_multiple_of(SLOT)));
        Self::from_spans(rounded.collect())
    }

    /// How many slots have the first of their ids in the set: how many ranges of at most a slot could be had.
    pub(crate) fn slots(&self) -> u64 {
        self.places(1).count()
    }

    /// The places where `size` ids can begin.
    pub(crate) fn places(&self, size: u32) -> Places<'_> {
        Places { set: self, size: size.into() }
    }

    fn from_spans(mut spans: Vec<(u64, u64)>) -> Self {
        spans.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(before) if span.0 <= before.1 => before.1 = before.1.max(span.1),
                _ => merged.push(span),
            }
        }
        Self(merged)
    }
}

impl FromIterator<IdRange> for IdSet {
    fn from_iter<I: IntoIterator<Item = IdRange>>(ranges: I) -> Self {
        Self::from_spans(ranges.into_iter().map(span).collect())
    }
}

/// The places in a set where a range of one size can begin: multiples of [`SLOT`] from which on all ids are in the set.
///
/// None lies below the size: a shifted owner is never also one that was not shifted yet (`sysbox_core::tree`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    set: &'a IdSet,
    size: u64,
}

impl Places<'_> {
    pub(crate) fn count(self) -> u64 {
        self.set.0.iter().map(|&span| self.in_span(span, 0).count()).sum()
    }

    /// The place with that number, counted from 0 in ascending order.
    pub(crate) fn nth(self, mut nth: u64) -> Option<u32> {
        for &span in &self.set.0 {
            let places = self.in_span(span, 0);
            match places.nth(nth) {
                Some(place) => return u32::try_from(place).ok(),
                None => nth -= places.count(),
            }
        }
        None
    }

    /// The least place that is not below `id`.
    pub(crate) fn at_or_after(self, id: u64) -> Option<u32> {
        let at = self.set.0.partition_point(|own| own.1 <= id);
        let place = self.set.0[at..].iter().find_map(|&span| self.in_span(span, id).nth(0))?;
        u32::try_from(place).ok()
    }

    fn in_span(self, (start, end): (u64, u64), from: u64) -> Row {
        let first = start.max(self.size).max(from).max(1).next_multiple_of(SLOT);
        Row { first, count: end.checked_sub(first + self.size).map_or(0, |room| room / SLOT + 1) }
    }
}

/// Places one slot apart.
#[derive(Clone, Copy)]
struct Row {
    first: u64,
    count: u64,
}

impl Row {
    fn count(self) -> u64 {
        self.count
    }

    fn nth(self, nth: u64) -> Option<u64> {
        (nth < self.count).then_some(self.first + nth * SLOT)
    }
}

/// The first place from `from` on whose slots are all free.
///
/// `busy` gives the ranges that are taken, by their first id; all that reach beyond `from` must be among them. No more of
/// them are asked for than it takes to find the place.
pub(crate) fn first_free<E>(
    places: Places<'_>,
    from: u32,
    busy: impl IntoIterator<Item = Result<IdRange, E>>,
) -> Result<Option<u32>, E> {
    let Some(mut place) = places.at_or_after(from.into()) else { return Ok(None) };
    for range in busy {
        let (start, end) = span(range?);
        if start >= u64::from(place) + places.size.next_multiple_of(SLOT) {
            break;
        }
        if end > u64::from(place) {
            match places.at_or_after(end) {
                Some(next) => place = next,
                None => return Ok(None),
            }
        }
    }
    Ok(Some(place))
}

/// The whole slots of a range that begins at a place.
pub(crate) fn occupied(first: u32, size: u32) -> Option<IdRange> {
    let start = u64::from(first);
    // The topmost slot has no id 4294967295.
    range((start, (start + u64::from(size).next_multiple_of(SLOT)).min(u32::MAX.into())))
}

fn span(range: IdRange) -> (u64, u64) {
    (range.first().into(), u64::from(range.last()) + 1)
}

fn range((start, end): (u64, u64)) -> Option<IdRange> {
    let end = end.min(u32::MAX.into());
    let first = u32::try_from(start).ok()?;
    IdRange::new(first, u32::try_from(end.checked_sub(start)?).ok()?).ok()
}
