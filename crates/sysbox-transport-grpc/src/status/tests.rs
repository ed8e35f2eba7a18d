//! Kinds, messages and causes cross, and nothing from a stranger does harm.

use std::{error::Error, iter::successors};

use proptest::{collection::vec, prelude::*};
use prost::Message;
use prost_types::Any;
use tonic_types::pb;

use super::*;
use crate::convert::{ConvertError, Rule};

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

fn causes(error: &PortError) -> Vec<String> {
    successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect()
}

/// The status as it is after it was sent: in headers.
fn sent(status: &Status) -> Status {
    let headers = headers(status);
    Status::from_header_map(&headers).expect("a status")
}

fn headers(status: &Status) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    status.add_header(&mut headers).expect("valid headers");
    headers
}

fn size(status: &Status) -> usize {
    headers(status).iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

#[test]
fn every_kind_crosses_by_grpcs_number_for_it() {
    for (number, kind) in (1..).zip(KINDS) {
        let status = sent(&to_status(&PortError::new(Operation::Register, kind, "why")));
        assert_eq!(i32::from(status.code()), number);
        let error = from_status(Operation::Register, status);
        assert_eq!((error.operation, error.kind, &*error.message), (Operation::Register, kind, "why"));
        assert!(error.source.is_none());
    }
}

#[test]
fn what_gos_manager_says_is_kept() {
    let status = Status::unknown("redundant container registration for container c1");
    let error = from_status(Operation::Register, status);
    assert_eq!(error.kind, ErrorKind::Unknown);
    assert_eq!(error.to_string(), "redundant container registration for container c1");
}

#[test]
fn a_failure_that_says_ok_or_nothing_is_one_of_the_daemon_and_says_so() {
    let error = from_status(Operation::Pause, Status::new(Code::Ok, ""));
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.message.contains("no reason"), "{error}");
}

#[test]
fn causes_are_found_by_clients_of_other_languages_in_the_standard_details() {
    let status = to_status(&caused_by("why", &["disk".to_owned(), "fire".to_owned()]));
    let details = pb::Status::decode(status.details()).expect("a google.rpc.Status");
    assert_eq!((details.code, &*details.message), (13, "why"));
    let info = pb::DebugInfo::decode(&*details.details[0].value).expect("a DebugInfo");
    assert_eq!(info.stack_entries, ["disk", "fire"]);
}

#[test]
fn a_status_of_this_process_keeps_its_causes() {
    let mut status = Status::unavailable("no connection");
    status.set_source(std::sync::Arc::new(Layer("refused".to_owned(), None)));
    assert_eq!(causes(&from_status(Operation::Pause, status)), ["refused"]);
}

#[test]
fn details_of_others_are_no_causes() {
    let debug_info =
        |detail: &str| pb::DebugInfo { stack_entries: vec!["x".to_owned()], detail: detail.to_owned() };
    let details = |type_url: &str, value: Vec<u8>| {
        let any = Any { type_url: type_url.to_owned(), value };
        pb::Status { code: 13, message: String::new(), details: vec![any] }.encode_to_vec()
    };
    let url = "type.googleapis.com/google.rpc.DebugInfo";
    let ours = debug_info("causes").encode_to_vec();
    assert!(causes::decode(&details(url, ours.clone())).is_some());
    for other in [
        details(url, debug_info("a stack trace").encode_to_vec()),
        details("type.googleapis.com/google.rpc.RetryInfo", ours),
        details(url, vec![0xff; 20]),
        vec![0xff; 20],
        Vec::new(),
    ] {
        assert!(causes::decode(&other).is_none());
    }
    let huge = pb::DebugInfo { stack_entries: vec![String::new(); 40_000], detail: "causes".to_owned() };
    assert!(causes::decode(&details(url, huge.encode_to_vec())).is_none());
    let many = pb::DebugInfo { stack_entries: vec!["x".repeat(3000); 20], detail: "causes".to_owned() };
    let error = from_status(
        Operation::Pause,
        Status::with_details(Code::Internal, "m", details(url, many.encode_to_vec()).into()),
    );
    let causes = causes(&error);
    assert_eq!(causes.len(), 16);
    assert!(causes.iter().all(|cause| cause.len() <= 1024), "each is bounded");
}

#[test]
fn what_is_too_long_is_cut_where_a_character_ends_and_says_so() {
    let plain = |text: &str, most| shortened(text, most, char::len_utf8);
    assert_eq!(plain("0123456789", 10), "0123456789");
    assert_eq!(plain("0123456789a", 10), "01234[cut]");
    assert_eq!(plain("ééééé", 10), "ééééé");
    assert_eq!(plain("éééééé", 10), "éé[cut]");
    assert_eq!(plain("ééé", 4), "[cut]");
    let message = to_status(&caused_by(&"x".repeat(100_000), &[])).message().to_owned();
    assert!(message.len() > 6000 && message.ends_with("[cut]"), "{}", message.len());
}

#[test]
fn a_request_that_was_not_sent_and_a_reply_that_cannot_be_read_name_the_field() {
    let error = || ConvertError { field: "mounts[2].dest".to_owned(), rule: Rule::Absent };
    let not_sent = refused(Operation::ReqMounts, error());
    assert_eq!((not_sent.operation, not_sent.kind), (Operation::ReqMounts, ErrorKind::InvalidArgument));
    assert_eq!(not_sent.message, "the request cannot go over gRPC: field mounts[2].dest is not valid");
    assert_eq!(causes(&not_sent), [Rule::Absent.to_string()]);
    let not_read = malformed_reply(Operation::ReqMounts, error());
    assert_eq!(not_read.kind, ErrorKind::Internal);
    assert!(not_read.message.contains("field mounts[2].dest"), "{not_read}");
    assert_eq!(causes(&not_read), [Rule::Absent.to_string()]);
    let status = bad_request(error());
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), format!("field mounts[2].dest is not valid: {}", Rule::Absent));
}

proptest! {
    #[test]
    fn message_and_causes_cross_word_for_word(message in "\\PC{1,200}", texts in vec("\\PC{0,100}", 0..8)) {
        let error = from_status(Operation::Pause, sent(&to_status(&caused_by(&message, &texts))));
        prop_assert_eq!(&error.message, &message);
        prop_assert_eq!(causes(&error), texts);
    }

    #[test]
    fn a_status_fits_into_trailers_whatever_is_in_it(
        unit in "\\PC", times in 0..8_000_usize, cause in any::<String>(), causes_times in 0..100_usize, count in 0..30_usize,
    ) {
        let texts = vec![cause.repeat(causes_times); count];
        let status = to_status(&caused_by(&unit.repeat(times), &texts));
        prop_assert!(size(&status) < 15 * 1024, "{}", size(&status));
        let error = from_status(Operation::Pause, sent(&status));
        prop_assert!(causes(&error).len() <= 16);
    }

    #[test]
    fn any_details_are_read_without_harm(details in vec(any::<u8>(), 0..200)) {
        let status = Status::with_details(Code::Internal, "why", details.into());
        prop_assert_eq!(from_status(Operation::Pause, status).message, "why");
    }
}
