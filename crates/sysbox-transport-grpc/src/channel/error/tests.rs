//! What each failure of a call tells, and whether the call may be sent again.

use std::{error::Error, io};

use super::*;

fn socket() -> AbsPath {
    AbsPath::new("/run/sysbox/sysmgr.sock").expect("absolute")
}

fn port_error(error: CallError) -> PortError {
    error.into_port_error(Operation::AllocSubids)
}

fn dial(errno: rustix::io::Errno) -> CallError {
    CallError::Dial(DialError { socket: socket(), source: errno.into() })
}

/// Every error with a connection to a daemon, and what its text must tell.
fn all() -> Vec<(CallError, &'static str)> {
    let source = || h2::Error::from(Reason::INTERNAL_ERROR);
    let limit = Duration::from_millis(1500);
    let deadline =
        |sent| CallError::Deadline { socket: socket(), operation: Operation::AllocSubids, limit, sent };
    let bad = |reply| CallError::BadReply { socket: socket(), reply };
    vec![
        (dial(rustix::io::Errno::NOENT), "start the daemon"),
        (dial(rustix::io::Errno::CONNREFUSED), "start the daemon"),
        (dial(rustix::io::Errno::AGAIN), "restart it"),
        (dial(rustix::io::Errno::ACCESS), "be root"),
        (CallError::Silent { socket: socket(), waited: limit }, "not answered for 1.5s"),
        (CallError::Silent { socket: socket(), waited: limit }, "restart it"),
        (CallError::NotTaken { socket: socket(), source: source() }, "try again"),
        (CallError::NotTaken { socket: socket(), source: source() }, "not carried out"),
        (CallError::Lost { socket: socket(), source: source() }, "not known; see that the daemon runs"),
        (CallError::Garbled { socket: socket(), source: source() }, "name the directory"),
        (CallError::Reset { socket: socket(), source: source() }, "not known; look into its log"),
        (bad(BadReply::Http(StatusCode::NOT_FOUND)), "404"),
        (bad(BadReply::ContentType("text/html".into())), "text/html"),
        (bad(BadReply::NoStatus), "cut off"),
        (bad(BadReply::TooLong { max: 4096 }), "4096 bytes; raise ClientOptions::max_reply"),
        (bad(BadReply::NoStatus), "not known"),
        (deadline(true), "request subids from sysbox-mgr; whether it was carried out is not known"),
        (deadline(false), "1.5s to the call to request subids from sysbox-mgr; it was not sent"),
    ]
}

#[test]
fn every_text_names_the_socket_and_says_what_to_do_or_what_is_known() {
    for (error, told) in all() {
        let error = port_error(error);
        assert!(error.message.contains("socket /run/sysbox/sysmgr.sock"), "{error}");
        assert!(error.message.contains(told), "{error}: no {told:?}");
        assert!(!error.message.ends_with('.') && !error.message.contains("failed to"), "{error}");
        assert_eq!(error.operation, Operation::AllocSubids);
    }
}

#[test]
fn the_cause_is_the_source_and_not_in_the_text() {
    let told = |error: &PortError| error.source().map(ToString::to_string);
    for (error, _) in all() {
        let caused = matches!(
            error,
            CallError::Dial(_)
                | CallError::NotTaken { .. }
                | CallError::Lost { .. }
                | CallError::Garbled { .. }
                | CallError::Reset { .. }
        );
        let error = port_error(error);
        assert_eq!(told(&error).is_some(), caused, "{error:?}");
        assert!(told(&error).is_none_or(|cause| !error.message.contains(&cause)), "{error:?}");
    }
    let encode = port_error(CallError::Encode(Status::internal("no memory")));
    assert!(told(&encode).expect("the cause").contains("no memory"));
}

#[test]
fn what_the_kernel_said_of_connecting_is_found_by_walking_the_sources() {
    for errno in [rustix::io::Errno::NOENT, rustix::io::Errno::CONNREFUSED, rustix::io::Errno::AGAIN] {
        let error = port_error(dial(errno));
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(cause.and_then(rustix::io::Errno::from_io_error), Some(errno));
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
}

#[test]
fn only_what_was_not_taken_is_sent_again_and_what_was_lost_if_that_changes_nothing() {
    for (error, _) in all() {
        let (taken, lost) =
            (!matches!(error, CallError::NotTaken { .. }), matches!(error, CallError::Lost { .. }));
        assert_eq!(error.permits_another_try(false), !taken, "{error}");
        assert_eq!(error.permits_another_try(true), !taken || lost, "{error}");
    }
}

#[test]
fn without_a_runtime_the_way_out_is_named() {
    let error = port_error(CallError::NoRuntime);
    assert_eq!(error.kind, ErrorKind::FailedPrecondition);
    assert!(error.message.contains("sysbox::blocking::wait"), "{error}");
}
