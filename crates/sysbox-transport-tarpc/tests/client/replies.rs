//! Replies that break the rules, each with the kind of error that it is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sysbox_core::{ErrorKind, PortError};

use crate::{
    daemon::{Daemon, alloc, impatient, mgr, pause},
    frames::{PAUSE, answer, frame, not_begun},
    served::within,
};

/// What a caller is told whose first call is answered by `reply`, and that the next one is answered.
async fn told(reply: impl Fn(u64) -> Vec<u8> + Clone + Send + Sync + 'static) -> PortError {
    let told = Arc::new(AtomicBool::new(false));
    let daemon =
        Daemon::answering(
            move |_, id, variant| {
                if told.swap(true, Ordering::SeqCst) { answer(id, variant) } else { reply(id) }
            },
        );
    let mut options = impatient();
    options.max_reply = 1000;
    let mgr = mgr(&daemon.socket, options);
    let error = within(pause(&mgr)).await.expect_err("a bad reply");
    within(pause(&mgr)).await.expect("the next one is good");
    error
}

#[tokio::test]
async fn a_good_reply_is_read() {
    let daemon = Daemon::answering(|_, id, variant| answer(id, variant));
    let ids = alloc(&mgr(&daemon.socket, impatient())).await.expect("answered");
    assert_eq!((ids.uid.0, ids.gid.0), (7, 9));
}

#[tokio::test]
async fn the_answer_to_another_call_is_internal_and_no_panic() {
    let error = told(|id| answer(id, PAUSE + 1)).await;
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.message.contains("another call"), "{error}");
    let daemon = Daemon::answering(|_, id, _| answer(id, PAUSE));
    let error = alloc(&mgr(&daemon.socket, impatient())).await.expect_err("no ids");
    assert_eq!(error.kind, ErrorKind::Internal);
}

#[tokio::test]
async fn an_answer_that_is_none_is_internal() {
    for bytes in [&[][..], &[7], &[0, 200], &[0, PAUSE, 0]] {
        assert_eq!(told(move |id| frame(1, id, bytes)).await.kind, ErrorKind::Internal, "{bytes:?}");
    }
}

#[tokio::test]
async fn an_answer_that_the_daemon_holds_back_because_it_is_too_long_concerns_its_call_alone() {
    let error = told(|id| frame(3, id, &5000_u64.to_le_bytes())).await;
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    assert!(error.message.contains("max_reply") && error.message.contains("5000"), "{error}");
}

#[tokio::test]
async fn frames_that_break_the_rules_end_the_connection_and_the_next_call_has_a_new_one() {
    for broken in [|_| frame(1, 0, &[0; 2000]), |id| frame(9, id, &[]), |_| vec![3, 0, 0, 0, 1, 2, 3]] {
        let error = told(broken).await;
        assert_eq!(error.kind, ErrorKind::Internal, "{error}");
        assert!(error.message.contains("carried out is not known"), "{error}");
    }
}

#[tokio::test]
async fn a_call_that_the_daemon_does_not_know_is_told_with_what_to_upgrade_and_is_not_sent_again() {
    for (why, upgrade) in [(2, "upgrade the daemon"), (9, "upgrade this program")] {
        // Sent again, it would be answered.
        let error = told(move |id| not_begun(id, why)).await;
        assert_eq!(error.kind, ErrorKind::Unimplemented, "{error}");
        assert!(error.message.contains("did not begin") && error.message.contains(upgrade), "{error}");
    }
}

#[tokio::test]
async fn an_answer_to_no_call_is_overlooked() {
    let daemon = Daemon::answering(|_, id, variant| [answer(id + 77, variant), answer(id, variant)].concat());
    let mgr = mgr(&daemon.socket, impatient());
    for _ in 0..3 {
        within(pause(&mgr)).await.expect("answered");
    }
}
