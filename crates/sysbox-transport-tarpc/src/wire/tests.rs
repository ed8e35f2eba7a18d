//! What goes out comes in as the same, and what breaks a rule is refused with the field and the rule.

mod golden;
mod refusals;

use std::fmt::Debug;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};
use serde::{Serialize, de::DeserializeOwned};
use sysbox_core as domain;
use sysbox_core::{AbsPath, ContainerId, IdOffsets};

use super::*;
use crate::{
    codec::{decode, encode},
    fuzz,
    service::{FsAnswer, FsReply, FsRequest, MgrAnswer, MgrReply, MgrRequest},
};

fn bytes_of(message: &impl Serialize) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(message, &mut bytes).expect("it has a form");
    bytes
}

/// Sends a message as bytes and takes it in again.
fn carried<M: Serialize + DeserializeOwned + Debug + PartialEq>(message: &M) -> M {
    let bytes = bytes_of(message);
    fuzz::messages(&bytes);
    decode(&bytes).expect("it is a message")
}

/// Sends a value in a message, and takes it out of the one that comes in.
fn crosses<T, W, M>(
    value: &T,
    put: impl FnOnce(W) -> M,
    take: impl FnOnce(M) -> Option<W>,
) -> Result<(), TestCaseError>
where
    T: TryFrom<W, Error = ConvertError> + Clone + PartialEq + Debug,
    W: From<T>,
    M: Serialize + DeserializeOwned + Debug + PartialEq,
{
    let received = take(carried(&put(W::from(value.clone())))).expect("the same variant");
    prop_assert_eq!(&T::try_from(received).expect("it came from a valid value"), value);
    Ok(())
}

/// How a value goes into a variant and comes out of it.
macro_rules! cross {
    ($value:expr, $message:ident :: $variant:ident) => {
        crosses($value, $message::$variant, |message| match message {
            $message::$variant(wire) => Some(wire),
            _ => None,
        })?
    };
    ($value:expr, Ok $message:ident :: $variant:ident) => {
        crosses(
            $value,
            |wire| Ok::<_, crate::fault::Failure>($message::$variant(wire)),
            |message| match message {
                Ok($message::$variant(wire)) => Some(wire),
                _ => None,
            },
        )?
    };
}

proptest! {
    #[test]
    fn what_is_told_of_a_container_is_received(
        new in arbitrary::registration(), update in arbitrary::update(), id in arbitrary::id(),
    ) {
        cross!(&new, MgrRequest::Register);
        cross!(&update, MgrRequest::Update);
        cross!(&id, MgrRequest::Unregister);
        cross!(&id, MgrRequest::Remove);
        cross!(&id, MgrRequest::Pause);
        cross!(&id, MgrRequest::Resume);
        cross!(&id, MgrRequest::CloneRootfs);
        cross!(&id, MgrRequest::RevertClonedRootfsChown);
    }

    #[test]
    fn a_configuration_is_received_as_sent(config in arbitrary::config()) {
        cross!(&config, Ok MgrAnswer::Register);
    }

    #[test]
    fn a_wish_for_ids_and_the_ids_are_received_as_sent(wish in arbitrary::subid_request(), ids in arbitrary::subids()) {
        cross!(&wish, MgrRequest::AllocSubids);
        cross!(&ids, Ok MgrAnswer::AllocSubids);
    }

    #[test]
    fn wishes_for_mounts_are_received_as_sent(
        prepare in arbitrary::mounts_to_prepare(), wish in arbitrary::mount_requests(), marks in arbitrary::shiftfs_marks(),
    ) {
        cross!(&prepare, MgrRequest::PrepMounts);
        cross!(&wish, MgrRequest::ReqMounts);
        cross!(&marks, MgrRequest::ReqShiftfsMark);
        cross!(&marks.marks, Ok MgrAnswer::ReqShiftfsMark);
    }

    #[test]
    fn mounts_and_entries_are_received_as_sent(mounts in arbitrary::mounts(), entries in arbitrary::fs_entries()) {
        cross!(&mounts, Ok MgrAnswer::ReqMounts);
        cross!(&entries, Ok MgrAnswer::ReqFsState);
    }

    #[test]
    fn what_is_asked_and_said_of_a_rootfs_is_received(
        wish in arbitrary::fs_state_request(), path in arbitrary::path(), id in arbitrary::id(), offsets in arbitrary::offsets(),
    ) {
        cross!(&wish, MgrRequest::ReqFsState);
        cross!(&path, Ok MgrAnswer::CloneRootfs);
        cross!(&path, Ok FsAnswer::Mountpoint);
        cross!(&(id, offsets), MgrRequest::ChownClonedRootfs);
    }

    #[test]
    fn what_the_fs_daemon_is_told_is_received(data in arbitrary::container_data()) {
        cross!(&data, FsRequest::PreRegister);
        cross!(&data, FsRequest::Register);
        cross!(&data, FsRequest::Update);
        cross!(&data, FsRequest::Unregister);
    }
}

#[test]
fn what_has_no_content_is_received() {
    assert_eq!(carried(&FsRequest::Mountpoint), FsRequest::Mountpoint);
    for done in [
        MgrAnswer::Update,
        MgrAnswer::Unregister,
        MgrAnswer::Remove,
        MgrAnswer::PrepMounts,
        MgrAnswer::Pause,
        MgrAnswer::Resume,
        MgrAnswer::ChownClonedRootfs,
        MgrAnswer::RevertClonedRootfsChown,
    ] {
        assert_eq!(carried(&MgrReply::Ok(done.clone())), Ok(done));
    }
    for done in [FsAnswer::PreRegister, FsAnswer::Register, FsAnswer::Update, FsAnswer::Unregister] {
        assert_eq!(carried(&FsReply::Ok(done.clone())), Ok(done));
    }
}

/// Bytes near those of some message, with some of them changed.
fn nearly_a_message() -> impl Strategy<Value = Vec<u8>> {
    let message = prop_oneof![
        arbitrary::registration().prop_map(|value| bytes_of(&MgrRequest::Register(value.into()))),
        arbitrary::mount_requests().prop_map(|value| bytes_of(&MgrRequest::ReqMounts(value.into()))),
        arbitrary::config().prop_map(|value| bytes_of(&MgrReply::Ok(MgrAnswer::Register(value.into())))),
        arbitrary::mounts().prop_map(|value| bytes_of(&MgrReply::Ok(MgrAnswer::ReqMounts(value.into())))),
        arbitrary::fs_entries()
            .prop_map(|value| bytes_of(&MgrReply::Ok(MgrAnswer::ReqFsState(value.into())))),
        arbitrary::container_data().prop_map(|value| bytes_of(&FsRequest::Register(value.into()))),
    ];
    (message, vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)).prop_map(|(bytes, changes)| {
        let mut bytes = Vec::from(bytes);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nearly_any_message_is_taken_or_refused(bytes in nearly_a_message()) {
        fuzz::messages(&bytes);
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in vec(any::<u8>(), 0..64)) {
        fuzz::messages(&bytes);
    }
}
