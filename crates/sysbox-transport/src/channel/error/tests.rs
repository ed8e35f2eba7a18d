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

fn source() -> Source {
    "in the wires".into()
}

fn not_taken(connection_ended: bool) -> CallError {
    CallError::NotTaken { socket: socket(), connection_ended, source: source() }
}

fn lost() -> CallError {
    CallError::Lost { socket: socket(), source: source() }
}

fn silent() -> CallError {
    CallError::Silent { socket: socket(), protocol: "gRPC", waited: Duration::from_millis(1500), sent: true }
}

fn rejected() -> CallError {
    let message = "it speaks version 2".to_owned();
    CallError::Rejected { socket: socket(), kind: ErrorKind::FailedPrecondition, message }
}

fn garbled() -> CallError {
    CallError::Garbled { socket: socket(), protocol: "tarpc", source: source() }
}

fn bad_reply() -> CallError {
    let reply = "a reply without an end".into();
    CallError::BadReply { socket: socket(), kind: ErrorKind::Internal, reply }
}

/// Every error with a connection to a daemon, and what its text must tell.
fn all() -> Vec<(CallError, &'static str)> {
    let limit = Duration::from_millis(1500);
    let deadline =
        |sent| CallError::Deadline { socket: socket(), operation: Operation::AllocSubids, limit, sent };
    vec![
        (dial(rustix::io::Errno::NOENT), "start the daemon"),
        (dial(rustix::io::Errno::CONNREFUSED), "start the daemon"),
        (dial(rustix::io::Errno::AGAIN), "restart it"),
        (dial(rustix::io::Errno::ACCESS), "be root"),
        (silent(), "not answered for 1.5s"),
        (
            silent(),
            "does not speak gRPC; whether the call was carried out is not known; look into its log, or restart it",
        ),
        (not_taken(true), "try again"),
        (not_taken(false), "not carried out"),
        (lost(), "not known; see that the daemon runs"),
        (garbled(), "does not speak tarpc; name the directory"),
        (
            CallError::Reset { socket: socket(), kind: ErrorKind::Cancelled, source: source() },
            "not known; look into its log",
        ),
        (bad_reply(), "sent a reply without an end; whether"),
        (bad_reply(), "not known"),
        (rejected(), "takes no calls of this client: it speaks version 2"),
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
    let encode = port_error(CallError::Encode("no memory".into()));
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
    let error = port_error(CallError::NoRuntime { protocol: "gRPC" });
    assert_eq!(error.kind, ErrorKind::Internal, "it says nothing of the container's state");
    assert!(error.message.contains("sysbox::blocking::wait"), "{error}");
}

#[test]
fn a_connection_is_given_up_where_no_other_call_can_go_over_it() {
    for (error, ends) in [
        (silent(), true),
        (lost(), true),
        (garbled(), true),
        (rejected(), true),
        (not_taken(true), true),
        (not_taken(false), false),
        (bad_reply(), false),
    ] {
        assert_eq!(error.ends_connection(), ends, "{error}");
    }
}
