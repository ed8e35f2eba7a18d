//! Daemons of other versions, for other ports, and what is no such daemon.

use std::{error::Error, time::Duration};

use sysbox_core::{
    AbsPath, ErrorKind, FsPort, HostGid, HostUid, MgrPort, MountToPrepare, MountsToPrepare, PortError,
    port::MockMgrPort,
};
use sysbox_transport_tarpc::{ClientOptions, ServerOptions, TarpcFs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    daemon::{Daemon, alloc, impatient, mgr, pause, speak_on},
    frames::{FS, MGR, SERVED, answer, greeted, hello, next, welcome},
    served::{Served, within},
};

/// A request of about so many kilobytes.
fn mounts(count: usize) -> MountsToPrepare {
    let source = AbsPath::new(format!("/{}", "x".repeat(995))).expect("absolute");
    let mounts = vec![MountToPrepare { source, exclusive: false }; count];
    MountsToPrepare { id: "c1".parse().expect("valid"), uid: HostUid(1), gid: HostGid(2), mounts }
}

async fn told(first: Vec<u8>) -> PortError {
    let daemon = Daemon::new(move |_, mut stream| {
        let first = first.clone();
        async move {
            let _ = stream.write_all(&first).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let error = within(pause(&mgr(&daemon.socket, ClientOptions::default()))).await.expect_err("not served");
    assert!(error.message.contains(&daemon.socket.to_string()), "{error}");
    error
}

#[tokio::test]
async fn a_daemon_of_another_version_is_told_with_both_and_what_to_upgrade() {
    for (version, upgrade) in [(2, "upgrade this program"), (0, "upgrade the daemon")] {
        let error = told(hello(version, MGR, SERVED, 1, 1)).await;
        assert_eq!(error.kind, ErrorKind::Unimplemented);
        for part in [&format!("version {version} of"), "version 1", upgrade] {
            assert!(error.message.contains(part), "{error}");
        }
    }
}

#[tokio::test]
async fn why_a_daemon_is_not_spoken_with_is_told_to_each_caller_that_waits_for_its_hello() {
    let (begin, begun) = tokio::sync::watch::channel(false);
    let daemon = Daemon::new(move |_, mut stream| {
        let mut begun = begun.clone();
        async move {
            begun.wait_for(|begun| *begun).await.expect("the test goes on");
            let _ = stream.write_all(&hello(7, MGR, SERVED, 1, 1)).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let mgr = mgr(&daemon.socket, impatient());
    // One is let through, others wait for their turn, and one for how much the daemon takes.
    let mut calls: Vec<_> = (0..20)
        .map(|_| {
            let mgr = mgr.clone();
            tokio::spawn(async move { pause(&mgr).await })
        })
        .collect();
    calls.push(tokio::spawn({
        let mgr = mgr.clone();
        async move { mgr.prep_mounts(&mounts(20)).await }
    }));
    // In this runtime of one thread all of them wait by then.
    tokio::task::yield_now().await;
    begin.send_replace(true);
    for call in calls {
        let error = within(call).await.expect("no panic").expect_err("not served");
        assert_eq!(error.kind, ErrorKind::Unimplemented, "{error}");
        assert!(error.message.contains("version 7"), "{error}");
    }
}

#[tokio::test]
async fn a_daemon_of_another_port_is_told() {
    let error = told(hello(1, FS, SERVED, 1, 1)).await;
    assert_eq!(error.kind, ErrorKind::Unimplemented);
    assert!(error.message.contains("fs daemon") && error.message.contains("manager"), "{error}");
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let fs = TarpcFs::new(served.socket.clone(), ClientOptions::default());
    let error = within(fs.mountpoint()).await.expect_err("a manager");
    assert_eq!(error.kind, ErrorKind::Unimplemented);
    served.end().await;
}

#[tokio::test]
async fn without_an_fs_daemon_its_calls_are_unimplemented_and_it_is_told_what_to_do() {
    let served = Served::fs(None);
    let fs = TarpcFs::new(served.socket.clone(), ClientOptions::default());
    let error = within(fs.mountpoint()).await.expect_err("nobody");
    assert_eq!(error.kind, ErrorKind::Unimplemented);
    assert!(error.message.contains("--no-sysbox-fs"), "{error}");
    served.end().await;
}

#[tokio::test]
async fn a_grpc_server_is_recognised_by_its_settings() {
    let error = told(vec![0, 0, 18, 4, 0, 0, 0, 0, 0]).await;
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    assert!(causes.any(|cause| cause.to_string().contains("HTTP/2")), "{error:?}");
}

#[tokio::test]
async fn what_speaks_something_else_is_told_with_its_path_and_the_cause() {
    let daemon = Daemon::new(|_, mut stream| async move {
        let _ = stream.write_all(b"220 mail.example ESMTP, what can I do for you?\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = alloc(&mgr(&daemon.socket, impatient())).await.expect_err("not tarpc");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains(&daemon.socket.to_string()), "{error}");
    assert!(error.message.contains("does not speak tarpc"), "{error}");
    assert!(error.source().is_some(), "{error:?}");
}

#[tokio::test]
async fn the_first_call_comes_with_the_clients_hello_and_others_wait_for_the_daemons() {
    let daemon = Daemon::new(|_, mut stream| async move {
        greeted(&mut stream).await.expect("a hello");
        let (_, id, rest) = next(&mut stream).await.expect("a call, although nothing was said to it");
        let mut more = [0];
        let silence = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut more)).await;
        assert!(silence.is_err(), "no second call yet");
        let _ = stream.write_all(&[welcome(), answer(id, rest[8])].concat()).await;
        speak_on(stream).await;
    });
    let mgr = mgr(&daemon.socket, impatient());
    let calls = within(async { tokio::join!(pause(&mgr), pause(&mgr), alloc(&mgr)) }).await;
    calls.0.expect("answered");
    calls.1.expect("answered");
    calls.2.expect("answered");
}

#[tokio::test]
async fn a_long_first_request_waits_until_the_daemon_has_said_how_much_it_takes() {
    let daemon = Daemon::new(|_, mut stream| async move {
        greeted(&mut stream).await.expect("a hello");
        let silence = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut [0])).await;
        assert!(silence.is_err(), "no call yet");
        let _ = stream.write_all(&hello(1, MGR, SERVED, 20_000, 1)).await;
        speak_on(stream).await;
    });
    let mgr = mgr(&daemon.socket, impatient());
    let error = within(mgr.prep_mounts(&mounts(30))).await.expect_err("too long");
    assert_eq!(error.kind, ErrorKind::OutOfRange);
    assert!(error.message.contains("20000"), "{error}");
    within(mgr.prep_mounts(&mounts(18))).await.expect("short enough");
}
