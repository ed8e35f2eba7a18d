//! Daemons that stand still for a while: what is told of calls that have not left, or only in part.

use std::time::Duration;

use sysbox_core::{
    AbsPath, Deadlines, ErrorKind, HostGid, HostUid, MgrPort, MountToPrepare, MountsToPrepare, PortError,
};
use sysbox_transport_tarpc::{ClientOptions, TarpcMgr};
use tokio::io::AsyncWriteExt;

use crate::{
    daemon::{Daemon, impatient, mgr, pause},
    frames::{MGR, SERVED, greeted, hello, next},
    served::within,
};

fn hurried() -> ClientOptions {
    let mut options = impatient();
    options.deadlines = Deadlines { mgr: Duration::from_millis(100), ..Deadlines::default() };
    options
}

/// A request that is longer than what the kernel holds for a daemon that does not read.
async fn ask_long(mgr: &TarpcMgr) -> PortError {
    let source = AbsPath::new(format!("/{}", "x".repeat(1020))).expect("absolute");
    let mounts = vec![MountToPrepare { source, exclusive: false }; 1000];
    let id = "c1".parse().expect("valid");
    let request = MountsToPrepare { id, uid: HostUid(1), gid: HostGid(2), mounts };
    within(mgr.prep_mounts(&request)).await.expect_err("no answer")
}

#[tokio::test]
async fn a_call_of_which_a_part_has_left_may_still_be_carried_out_and_its_caller_is_told_so() {
    let (go, went) = tokio::sync::watch::channel(false);
    let (got, mut gets) = tokio::sync::mpsc::unbounded_channel();
    let daemon = Daemon::new(move |_, mut stream| {
        let (got, mut went) = (got.clone(), went.clone());
        async move {
            let _ = greeted(&mut stream).await;
            let _ = stream.write_all(&hello(1, MGR, SERVED, 4 << 20, 256)).await;
            went.wait_for(|went| *went).await.expect("the test goes on");
            let (kind, _, request) = next(&mut stream).await.expect("a frame");
            got.send((kind, request.len())).expect("the test goes on");
        }
    });
    let mgr = mgr(&daemon.socket, hurried());
    let error = ask_long(&mgr).await;
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    go.send_replace(true);
    let (kind, length) = within(gets.recv()).await.expect("it has it after all");
    assert!(kind == 1 && length > 1_000_000, "the call in full");
    assert!(error.message.contains("not known"), "{error}");
}

#[tokio::test]
async fn a_call_that_waits_for_its_turn_until_its_deadline_was_not_sent() {
    let daemon = Daemon::new(|_, mut stream| async move {
        let _ = greeted(&mut stream).await;
        let _ = stream.write_all(&hello(1, MGR, SERVED, 4 << 20, 1)).await;
        // The first call has the only turn.
        while next(&mut stream).await.is_some() {}
    });
    let mgr = mgr(&daemon.socket, hurried());
    let (first, second) = within(async { tokio::join!(pause(&mgr), pause(&mgr)) }).await;
    let messages = [first, second].map(|outcome| outcome.expect_err("no answer").message);
    assert!(messages[0].contains("not known"), "{messages:?}");
    assert!(messages[1].contains("it was not sent"), "{messages:?}");
}
