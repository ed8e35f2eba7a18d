//! The id mappings of a user namespace (`user_namespaces(7)`, OCI `linux.uidMappings` and `linux.gidMappings`).

use std::fmt;

use crate::range::{IdRange, InvalidIdRange};

/// One extent of a mapping: `size` ids from `container_id` on, seen by the host as those from `host_id` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdMapping {
    container: IdRange,
    host: IdRange,
}

impl IdMapping {
    /// An extent.
    ///
    /// # Errors
    /// [`InvalidIdRange`] when `size` is 0 or one of the two ranges goes beyond the greatest id.
    pub fn new(container_id: u32, host_id: u32, size: u32) -> Result<Self, InvalidIdRange> {
        Ok(Self { container: IdRange::new(container_id, size)?, host: IdRange::new(host_id, size)? })
    }

    /// The ids inside.
    pub const fn container(self) -> IdRange {
        self.container
    }

    /// The ids on the host.
    pub const fn host(self) -> IdRange {
        self.host
    }

    /// How many ids are mapped.
    pub const fn size(self) -> u32 {
        self.container.count()
    }

    fn continues(self, before: Self) -> bool {
        let next = |range: IdRange| u64::from(range.last()) + 1;
        u64::from(self.container.first()) == next(before.container)
            && u64::from(self.host.first()) == next(before.host)
    }
}

impl fmt::Display for IdMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({} ids)", self.container.first(), self.host.first(), self.size())
    }
}

/// The extents of one kind of id. No id, inside or on the host, stands in two of them. It may be empty: nothing is given.
///
/// ```
/// use sysbox_core::{IdMapping, IdMappings};
///
/// let mappings = IdMappings::new([IdMapping::new(0, 100_000, 1000)?, IdMapping::new(1000, 101_000, 500)?])?;
/// assert_eq!(mappings.to_host(1499), Some(101_499));
/// assert_eq!(mappings.to_host(1500), None);
/// assert_eq!(mappings.merged().as_slice(), [IdMapping::new(0, 100_000, 1500)?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdMappings(Vec<IdMapping>);

impl IdMappings {
    /// The most extents that the kernel takes (`user_namespaces(7)`).
    pub const MAX_EXTENTS: usize = 340;

    /// Checks a list of extents.
    ///
    /// # Errors
    /// [`InvalidIdMappings`] when two extents overlap or there are more than [`Self::MAX_EXTENTS`].
    pub fn new(extents: impl IntoIterator<Item = IdMapping>) -> Result<Self, InvalidIdMappings> {
        let extents: Vec<_> = extents.into_iter().take(Self::MAX_EXTENTS + 1).collect();
        if extents.len() > Self::MAX_EXTENTS {
            return Err(InvalidIdMappings::TooMany);
        }
        for (nth, &a) in extents.iter().enumerate() {
            for &b in &extents[..nth] {
                if a.container.overlaps(b.container) {
                    return Err(InvalidIdMappings::ContainerIdsOverlap { a: b, b: a });
                }
                if a.host.overlaps(b.host) {
                    return Err(InvalidIdMappings::HostIdsOverlap { a: b, b: a });
                }
            }
        }
        Ok(Self(extents))
    }

    /// One extent from container id 0 on: what a system container has.
    pub fn single(host: IdRange) -> Result<Self, InvalidIdRange> {
        Ok(Self(vec![IdMapping::new(0, host.first(), host.count())?]))
    }

    /// Whether no extent is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The extents in the order given.
    pub fn as_slice(&self) -> &[IdMapping] {
        &self.0
    }

    /// The host's id for an id inside, if it has one.
    pub fn to_host(&self, container_id: u32) -> Option<u32> {
        let extent = self.0.iter().find(|extent| extent.container.contains(container_id))?;
        extent.container.offset_to(extent.host).apply(container_id)
    }

    /// The id inside for an id of the host, if it has one.
    pub fn to_container(&self, host_id: u32) -> Option<u32> {
        let extent = self.0.iter().find(|extent| extent.host.contains(host_id))?;
        extent.host.offset_to(extent.container).apply(host_id)
    }

