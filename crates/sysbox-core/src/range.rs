//! Ranges of ids and the distance between two of them. No arithmetic here can wrap.

use std::{fmt, num::NonZeroU32, str::FromStr};

/// The greatest id that the kernel takes: 4294967295, `(uid_t)-1`, means "leave as it is".
const LAST_ID: u32 = u32::MAX - 1;

/// A range of user or group ids: at least one, none above 4294967294.
///
/// ```
/// use sysbox_core::IdRange;
///
/// let range: IdRange = "100000:65536".parse()?;
/// assert_eq!(range.last(), 165_535);
/// assert!(range.overlaps(IdRange::new(165_535, 1)?));
/// # Ok::<(), sysbox_core::InvalidIdRange>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdRange {
    first: u32,
    count: NonZeroU32,
}

impl IdRange {
    /// The `count` ids from `first` on.
    ///
    /// # Errors
    /// [`InvalidIdRange`] when `count` is 0 or the last id would be above 4294967294.
    pub fn new(first: u32, count: u32) -> Result<Self, InvalidIdRange> {
        let count = NonZeroU32::new(count).ok_or(InvalidIdRange::Empty { first })?;
        match first.checked_add(count.get() - 1) {
            Some(last) if last <= LAST_ID => Ok(Self { first, count }),
            _ => Err(InvalidIdRange::Overflow { first, count: count.get() }),
        }
    }

    /// The least id.
    pub const fn first(self) -> u32 {
        self.first
    }

    /// The greatest id.
    pub const fn last(self) -> u32 {
        self.first + (self.count.get() - 1)
    }

    /// How many ids it has.
    pub const fn count(self) -> u32 {
        self.count.get()
    }

    /// Whether `id` is one of them.
    pub const fn contains(self, id: u32) -> bool {
        self.first <= id && id <= self.last()
    }

    /// Whether an id is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }

    /// How far `other` begins from here.
    pub fn offset_to(self, other: Self) -> IdOffset {
        IdOffset(i64::from(other.first) - i64::from(self.first))
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last())
    }
}

impl FromStr for IdRange {
    type Err = InvalidIdRange;

    /// Reads `FIRST:COUNT`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || InvalidIdRange::Malformed { text: text.to_owned() };
        let (first, count) = text.split_once(':').ok_or_else(malformed)?;
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| malformed());
        Self::new(number(first)?, number(count)?)
    }
}

/// Why numbers or a text are not an [`IdRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIdRange {
    /// It would hold no id.
    #[error("id range from {first} on has size 0; it needs at least 1")]
    Empty {
        /// Its first id.
        first: u32,
    },
    /// It would reach beyond the greatest id.
    #[error("id range of {count} ids from {first} on goes beyond 4294967294, the greatest id")]
    Overflow {
        /// Its first id.
        first: u32,
        /// How many ids were asked for.
        count: u32,
    },
    /// The text is not two numbers.
    #[error("id range {text:?} is not FIRST:COUNT, two whole numbers below 4294967296")]
    Malformed {
        /// The text.
        text: String,
    },
}

/// The distance by which ids are shifted, -4294967294 to 4294967294.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdOffset(i64);

impl IdOffset {
    /// The offset of that many ids.
    ///
    /// # Errors
    /// [`OffsetOutOfRange`] when no id would be an id after it.
    pub const fn new(offset: i64) -> Result<Self, OffsetOutOfRange> {
        if offset.unsigned_abs() > LAST_ID as u64 {
            return Err(OffsetOutOfRange { offset });
        }
        Ok(Self(offset))
    }

    /// The offset as a number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The id that far from `id`, if it is one.
    pub fn apply(self, id: u32) -> Option<u32> {
        let shifted = u32::try_from(i64::from(id) + self.0).ok()?;
        (shifted <= LAST_ID).then_some(shifted)
    }

    /// The way back.
    #[must_use]
    pub const fn inverse(self) -> Self {
        Self(-self.0)
    }
}

impl From<i32> for IdOffset {
    fn from(offset: i32) -> Self {
        Self(i64::from(offset))
    }
}

impl fmt::Display for IdOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+}", self.0)
    }
}

/// An offset that takes every id out of what the kernel knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("id offset {offset} is not within -4294967294 to 4294967294")]
pub struct OffsetOutOfRange {
    /// The number.
    pub offset: i64,
}

/// The offsets of user ids and of group ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdOffsets {
    /// By how much user ids are shifted.
    pub uid: IdOffset,
    /// By how much group ids are shifted.
    pub gid: IdOffset,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_range_ends_at_the_greatest_id_the_kernel_takes() {
        assert_eq!(IdRange::new(u32::MAX - 1, 1).expect("the last id").last(), u32::MAX - 1);
        assert!(matches!(IdRange::new(u32::MAX, 1), Err(InvalidIdRange::Overflow { .. })));
        assert!(matches!(IdRange::new(1, u32::MAX), Err(InvalidIdRange::Overflow { .. })));
        assert!(matches!(IdRange::new(7, 0), Err(InvalidIdRange::Empty { first: 7 })));
        assert_eq!(IdRange::new(0, u32::MAX).expect("all ids").last(), u32::MAX - 1);
    }

    #[test]
    fn a_range_is_read_from_first_and_count() {
        assert_eq!("5:3".parse(), IdRange::new(5, 3));
        for text in ["", "5", "5-3", "a:3", "5:", ":3", "-1:3", "4294967296:1", "1:2:3"] {
            assert!(matches!(text.parse::<IdRange>(), Err(InvalidIdRange::Malformed { .. })), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn two_ranges_overlap_exactly_when_they_share_an_id(
            a in 0u32..50, na in 1u32..20, b in 0u32..50, nb in 1u32..20,
        ) {
            let (a, b) = (IdRange::new(a, na).expect("small"), IdRange::new(b, nb).expect("small"));
            let shared = (0..100).any(|id| a.contains(id) && b.contains(id));
            prop_assert_eq!(a.overlaps(b), shared);
            prop_assert_eq!(b.overlaps(a), shared);
        }

        #[test]
        fn an_offset_and_its_inverse_lead_back(id in 0u32..u32::MAX, offset in any::<i32>()) {
            let offset = IdOffset::from(offset);
            if let Some(shifted) = offset.apply(id) {
                prop_assert_eq!(offset.inverse().apply(shifted), Some(id));
            }
        }

        #[test]
        fn making_and_reading_a_range_never_panics(first in any::<u32>(), count in any::<u32>(), text in ".*") {
            if let Ok(range) = IdRange::new(first, count) {
                prop_assert!(range.contains(range.first()) && range.contains(range.last()));
                prop_assert_eq!(u64::from(range.last()) - u64::from(range.first()) + 1, u64::from(range.count()));
            }
            let _ = text.parse::<IdRange>();
        }
    }
}
