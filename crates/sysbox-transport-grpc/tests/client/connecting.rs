//! Daemons that are absent, late, deaf or dumb.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use sysbox_core::{Deadlines, ErrorKind};
use sysbox_transport_grpc::ClientOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use crate::{
    daemon::{Daemon, SETTINGS, alloc, http2, impatient, mgr, pause, room, well},
    served::within,
};

#[tokio::test]
async fn a_daemon_that_is_absent_is_unavailable_with_path_and_cause() {
    let (_dir, socket) = room();
    let error = alloc(&mgr(&socket, impatient())).await.expect_err("absent");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains(&socket.to_string()), "{error}");
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    assert_eq!(cause.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
}

#[tokio::test]
async fn a_daemon_that_comes_late_is_waited_for_by_all_callers() {
    let (_dir, socket) = room();
    let mgr = mgr(&socket, ClientOptions::default());
    let calls: Vec<_> = (0..10)
        .map(|_| {
            tokio::spawn({
                let mgr = mgr.clone();
                async move { pause(&mgr).await }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(30)).await;
    let listener = UnixListener::bind(&socket).expect("bound");
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepted");
        http2(stream, |_, respond| well(respond)).await;
    });
    for call in calls {
        call.await.expect("no panic").expect("answered over the one connection");
    }
    serving.abort();
}

#[tokio::test]
async fn callers_that_wait_together_give_up_together() {
    let (_dir, socket) = room();
    let mut options = ClientOptions::default();
    options.patience = Duration::from_millis(100);
    let mgr = mgr(&socket, options);
    let began = Instant::now();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let mgr = mgr.clone();
                async move { pause(&mgr).await }
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect_err("absent").kind, ErrorKind::Unavailable);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "one after another they would take five seconds");
}

#[tokio::test]
async fn a_daemon_that_accepts_nobody_or_says_nothing_is_given_up_after_the_silence() {
    let (_dir, socket) = room();
    let _deaf = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let dumb = Daemon::new(|_, mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let mut options = impatient();
    options.silence = Duration::from_millis(50);
    for socket in [&socket, &dumb.socket] {
        let error = within(pause(&mgr(socket, options))).await.expect_err("silent");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("has not answered"), "{error}");
    }
}

#[tokio::test]
async fn a_daemon_that_speaks_but_does_not_answer_has_the_time_that_the_call_has() {
    let daemon = Daemon::new(|_, mut stream| async move {
        let _ = stream.write_all(SETTINGS).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let mut options = impatient();
    options.silence = Duration::from_millis(20);
    options.deadlines = Deadlines { mgr: Duration::from_millis(150), ..Deadlines::default() };
    let error = within(pause(&mgr(&daemon.socket, options))).await.expect_err("no answer");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    assert!(error.message.contains("150ms") && error.message.contains("not known"), "{error}");
}

#[tokio::test]
async fn the_deadline_of_a_call_covers_the_wait_for_a_daemon_that_is_absent() {
    let (_dir, socket) = room();
    let mut options = ClientOptions::default();
    options.patience = Duration::from_secs(600);
    options.deadlines = Deadlines { mgr: Duration::from_millis(100), ..Deadlines::default() };
    let mgr = mgr(&socket, options);
    let errors = within(async { tokio::join!(alloc(&mgr), pause(&mgr)) }).await;
    for error in [errors.0.expect_err("absent"), errors.1.expect_err("absent")] {
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
        assert!(error.message.contains("100ms") && error.message.contains("it was not sent"), "{error}");
    }
}

#[test]
fn without_a_runtime_a_call_says_what_to_do() {
    let (_dir, socket) = room();
    let mgr = mgr(&socket, impatient());
    let mut call = Box::pin(pause(&mgr));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = call.as_mut().poll(&mut context) else {
        panic!("it cannot wait")
    };
    assert_eq!(error.kind, ErrorKind::Internal);
}
