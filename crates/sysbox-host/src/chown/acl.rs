//! The ids in a POSIX ACL, as its extended attribute holds them.
//!
//! The form is that of the kernel's `include/uapi/linux/posix_acl_xattr.h`: a `u32` version (2), then eight bytes an entry:
//! tag `u16`, permissions `u16`, id `u32`, all little endian. Only the entries of named users and groups have an id.

use super::IdKind;

const VERSION: [u8; 4] = 2u32.to_le_bytes();
const ENTRY_LEN: usize = 8;
/// `ACL_USER` and `ACL_GROUP` of `include/uapi/linux/posix_acl.h`.
const NAMED_USER: [u8; 2] = 0x02u16.to_le_bytes();
const NAMED_GROUP: [u8; 2] = 0x08u16.to_le_bytes();

/// Gives each id in the ACL to `visit` and puts in its place what that answers.
///
/// Returns `None` for an ACL that is not of version 2; it may be changed in part then.
pub(crate) fn rewrite<E>(
    acl: &mut [u8],
    mut visit: impl FnMut(IdKind, u32) -> Result<u32, E>,
) -> Option<Result<(), E>> {
    let (version, entries) = acl.split_at_mut_checked(VERSION.len())?;
    if version != VERSION || entries.len() % ENTRY_LEN != 0 {
        return None;
    }
    for entry in entries.chunks_exact_mut(ENTRY_LEN) {
        let kind = match [entry[0], entry[1]] {
            NAMED_USER => IdKind::User,
            NAMED_GROUP => IdKind::Group,
            _ => continue,
        };
        match visit(kind, u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]])) {
            Ok(id) => entry[4..].copy_from_slice(&id.to_le_bytes()),
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use proptest::prelude::*;

    fn add(acl: &mut [u8], by: u32) -> Option<()> {
        rewrite(acl, |_, id| Ok::<_, Infallible>(id.wrapping_add(by)))
            .map(|result| result.expect("infallible"))
    }

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn only_the_ids_of_named_users_and_groups_are_rewritten() {
        let none = u32::MAX;
        let mut bytes =
            acl(&[(1, 6, none), (2, 4, 1000), (4, 4, none), (8, 2, 50), (0x10, 7, none), (0x20, 0, none)]);
        add(&mut bytes, 7).expect("version 2");
        let shifted =
            acl(&[(1, 6, none), (2, 4, 1007), (4, 4, none), (8, 2, 57), (0x10, 7, none), (0x20, 0, none)]);
        assert_eq!(bytes, shifted);
    }

    #[test]
    fn an_acl_of_another_version_or_length_is_not_taken() {
        for bytes in [&b""[..], b"\x02\0\0", b"\x01\0\0\0", b"\x02\0\0\0\x02\0\0"] {
            assert!(add(&mut bytes.to_vec(), 1).is_none(), "{bytes:?}");
        }
        assert!(add(&mut b"\x02\0\0\0".to_vec(), 1).is_some(), "an empty one is");
    }

    proptest! {
        #[test]
        fn rewriting_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let len = bytes.len();
            add(&mut bytes, 1);
            prop_assert_eq!(bytes.len(), len);
        }
    }
}
