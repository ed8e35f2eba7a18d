//! Kinds, messages and causes cross, and nothing from a stranger does harm.

use std::iter::successors;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};
use sysbox_core::InvalidContainerId;

use super::*;
use crate::{
    codec::{decode, encode},
    wire::Rule,
};

const KINDS: [ErrorKind; 16] = [
    ErrorKind::Cancelled,
    ErrorKind::Unknown,
    ErrorKind::InvalidArgument,
    ErrorKind::DeadlineExceeded,
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::PermissionDenied,
    ErrorKind::ResourceExhausted,
    ErrorKind::FailedPrecondition,
    ErrorKind::Aborted,
    ErrorKind::OutOfRange,
    ErrorKind::Unimplemented,
    ErrorKind::Internal,
    ErrorKind::Unavailable,
    ErrorKind::DataLoss,
    ErrorKind::Unauthenticated,
];

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Layer(String, #[source] Option<Box<Self>>);

fn caused_by(message: &str, causes: &[String]) -> PortError {
    let layer = causes.iter().rev().fold(None, |source, text| Some(Box::new(Layer(text.clone(), source))));
    let error = PortError::new(Operation::Pause, ErrorKind::Internal, message);
    match layer {
        Some(layer) => error.with_source(*layer),
        None => error,
    }
}

fn texts(error: &PortError) -> Vec<String> {
    successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect()
}

/// The error that a client's port gives when the daemon's port gives this.
fn sent(error: &PortError) -> PortError {
    let mut bytes = BytesMut::new();
    encode(&Failure::from(error), &mut bytes).expect("it has a form");
    decode::<Failure>(&bytes).expect("a failure").into_port_error(error.operation)
}

#[test]
fn every_kind_crosses_by_grpcs_number_for_it() {
    for (expected, kind) in (1..).zip(KINDS) {
        let error = PortError::new(Operation::Register, kind, "why");
        assert_eq!(Failure::from(&error).kind, expected);
        let error = sent(&error);
        assert_eq!((error.operation, error.kind, &*error.message), (Operation::Register, kind, "why"));
        assert!(error.source.is_none());
    }
}

#[test]
fn a_kind_of_a_newer_peer_is_unknown() {
    for kind in [0, 17, u32::MAX] {
        let failure = Failure { kind, message: "why".to_owned(), causes: Vec::new() };
        assert_eq!(failure.into_port_error(Operation::Pause).kind, ErrorKind::Unknown);
    }
}

#[test]
fn a_failure_that_gives_no_reason_says_so() {
    let error = sent(&PortError::new(Operation::Pause, ErrorKind::Aborted, ""));
    assert_eq!(error.message, "the daemon gives no reason (Aborted)");
}

#[test]
fn a_bad_request_is_told_with_field_and_rule() {
    let rule = Rule::Id(InvalidContainerId::Empty);
    let text = rule.to_string();
    let failure = Failure::bad_request(&ConvertError { field: "id".to_owned(), rule });
    let error = failure.into_port_error(Operation::Pause);
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    assert_eq!(error.message, format!("field id is not valid: {text}"));
}

#[test]
fn message_and_causes_are_bounded_by_who_sends_and_by_who_reads() {
    let long = caused_by(&"x".repeat(70_000), &vec!["y".repeat(2000); 20]);
    let sent = Failure::from(&long);
    let hostile = Failure { kind: 13, message: "x".repeat(70_000), causes: vec!["y".repeat(2000); 100_000] };
    let read = hostile.into_port_error(Operation::Pause);
    for (message, texts) in [(&sent.message, &sent.causes), (&read.message, &texts(&read))] {
        assert_eq!(message.len(), LONGEST_MESSAGE);
        assert!(message.ends_with("[cut]"));
        assert_eq!(texts.len(), causes::MOST);
        assert!(texts.iter().all(|cause| cause.len() == causes::LONGEST && cause.ends_with("[cut]")));
    }
}

#[test]
fn of_the_causes_that_a_peer_tells_no_more_are_ever_held_than_are_told() {
    let hostile = Failure { kind: 13, message: "why".to_owned(), causes: vec![String::new(); 100_000] };
    let mut bytes = BytesMut::new();
    encode(&hostile, &mut bytes).expect("it has a form");
    let read = decode::<Failure>(&bytes).expect("a failure");
    assert_eq!((read.causes.len(), read.message), (causes::MOST, hostile.message));
}

proptest! {
    #[test]
    fn message_and_causes_cross_word_for_word(message in "\\PC{1,200}", causes in vec("\\PC{0,100}", 0..8)) {
        let error = sent(&caused_by(&message, &causes));
        prop_assert_eq!(&error.message, &message);
        prop_assert_eq!(texts(&error), causes);
    }
}
