//! What a receiver takes, and by which error it refuses the rest. Each rule holds for both receivers.

use std::{
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread,
    time::{Duration, Instant},
};

use sysbox_transport::Stream;
use sysbox_transport_seccomp::{
    HandOver, InvalidMessage, MAX_MESSAGE, ReceiveError, acknowledge, blocking, receive,
};

use crate::raw::{LONG, MESSAGE, SHORT, assert_writes_to, init, pipe, recv, send, wait, wait_until_read};

type Receiver = fn(UnixStream, Duration) -> Result<HandOver, ReceiveError>;

const RECEIVERS: [Receiver; 2] = [
    |stream, within| {
        wait(async {
            let mut stream = Stream::new(stream).expect("registered");
            let hand_over = receive(&mut stream, within).await?;
            acknowledge(&mut stream).await.expect("acknowledged");
            Ok(hand_over)
        })
    },
    |stream, within| {
        let hand_over = blocking::receive(&stream, within)?;
        blocking::acknowledge(&stream).expect("acknowledged");
        Ok(hand_over)
    },
];

/// The error of each receiver after what `act` sends, with descriptors it may choose from, the write end of a pipe each.
/// That they were all closed again is seen at the read end.
fn refused(within: Duration, act: impl Fn(&UnixStream, &[BorrowedFd<'_>])) -> Vec<ReceiveError> {
    let refused = |receiver: Receiver| {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (read, write) = pipe();
        let copies: Vec<OwnedFd> = (0..250).map(|_| write.try_clone().expect("a copy")).collect();
        let fds: Vec<BorrowedFd<'_>> = copies.iter().map(AsFd::as_fd).collect();
        act(&theirs, &fds);
        drop((copies, write));
        let error = receiver(ours, within).expect_err("refused");
        assert_eq!(std::io::Read::read(&mut &read, &mut [0]).expect("read"), 0, "every copy is closed");
        error
    };
    RECEIVERS.into_iter().map(refused).collect()
}

#[test]
fn a_hand_over_is_taken_with_its_descriptor_and_acknowledged() {
    for receiver in RECEIVERS {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (read, write) = pipe();
        send(&theirs, MESSAGE.as_bytes(), &[write.as_fd()]);
        drop(write);
        let hand_over = receiver(ours, LONG).expect("received");
        assert_eq!(hand_over.init, init());
        assert_writes_to(&read, hand_over.fd);
        assert_eq!(recv(&theirs).0, b"ack");
    }
}

#[test]
fn a_message_may_come_byte_by_byte_and_the_descriptor_with_any_of_them() {
    for receiver in RECEIVERS {
        for with in [0, 7, MESSAGE.len() - 1] {
            let (ours, theirs) = UnixStream::pair().expect("a pair");
            let watch = ours.try_clone().expect("a copy");
            let (read, write) = pipe();
            let sending = thread::spawn(move || {
                for (at, byte) in MESSAGE.bytes().enumerate() {
                    let fds: &[BorrowedFd<'_>] = if at == with { &[write.as_fd()] } else { &[] };
                    send(&theirs, &[byte], fds);
                    wait_until_read(&watch);
                }
                theirs
            });
            let hand_over = receiver(ours, LONG).expect("received");
            let theirs = sending.join().expect("sent");
            assert_eq!(recv(&theirs).0, b"ack");
            assert_eq!(hand_over.init, init());
            assert_writes_to(&read, hand_over.fd);
        }
    }
}

#[test]
fn a_message_without_a_descriptor_is_refused() {
    for error in refused(LONG, |peer, _| send(peer, MESSAGE.as_bytes(), &[])) {
        assert!(matches!(error, ReceiveError::NoDescriptor), "{error:?}");
    }
}

#[test]
fn several_descriptors_are_counted_and_all_closed() {
    for count in [2, 250] {
        for error in refused(LONG, |peer, fds| send(peer, MESSAGE.as_bytes(), &fds[..count])) {
            assert!(
                matches!(error, ReceiveError::SeveralDescriptors { count: found } if found == count),
                "{error:?}"
            );
        }
    }
    let one_by_one = |peer: &UnixStream, fds: &[BorrowedFd<'_>]| {
        send(peer, b"{", &fds[..1]);
        send(peer, &MESSAGE.as_bytes()[1..], &fds[1..2]);
    };
    for error in refused(LONG, one_by_one) {
        assert!(matches!(error, ReceiveError::SeveralDescriptors { count: 2 }), "{error:?}");
    }
}

#[test]
fn more_than_4096_bytes_are_too_many_whatever_they_are() {
    let spaces = vec![b' '; MAX_MESSAGE + 1];
    for error in refused(LONG, |peer, fds| send(peer, &spaces, &fds[..1])) {
        assert!(matches!(error, ReceiveError::TooLarge), "{error:?}");
    }
    let in_two = |peer: &UnixStream, fds: &[BorrowedFd<'_>]| {
        send(peer, &spaces[..4000], &fds[..1]);
        send(peer, &spaces[..97], &[]);
    };
    for error in refused(LONG, in_two) {
        assert!(matches!(error, ReceiveError::TooLarge), "{error:?}");
    }
    for receiver in RECEIVERS {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let text = format!("{MESSAGE:>MAX_MESSAGE$}");
        send(&theirs, text.as_bytes(), &[theirs.as_fd()]);
        assert_eq!(receiver(ours, LONG).expect("as many as are taken").init, init());
    }
}

#[test]
fn what_is_not_the_message_is_refused_at_once() {
    type Rule = fn(&InvalidMessage) -> bool;
    let rules: [(&str, Rule); 7] = [
        ("GET / HTTP/1.1\r\n", |error| matches!(error, InvalidMessage::NoObject)),
        ("{pid", |error| matches!(error, InvalidMessage::Json { .. })),
        (r#"{"pid":1,"id":"#, |error| matches!(error, InvalidMessage::Fields { .. })),
        (r#"{"pid":1}"#, |error| matches!(error, InvalidMessage::Fields { .. })),
        (r#"{"pid":0,"cntrId":"c1"}"#, |error| matches!(error, InvalidMessage::Pid { pid: 0 })),
        (r#"{"pid":1,"cntrId":".."}"#, |error| matches!(error, InvalidMessage::Id(_))),
        (r#"{"pid":1,"cntrId":"c1"}{}"#, |error| matches!(error, InvalidMessage::Trailing)),
    ];
    for (text, rule) in rules {
        for error in refused(LONG, |peer, fds| send(peer, text.as_bytes(), &fds[..1])) {
            assert!(matches!(&error, ReceiveError::Message(invalid) if rule(invalid)), "{text}: {error:?}");
        }
    }
}

#[test]
fn a_connection_that_ends_before_the_message_is_told_with_what_came() {
    for text in ["", "{", &MESSAGE[..MESSAGE.len() - 1]] {
        let half = |peer: &UnixStream, fds: &[BorrowedFd<'_>]| {
            if !text.is_empty() {
                send(peer, text.as_bytes(), &fds[..1]);
            }
            peer.shutdown(Shutdown::Write).expect("shut down");
        };
        for error in refused(LONG, half) {
            let expected = text.len();
            assert!(
                matches!(error, ReceiveError::EndOfStream { received } if received == expected),
                "{error:?}"
            );
        }
    }
}

#[test]
fn half_a_message_and_then_silence_is_left_at_the_deadline() {
    let began = Instant::now();
    for error in refused(SHORT, |peer, fds| send(peer, &MESSAGE.as_bytes()[..9], &fds[..1])) {
        let is_late = matches!(error, ReceiveError::DeadlineExceeded { within: SHORT, received: 9 });
        assert!(is_late, "{error:?}");
    }
    assert!((SHORT * 2..LONG).contains(&began.elapsed()));
}

#[test]
fn a_peer_that_never_stops_does_not_outlast_the_deadline() {
    for receiver in RECEIVERS {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let sending = thread::spawn(move || {
            let mut sent = 0;
            while rustix::net::send(&theirs, b" ", rustix::net::SendFlags::NOSIGNAL).is_ok() {
                sent += 1;
                thread::sleep(Duration::from_millis(1));
            }
            sent
        });
        let error = receiver(ours, SHORT).expect_err("never whole");
        assert!(matches!(error, ReceiveError::DeadlineExceeded { .. }), "{error:?}");
        assert!(sending.join().expect("no panic") > 0);
    }
}
