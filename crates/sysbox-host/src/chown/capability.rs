//! The root id in `security.capability`, the file capabilities of an inode.
//!
//! The form is that of the kernel's `include/uapi/linux/capability.h`, little endian. Revision 2 (20 bytes) holds for the
//! initial user namespace, whose root is 0; revision 3 (24 bytes) ends with the host's user id of the namespace's root. The
//! root of a container sees its own revision 3 as revision 2 (capabilities(7), "Namespaced file capabilities").

const REVISION_MASK: u32 = 0xFF00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const LEN_2: usize = 20;
const LEN_3: usize = 24;

/// The user id of the root that the capabilities are for; `None` when they are of an unknown form.
pub(crate) fn root(value: &[u8]) -> Option<u32> {
    let word = |at: usize| Some(u32::from_le_bytes(*value.get(at..)?.first_chunk()?));
    match (word(0)? & REVISION_MASK, value.len()) {
        (REVISION_2, LEN_2) => Some(0),
        (REVISION_3, LEN_3) => word(LEN_2),
        _ => None,
    }
}

/// The same capabilities for another root; `None` when they are of an unknown form.
pub(crate) fn with_root(value: &[u8], new: u32) -> Option<Vec<u8>> {
    if root(value)? == new {
        return Some(value.to_vec());
    }
    let (magic, data) = value[..LEN_2].split_first_chunk()?;
    let flags = u32::from_le_bytes(*magic) & !REVISION_MASK;
    let revision = if new == 0 { REVISION_2 } else { REVISION_3 };
    let mut value = (revision | flags).to_le_bytes().to_vec();
    value.extend(data);
    if new != 0 {
        value.extend(new.to_le_bytes());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// cap_net_raw=ep, as setcap(8) writes it.
    const NET_RAW: [u8; LEN_2] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn capabilities_for_a_container_are_of_revision_3_and_for_the_host_of_revision_2() {
        let shifted = with_root(&NET_RAW, 100_000).expect("known form");
        assert_eq!(shifted[..4], [1, 0, 0, 3], "the effective bit is kept");
        assert_eq!(shifted[4..LEN_2], NET_RAW[4..]);
        assert_eq!(shifted[LEN_2..], 100_000u32.to_le_bytes());
        assert_eq!((root(&NET_RAW), root(&shifted)), (Some(0), Some(100_000)));
        assert_eq!(with_root(&shifted, 0).as_deref(), Some(&NET_RAW[..]));
    }

    #[test]
    fn capabilities_of_another_revision_or_length_are_not_taken() {
        let mut first = NET_RAW;
        first[3] = 1;
        for value in [&first[..], &first[..12], &NET_RAW[..19], &[], &[1, 0, 0, 3]] {
            assert_eq!((root(value), with_root(value, 1)), (None, None), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn another_root_and_back_changes_nothing(at in 1u32.., new in any::<u32>()) {
            let value = with_root(&NET_RAW, at).expect("known form");
            let there = with_root(&value, new).expect("known form");
            prop_assert_eq!(root(&there), Some(new));
            prop_assert_eq!(with_root(&there, at), Some(value));
        }

        #[test]
        fn reading_never_panics(value in proptest::collection::vec(any::<u8>(), 0..32)) {
            prop_assert_eq!(root(&value).is_some(), with_root(&value, 7).is_some());
        }
    }
}
