//! What the fuzz targets and the benchmark of the codec call. No part of the API.

use std::{error::Error, fmt::Debug};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use sysbox_core as domain;
use sysbox_core::{AbsPath, ContainerId, IdOffsets, Operation, PortError};
use sysbox_transport::causes;

pub use crate::{
    codec::{DecodeError, EncodeError, decode, encode},
    fault::Failure,
    service::{FsAnswer, FsReply, FsRequest, MgrAnswer, MgrReply, MgrRequest},
};
use crate::{
    frame::{ToClient, ToServer},
    hello::Hello,
    wire::ConvertError,
};

/// Reads bytes as every message in turn, and converts those that are one.
///
/// # Panics
/// When what came in does not go out so that it comes in as the same.
pub fn messages(bytes: &[u8]) {
    if let Some(request) = again(bytes) {
        mgr_request(request);
    }
    match again::<MgrReply>(bytes) {
        Some(Ok(answer)) => mgr_answer(answer),
        Some(Err(failure)) => mgr_failure(failure),
        None => {}
    }
    if let Some(request) = again(bytes) {
        fs_request(request);
    }
    if let Some(Ok(FsAnswer::Mountpoint(path))) = again::<FsReply>(bytes) {
        comes_again::<_, AbsPath>(path);
    }
}

/// Reads bytes as the hello of a peer and as each kind of frame that may follow it.
pub fn connection(bytes: &[u8]) {
    let _ = Hello::parse(bytes);
    let bytes = Bytes::copy_from_slice(bytes);
    let _ = (ToServer::parse(bytes.clone()), ToClient::parse(bytes));
}

fn mgr_request(request: MgrRequest) {
    match request {
        MgrRequest::Register(wire) => comes_again::<_, domain::Registration>(wire),
        MgrRequest::Update(wire) => comes_again::<_, domain::Update>(wire),
        MgrRequest::AllocSubids(wire) => comes_again::<_, domain::SubidRequest>(wire),
        MgrRequest::PrepMounts(wire) => comes_again::<_, domain::MountsToPrepare>(wire),
        MgrRequest::ReqMounts(wire) => comes_again::<_, domain::MountRequests>(wire),
        MgrRequest::ReqShiftfsMark(wire) => comes_again::<_, domain::ShiftfsMarks>(wire),
        MgrRequest::ReqFsState(wire) => comes_again::<_, domain::FsStateRequest>(wire),
        MgrRequest::ChownClonedRootfs(wire) => comes_again::<_, (ContainerId, IdOffsets)>(wire),
        MgrRequest::Unregister(id)
        | MgrRequest::Remove(id)
        | MgrRequest::Pause(id)
        | MgrRequest::Resume(id)
        | MgrRequest::CloneRootfs(id)
        | MgrRequest::RevertClonedRootfsChown(id) => comes_again::<_, ContainerId>(id),
    }
}

fn mgr_answer(answer: MgrAnswer) {
    match answer {
        MgrAnswer::Register(wire) => comes_again::<_, domain::ContainerConfig>(wire),
        MgrAnswer::AllocSubids(wire) => comes_again::<_, domain::Subids>(wire),
        MgrAnswer::ReqMounts(wire) => comes_again::<_, Vec<domain::Mount>>(wire),
        MgrAnswer::ReqShiftfsMark(wire) => comes_again::<_, Vec<domain::ShiftfsMark>>(wire),
        MgrAnswer::ReqFsState(wire) => comes_again::<_, Vec<domain::FsEntry>>(wire),
        MgrAnswer::CloneRootfs(path) => comes_again::<_, AbsPath>(path),
        MgrAnswer::Update
        | MgrAnswer::Unregister
        | MgrAnswer::Remove
        | MgrAnswer::PrepMounts
        | MgrAnswer::Pause
        | MgrAnswer::Resume
        | MgrAnswer::ChownClonedRootfs
        | MgrAnswer::RevertClonedRootfsChown => {}
    }
}

fn mgr_failure(failure: Failure) {
    let error = failure.into_port_error(Operation::Register);
    let again = Failure::from(&error).into_port_error(Operation::Register);
    let texts = |error: &PortError| (error.kind, error.message.clone(), causes::texts(error.source()));
    assert_eq!(texts(&again), texts(&error), "what came in goes out the same");
}

fn fs_request(request: FsRequest) {
    match request {
        FsRequest::PreRegister(wire)
        | FsRequest::Register(wire)
        | FsRequest::Update(wire)
        | FsRequest::Unregister(wire) => comes_again::<_, domain::ContainerData>(wire),
        FsRequest::Mountpoint => {}
    }
}

/// The message that the bytes are, which its own bytes are too.
fn again<M: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<M> {
    let message = decode::<M>(bytes).ok()?;
    let mut written = bytes::BytesMut::new();
    assert!(encode(&message, &mut written).is_ok(), "every message has bytes");
    assert!(decode::<M>(&written).is_ok_and(|again| again == message), "a message is its bytes");
    Some(message)
}

/// Converts a wire type; one that keeps the rules goes out as it came in.
fn comes_again<W, T>(wire: W)
where
    W: From<T> + Clone + PartialEq + Debug,
    T: TryFrom<W, Error = ConvertError> + Clone + PartialEq + Debug,
{
    let Ok(value) = T::try_from(wire) else { return };
    assert_eq!(T::try_from(W::from(value.clone())).as_ref(), Ok(&value), "what came in goes out the same");
}
