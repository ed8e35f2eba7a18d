//! A daemon with more peers at its door than the kernel lets wait.

use std::{error::Error, os::unix::net::UnixListener, time::Duration};

use sysbox_core::{AbsPath, ErrorKind};
use sysbox_transport::try_connect;
use sysbox_transport_tarpc::ClientOptions;

use crate::{
    daemon::{impatient, mgr, pause, room, speak},
    served::within,
};

/// A daemon that is too busy to let anybody in; the one that waits is let in with the others.
fn besieged(socket: &AbsPath) -> (UnixListener, std::os::unix::net::UnixStream) {
    let listener = UnixListener::bind(socket).expect("bound");
    rustix::net::listen(&listener, 0).expect("listens");
    let waiting = try_connect(socket).expect("the queue holds one");
    (listener, waiting)
}

#[tokio::test]
async fn a_full_backlog_is_unavailable_with_path_and_cause_when_the_patience_ends() {
    let (_dir, socket) = room();
    let _besieged = besieged(&socket);
    let mut options = impatient();
    options.patience = Duration::from_millis(50);
    let error = within(pause(&mgr(&socket, options))).await.expect_err("nobody is let in");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains(&socket.to_string()) && error.message.contains("nobody in"), "{error}");
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    assert_eq!(cause.and_then(rustix::io::Errno::from_io_error), Some(rustix::io::Errno::AGAIN));
}

#[tokio::test]
async fn a_full_backlog_is_waited_for_by_each_call_and_answers_when_the_daemon_lets_in_again() {
    let (_dir, socket) = room();
    let (listener, waiting) = besieged(&socket);
    let mgr = mgr(&socket, ClientOptions::default());
    let calls: Vec<_> = (0..10)
        .map(|_| {
            tokio::spawn({
                let mgr = mgr.clone();
                async move { pause(&mgr).await }
            })
        })
        .collect();
    // Long enough for the first try to be turned away.
    tokio::time::sleep(Duration::from_millis(30)).await;
    drop(waiting);
    listener.set_nonblocking(true).expect("set");
    let listener = tokio::net::UnixListener::from_std(listener).expect("registered");
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepted");
            tokio::spawn(speak(stream));
        }
    });
    for call in calls {
        within(call).await.expect("no panic").expect("answered");
    }
    serving.abort();
}