    /// The same mapping in as few extents as can be, by container id.
    #[must_use]
    pub fn merged(&self) -> Self {
        let mut sorted = self.0.clone();
        sorted.sort_by_key(|extent| extent.container.first());
        let mut merged: Vec<IdMapping> = Vec::new();
        for extent in sorted {
            match merged.last_mut() {
                Some(before) if extent.continues(*before) => {
                    // Their sum fits: both ends of `extent` are valid ids.
                    let size = before.size() + extent.size();
                    if let Ok(sum) = IdMapping::new(before.container.first(), before.host.first(), size) {
                        *before = sum;
                    }
                }
                _ => merged.push(extent),
            }
        }
        Self(merged)
    }
}

/// Why extents do not make [`IdMappings`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIdMappings {
    /// An id inside would be two of the host's.
    #[error("id mappings {a} and {b} overlap inside the container; each container id can be mapped once")]
    ContainerIdsOverlap {
        /// The earlier extent.
        a: IdMapping,
        /// The later extent.
        b: IdMapping,
    },
    /// An id of the host would be two inside.
    #[error("id mappings {a} and {b} overlap on the host; each host id can be mapped once")]
    HostIdsOverlap {
        /// The earlier extent.
        a: IdMapping,
        /// The later extent.
        b: IdMapping,
    },
    /// More extents than the kernel takes.
    #[error("there are more than {} id mappings, the most that the kernel takes", IdMappings::MAX_EXTENTS)]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(container: u32, host: u32, size: u32) -> IdMapping {
        IdMapping::new(container, host, size).expect("valid")
    }

    #[test]
    fn no_id_is_mapped_twice() {
        assert!(matches!(
            IdMappings::new([extent(0, 1000, 10), extent(9, 2000, 10)]),
            Err(InvalidIdMappings::ContainerIdsOverlap { .. })
        ));
        assert!(matches!(
            IdMappings::new([extent(0, 1000, 10), extent(10, 1009, 10)]),
            Err(InvalidIdMappings::HostIdsOverlap { .. })
        ));
        assert!(IdMappings::new([extent(0, 1000, 10), extent(10, 1010, 10)]).is_ok());
    }

    #[test]
    fn the_kernel_takes_340_extents_and_no_more() {
        let extents = |n: u32| (0..n).map(|i| extent(2 * i, 2 * i, 1));
        assert!(IdMappings::new(extents(340)).is_ok());
        assert_eq!(IdMappings::new(extents(341)), Err(InvalidIdMappings::TooMany));
    }

    #[test]
    fn an_extent_that_overflows_on_either_side_is_refused() {
        assert!(IdMapping::new(0, u32::MAX - 10, 11).is_err());
        assert!(IdMapping::new(u32::MAX - 10, 0, 11).is_err());
        assert!(IdMapping::new(0, u32::MAX - 10, 10).is_ok());
    }

    #[test]
    fn only_extents_contiguous_on_both_sides_merge() {
        let gap_on_host = IdMappings::new([extent(0, 100, 5), extent(5, 106, 5)]).expect("valid");
        assert_eq!(gap_on_host.merged().as_slice().len(), 2);
        let any_order = IdMappings::new([extent(5, 105, 5), extent(0, 100, 5)]).expect("valid");
        assert_eq!(any_order.merged().as_slice(), [extent(0, 100, 10)]);
    }

    proptest! {
        #[test]
        fn merging_maps_every_id_as_before(cuts in proptest::collection::vec((1u32..50, 0u32..3), 1..20)) {
            let (mut inside, mut host, mut extents) = (0, 100_000, Vec::new());
            for (size, gap) in cuts {
                extents.push(extent(inside, host, size));
                inside += size;
                host += size + gap;
            }
            let mappings = IdMappings::new(extents).expect("disjoint");
            let merged = mappings.merged();
            prop_assert!(merged.as_slice().len() <= mappings.as_slice().len());
            for id in 0..inside + 10 {
                prop_assert_eq!(mappings.to_host(id), merged.to_host(id));
                if let Some(host) = mappings.to_host(id) {
                    prop_assert_eq!(merged.to_container(host), Some(id));
                }
            }
        }
    }
}
