//! What a fuzzer of the messages calls: any bytes, read as every message there is.

use std::fmt::Debug;

use prost::Message;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerData, ContainerId, FsEntry, FsStateRequest, IdOffsets, Mount,
    MountRequests, MountsToPrepare, Registration, ShiftfsMark, ShiftfsMarks, SubidRequest, Subids, Update,
};

use super::ConvertError;
use crate::generated::{ext, pb};

/// Reads bytes as every message in turn, and converts those that are one.
///
/// # Panics
/// When what came in does not go out so that it comes in as the same.
pub fn decode_anything(bytes: &[u8]) {
    requests(bytes);
    replies(bytes);
}

fn requests(bytes: &[u8]) {
    again::<pb::RegisterReq, Registration>(bytes);
    again::<pb::UpdateReq, Update>(bytes);
    again::<pb::UnregisterReq, ContainerId>(bytes);
    again::<pb::SubidAllocReq, SubidRequest>(bytes);
    again::<pb::MountPrepReq, MountsToPrepare>(bytes);
    again::<pb::MountReq, MountRequests>(bytes);
    again::<pb::ShiftfsMarkReq, ShiftfsMarks>(bytes);
    again::<pb::FsStateReq, FsStateRequest>(bytes);
    again::<pb::PauseReq, ContainerId>(bytes);
    again::<pb::ResumeReq, ContainerId>(bytes);
    again::<pb::CloneRootfsReq, ContainerId>(bytes);
    again::<pb::RevertClonedRootfsChownReq, ContainerId>(bytes);
    again::<ext::RemoveRequest, ContainerId>(bytes);
    again::<pb::ContainerData, ContainerData>(bytes);
    comes_again(bytes, |(id, offsets): &(ContainerId, IdOffsets)| {
        pb::ChownClonedRootfsReq::try_from((id, *offsets))
    });
}

fn replies(bytes: &[u8]) {
    again::<pb::RegisterResp, ContainerConfig>(bytes);
    done::<pb::UpdateResp>(bytes);
    done::<pb::UnregisterResp>(bytes);
    comes_again(bytes, |subids: &Subids| Ok(pb::SubidAllocResp::from(*subids)));
    done::<pb::MountPrepResp>(bytes);
    again::<pb::MountResp, Vec<Mount>>(bytes);
    again::<pb::ShiftfsMarkResp, Vec<ShiftfsMark>>(bytes);
    again::<pb::FsStateResp, Vec<FsEntry>>(bytes);
    done::<pb::PauseResp>(bytes);
    done::<pb::ResumeResp>(bytes);
    again::<pb::CloneRootfsResp, AbsPath>(bytes);
    done::<pb::ChownClonedRootfsResp>(bytes);
    done::<pb::RevertClonedRootfsChownResp>(bytes);
    done::<ext::RemoveResponse>(bytes);
    again::<pb::MountpointResp, AbsPath>(bytes);
    done::<pb::Response>(bytes);
}

fn again<M, T>(bytes: &[u8])
where
    M: Message + Default + PartialEq + Debug + for<'a> TryFrom<&'a T, Error = ConvertError>,
    T: TryFrom<M, Error = ConvertError> + PartialEq + Debug,
{
    comes_again(bytes, |value: &T| M::try_from(value));
}

fn done<M>(bytes: &[u8])
where
    M: Message + Default + PartialEq + Debug,
    (): TryFrom<M, Error = ConvertError>,
{
    if let Ok(message) = M::decode(bytes) {
        assert_eq!(<()>::try_from(message), Ok(()), "it says nothing that can be wrong");
    }
}

fn comes_again<M, T>(bytes: &[u8], message: impl Fn(&T) -> Result<M, ConvertError>)
where
    M: Message + Default + PartialEq + Debug,
    T: TryFrom<M, Error = ConvertError> + PartialEq + Debug,
{
    let Ok(decoded) = M::decode(bytes) else { return };
    assert_eq!(M::decode(&*decoded.encode_to_vec()).as_ref(), Ok(&decoded), "a message is its bytes");
    let Ok(value) = T::try_from(decoded) else { return };
    let again = message(&value).and_then(T::try_from);
    assert_eq!(again.as_ref(), Ok(&value), "what came in goes out the same");
}
