//! What goes out comes in as the same, and what cannot is refused with the field and the rule.

mod bytes;
mod refusals;

use std::fmt::Debug;

use proptest::{collection::vec, prelude::*};
use prost::Message;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, FsEntry, Mount, ShiftfsMark, Subids,
};

use super::{ConvertError, arbitrary, fuzz::decode_anything};
use crate::generated::{ext, pb};

/// Sends a value as the bytes of a message and takes it in again.
fn carried<M, T>(value: &T) -> T
where
    M: Message + Default + for<'a> TryFrom<&'a T, Error = ConvertError>,
    T: TryFrom<M, Error = ConvertError>,
{
    received(M::try_from(value).expect("the wire can carry it"))
}

fn received<M, T>(message: M) -> T
where
    M: Message + Default,
    T: TryFrom<M, Error = ConvertError>,
{
    let bytes = message.encode_to_vec();
    decode_anything(&bytes);
    T::try_from(M::decode(&*bytes).expect("it is a message")).expect("it came from a valid value")
}

fn comes_in_as_it_was<M, T>(value: &T) -> Result<(), TestCaseError>
where
    M: Message + Default + for<'a> TryFrom<&'a T, Error = ConvertError>,
    T: TryFrom<M, Error = ConvertError> + PartialEq + Debug,
{
    prop_assert_eq!(&carried::<M, T>(value), value);
    Ok(())
}

/// Bytes that are some message: fields with the numbers in use, their values often of the right form.
fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        Just("c1".to_owned()),
        Just("/a/b".to_owned()),
        Just(String::new()),
        any::<String>(),
        "[a-z.]{0,6}",
    ];
    let number = prop_oneof![
        0..9_u64,
        any::<u32>().prop_map(u64::from),
        any::<i32>().prop_map(|n| u64::from_ne_bytes(i64::from(n).to_ne_bytes())),
        any::<u64>(),
    ];
    let leaf = prop_oneof![
        number.prop_map(|number| (0, varint(number))),
        text.prop_map(|text| (2, delimited(text.as_bytes()))),
    ];
    let value = leaf.prop_recursive(3, 40, 6, |value| {
        vec((1..=17_u64, value), 0..6).prop_map(|fields| (2, delimited(&message(&fields))))
    });
    vec((1..=17_u64, value), 0..12).prop_map(|fields| message(&fields))
}

fn message(fields: &[(u64, (u64, Vec<u8>))]) -> Vec<u8> {
    let field = |(number, (kind, value)): &(u64, (u64, Vec<u8>))| {
        [varint(number << 3 | kind), value.clone()].concat()
    };
    fields.iter().flat_map(field).collect()
}

fn delimited(bytes: &[u8]) -> Vec<u8> {
    [&*varint(bytes.len().try_into().expect("short")), bytes].concat()
}

fn varint(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(number, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn what_is_sent_of_a_new_container_is_received(value in arbitrary::registration()) {
        comes_in_as_it_was::<pb::RegisterReq, _>(&value)?;
    }

    #[test]
    fn what_became_known_of_a_container_is_received(value in arbitrary::update()) {
        comes_in_as_it_was::<pb::UpdateReq, _>(&value)?;
    }

    #[test]
    fn a_configuration_is_received_as_sent(value in arbitrary::config()) {
        comes_in_as_it_was::<pb::RegisterResp, _>(&value)?;
        comes_in_as_it_was::<pb::ContainerConfig, ContainerConfig>(&value)?;
    }

    #[test]
    fn the_id_is_received_by_every_call_that_takes_no_more(value in arbitrary::id()) {
        comes_in_as_it_was::<pb::UnregisterReq, _>(&value)?;
        comes_in_as_it_was::<pb::PauseReq, _>(&value)?;
        comes_in_as_it_was::<pb::ResumeReq, _>(&value)?;
        comes_in_as_it_was::<pb::CloneRootfsReq, _>(&value)?;
        comes_in_as_it_was::<pb::RevertClonedRootfsChownReq, _>(&value)?;
        comes_in_as_it_was::<ext::RemoveRequest, ContainerId>(&value)?;
    }

    #[test]
    fn a_wish_for_ids_and_the_ids_are_received_as_sent(wish in arbitrary::subid_request(), ids in arbitrary::subids()) {
        comes_in_as_it_was::<pb::SubidAllocReq, _>(&wish)?;
        prop_assert_eq!(received::<_, Subids>(pb::SubidAllocResp::from(ids)), ids);
    }

    #[test]
    fn wishes_for_mounts_are_received_as_sent(
        prepare in arbitrary::mounts_to_prepare(), wish in arbitrary::mount_requests(), marks in arbitrary::shiftfs_marks(),
    ) {
        comes_in_as_it_was::<pb::MountPrepReq, _>(&prepare)?;
        comes_in_as_it_was::<pb::MountReq, _>(&wish)?;
        comes_in_as_it_was::<pb::ShiftfsMarkReq, _>(&marks)?;
        comes_in_as_it_was::<pb::ShiftfsMarkResp, Vec<ShiftfsMark>>(&marks.marks)?;
    }

    #[test]
    fn mounts_and_entries_are_received_as_sent(mounts in arbitrary::mounts(), entries in arbitrary::fs_entries()) {
        comes_in_as_it_was::<pb::MountResp, Vec<Mount>>(&mounts)?;
        comes_in_as_it_was::<pb::FsStateResp, Vec<FsEntry>>(&entries)?;
    }

    #[test]
    fn what_is_asked_and_said_of_a_rootfs_is_received(
        wish in arbitrary::fs_state_request(), path in arbitrary::path(), id in arbitrary::id(), offsets in arbitrary::offsets(),
    ) {
        comes_in_as_it_was::<pb::FsStateReq, _>(&wish)?;
        comes_in_as_it_was::<pb::CloneRootfsResp, AbsPath>(&path)?;
        comes_in_as_it_was::<pb::MountpointResp, AbsPath>(&path)?;
        let message = pb::ChownClonedRootfsReq::try_from((&id, offsets)).expect("within 32 bits");
        prop_assert_eq!(received::<_, (ContainerId, _)>(message), (id, offsets));
    }

    #[test]
    fn what_the_fs_daemon_is_told_is_received(value in arbitrary::container_data()) {
        comes_in_as_it_was::<pb::ContainerData, _>(&value)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_message_is_taken_or_refused(bytes in well_formed()) {
        decode_anything(&bytes);
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in vec(any::<u8>(), 0..64)) {
        decode_anything(&bytes);
    }
}

#[test]
fn what_is_not_known_comes_in_as_not_known() {
    let data = ContainerData::new("c1".parse().expect("an id"));
    assert_eq!(carried::<pb::ContainerData, _>(&data), data);
    let config = ContainerConfig::default();
    assert_eq!(carried::<pb::RegisterResp, _>(&config), config);
}
