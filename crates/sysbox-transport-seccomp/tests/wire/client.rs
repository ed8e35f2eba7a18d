//! What a client sends, and what it makes of each thing that a receiver can do. Each rule holds for both clients.

use std::{
    error::Error,
    io::{ErrorKind as Io, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    thread,
    time::{Duration, Instant},
};

use sysbox_core::{AbsPath, Deadlines, ErrorKind, Operation, PortError, SeccompPort, port::SeccompInit};
use sysbox_transport_seccomp::{ClientOptions, NoAck, SeccompClient, blocking};

use crate::raw::{
    self, LONG, MESSAGE, SHORT, assert_writes_to, init, listen, pipe, wait, wait_until_closed,
    wait_until_read,
};

type Client = fn(&AbsPath, &SeccompInit, BorrowedFd<'_>, ClientOptions) -> Result<(), PortError>;

const CLIENTS: [Client; 2] = [
    |socket, request, fd, options| wait(SeccompClient::new(socket.clone(), options).send_init(request, fd)),
    |socket, request, fd, options| blocking::send_init(socket, request, fd, options),
];

fn options(seccomp: Duration, patience: Duration) -> ClientOptions {
    ClientOptions { deadlines: Deadlines { seccomp, ..Deadlines::default() }, patience }
}

/// The outcome of each client against a receiver that does `act` with the connection, then closes it.
fn against(act: fn(&UnixStream), options: ClientOptions) -> Vec<Result<(), PortError>> {
    let outcome = |client: Client| {
        let (_dir, socket, listener) = listen();
        let receiver = thread::spawn(move || act(&listener.accept().expect("accepted").0));
        let (_read, write) = pipe();
        let outcome = client(&socket, &init(), write.as_fd(), options);
        receiver.join().expect("the receiver saw what it is to see");
        outcome
    };
    CLIENTS.into_iter().map(outcome).collect()
}

fn answer(mut stream: &UnixStream, bytes: &[u8]) {
    raw::recv(stream);
    stream.write_all(bytes).expect("written");
}

fn assert_not_taken(outcome: &Result<(), PortError>, matches: fn(&NoAck) -> bool) {
    let error = outcome.as_ref().expect_err("not taken");
    assert_eq!((error.operation, error.kind), (Operation::SendSeccompInit, ErrorKind::Internal), "{error}");
    let source = error.source().and_then(|source| source.downcast_ref::<NoAck>()).expect("it says what came");
    assert!(matches(source), "{source:?}");
}

#[test]
fn the_message_and_one_descriptor_arrive_together_and_are_the_same_open_file() {
    for client in CLIENTS {
        let (_dir, socket, listener) = listen();
        let receiver = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepted");
            let received = raw::recv(&stream);
            stream.write_all(b"ack").expect("written");
            wait_until_closed(&stream);
            received
        });
        let (read, write) = pipe();
        client(&socket, &init(), write.as_fd(), options(LONG, LONG)).expect("taken");
        let (bytes, mut fds) = receiver.join().expect("received");
        assert_eq!((bytes.as_slice(), fds.len()), (MESSAGE.as_bytes(), 1));
        drop(write);
        assert_writes_to(&read, fds.remove(0));
    }
}

#[test]
fn an_acknowledgement_may_come_late_and_in_pieces() {
    let in_pieces = |mut stream: &UnixStream| {
        raw::recv(stream);
        for byte in b"ack" {
            stream.write_all(&[*byte]).expect("written");
            // No event tells that the client has read it. The rule holds whether or not it has.
            thread::sleep(Duration::from_millis(10));
        }
    };
    for outcome in against(in_pieces, options(LONG, LONG)) {
        outcome.expect("taken");
    }
}

#[test]
fn a_receiver_that_closes_at_once_or_after_the_message_has_not_taken_it() {
    let closers: [fn(&UnixStream); 3] =
        [|_| {}, |stream| drop(raw::recv(stream)), |stream| answer(stream, b"ac")];
    for close in closers {
        for outcome in against(close, options(LONG, LONG)) {
            assert_not_taken(&outcome, |source| matches!(source, NoAck::Closed { .. }));
        }
    }
}

#[test]
fn any_other_answer_is_told_by_its_first_bytes() {
    for outcome in against(|stream| answer(stream, b"nack"), options(LONG, LONG)) {
        assert_not_taken(
            &outcome,
            |source| matches!(source, NoAck::Other { found } if b"nac".starts_with(found)),
        );
    }
    // The third byte is not waited for: the second is wrong.
    let wrong = |stream: &UnixStream| {
        answer(stream, b"ax");
        wait_until_closed(stream);
    };
    for outcome in against(wrong, options(LONG, LONG)) {
        assert_not_taken(&outcome, |source| matches!(source, NoAck::Other { .. }));
    }
}

