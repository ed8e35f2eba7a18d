//! The causes of an error, as texts in the details of a status.
//!
//! They are the `stack_entries` of a `google.rpc.DebugInfo`, the nearest cause first. Details of any other form are not ours and
//! mean nothing here.

use std::error::Error;

use bytes::Bytes;
use prost::Message;
use prost_types::Any;
use sysbox_transport::causes::{Cause, texts};
use tonic::Code;
use tonic_types::pb;

/// The most bytes of message and causes together; in trailers they are a third more.
const LARGEST: usize = 6 * 1024;
/// Details larger than this are not looked at.
const LARGEST_READ: usize = 64 * 1024;

const DEBUG_INFO: &str = "type.googleapis.com/google.rpc.DebugInfo";
/// What a `DebugInfo` that holds causes says it is; others hold stack traces.
const CAUSES: &str = "causes";

/// The details that tell the causes from `source` on; empty where there are none. The message is in them because clients
/// of other languages take it from there.
pub(super) fn encode(code: Code, message: &str, source: Option<&(dyn Error + 'static)>) -> Bytes {
    let mut room = LARGEST.saturating_sub(message.len());
    let mut stack_entries = Vec::new();
    for text in texts(source) {
        // The bytes around each in protobuf are counted too.
        let Some(left) = room.checked_sub(text.len() + 4) else { break };
        room = left;
        stack_entries.push(text);
    }
    if stack_entries.is_empty() {
        return Bytes::new();
    }
    let info = pb::DebugInfo { stack_entries, detail: CAUSES.to_owned() };
    let any = Any { type_url: DEBUG_INFO.to_owned(), value: info.encode_to_vec() };
    let status = pb::Status { code: code.into(), message: message.to_owned(), details: vec![any] };
    status.encode_to_vec().into()
}

/// The causes that details tell, if they are ours.
pub(super) fn decode(details: &[u8]) -> Option<Cause> {
    if details.is_empty() || details.len() > LARGEST_READ {
        return None;
    }
    let status = pb::Status::decode(details).ok()?;
    let infos = status.details.iter().filter(|any| any.type_url == DEBUG_INFO);
    let info =
        infos.filter_map(|any| pb::DebugInfo::decode(&*any.value).ok()).find(|info| info.detail == CAUSES)?;
    Cause::chain(&info.stack_entries)
}