#[test]
fn a_receiver_that_never_answers_is_left_at_the_deadline() {
    let began = Instant::now();
    let silent: [fn(&UnixStream); 2] = [wait_until_closed_unread, |stream| {
        answer(stream, b"ac");
        wait_until_closed(stream);
    }];
    for act in silent {
        for outcome in against(act, options(SHORT, LONG)) {
            let error = outcome.expect_err("no answer");
            assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
            assert!(error.to_string().contains("150ms"), "{error}");
        }
    }
    assert!((SHORT * 4..LONG).contains(&began.elapsed()));
}

/// Waits for the end of a connection without reading the message first.
fn wait_until_closed_unread(stream: &UnixStream) {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    poll(&mut fds, None).expect("waited");
}

#[test]
fn where_nobody_listens_it_is_unavailable_with_the_path_and_what_to_do() {
    for client in CLIENTS {
        let (_dir, socket, listener) = listen();
        drop(listener);
        let (_read, write) = pipe();
        let error =
            client(&socket, &init(), write.as_fd(), options(LONG, SHORT)).expect_err("nobody listens");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        let expected =
            format!("container c1: cannot connect to socket {socket}: nobody listens; start the daemon");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.source().expect("kept").to_string(), "Connection refused (os error 111)");
        // The deadline also ends a patience that is longer, and it is still told that nobody listens.
        let error =
            client(&socket, &init(), write.as_fd(), options(SHORT, LONG)).expect_err("nobody listens");
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
}

#[test]
fn a_receiver_that_starts_or_has_room_within_the_patience_is_waited_for() {
    for client in CLIENTS {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = AbsPath::new(dir.path().join("s")).expect("absolute");
        let late = socket.clone();
        let receiver = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            let listener = UnixListener::bind(late).expect("bound");
            rustix::net::listen(&listener, 0).expect("listens");
            answer(&listener.accept().expect("accepted").0, b"ack");
            listener
        });
        let (_read, write) = pipe();
        client(&socket, &init(), write.as_fd(), options(LONG, LONG)).expect("taken");
        let listener = receiver.join().expect("it listened");
        let _waiting = UnixStream::connect(&socket).expect("the queue holds one");
        let error = client(&socket, &init(), write.as_fd(), options(LONG, SHORT)).expect_err("no more");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        drop(listener);
    }
}

#[test]
fn what_the_receiver_could_not_take_is_refused_before_anything_is_connected() {
    for client in CLIENTS {
        let (_dir, socket, listener) = listen();
        listener.set_nonblocking(true).expect("set");
        let (_read, write) = pipe();
        let too_long = SeccompInit { pid: 1, id: "x".repeat(80).parse().expect("valid") };
        let no_process = SeccompInit { pid: 0, ..init() };
        for request in [too_long, no_process] {
            let error = client(&socket, &request, write.as_fd(), options(LONG, LONG)).expect_err("refused");
            assert_eq!(error.kind, ErrorKind::InvalidArgument);
        }
        assert_eq!(listener.accept().expect_err("nobody connected").kind(), Io::WouldBlock);
    }
}

#[test]
fn a_connection_that_is_given_is_used_whether_or_not_it_blocks_and_left_so() {
    for nonblocking in [false, true] {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(nonblocking).expect("set");
        let (_read, write) = pipe();
        theirs.write_all(b"ack").expect("written");
        blocking::send_init_on(&ours, &init(), write.as_fd(), LONG).expect("taken");
        assert_eq!(raw::recv(&theirs).0, MESSAGE.as_bytes());
        let error = blocking::send_init_on(&ours, &init(), write.as_fd(), SHORT).expect_err("no answer");
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
        let flags = rustix::fs::fcntl_getfl(&ours).expect("open");
        assert_eq!(flags.contains(rustix::fs::OFlags::NONBLOCK), nonblocking);
    }
}

#[test]
fn a_connection_that_has_no_room_is_waited_for_until_the_deadline() {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("set");
    while ours.write(&[0; 4096]).is_ok() {}
    let (_read, write) = pipe();
    let error = blocking::send_init_on(&ours, &init(), write.as_fd(), SHORT).expect_err("no room");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    let draining = thread::spawn(move || {
        let mut theirs = theirs;
        while !raw::recv(&theirs).0.ends_with(MESSAGE.as_bytes()) {}
        theirs.write_all(b"ack").expect("written");
        theirs
    });
    blocking::send_init_on(&ours, &init(), write.as_fd(), LONG).expect("taken");
    wait_until_read(&ours);
    draining.join().expect("drained");
}
