//! What calls leave behind that did not end well: nothing. The only test of its program, so that descriptors and threads can be
//! counted.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test, whose second copy tells the first that it is ready"
)]

use std::{fs, io::Write, num::NonZeroU32, time::Duration};

use process::{HOLDS, LOSES, Process, place, runtime, serve_if_told};
use sysbox_core::{
    AbsPath, ErrorKind, HostGid, HostUid, MgrPort, MountToPrepare, MountsToPrepare, PortError, SubidRequest,
    Subids,
};
use sysbox_transport_grpc::{ClientOptions, GrpcMgr};
use tokio::{runtime::Runtime, task::yield_now, time::timeout};

#[path = "../../sysbox-transport/tests/shared/daemon_process.rs"]
mod process;
#[path = "support/subject.rs"]
mod subject;

const TEST: &str = "calls_given_up_silent_daemons_and_lost_connections_leave_nothing_behind";

#[test]
fn calls_given_up_silent_daemons_and_lost_connections_leave_nothing_behind() {
    serve_if_told();
    let runtime = runtime();
    calls_given_up(&runtime);
    silent_daemons(&runtime);
    daemons_that_stop_reading(&runtime);
    lost_connections(&runtime);
}

fn calls_given_up(runtime: &Runtime) {
    let (_dir, run, socket) = place();
    let _daemon = Process::start(&run, HOLDS, TEST);
    let mgr = client(socket);
    runtime.block_on(pause(&mgr)).expect("answered");
    let before = held(runtime);
    for _ in 0..100 {
        let given_up = runtime.block_on(async { timeout(Duration::from_millis(2), alloc(&mgr)).await });
        assert!(given_up.is_err(), "it is not answered");
    }
    assert_eq!(held(runtime), before, "after 100 calls that were given up");
    runtime.block_on(pause(&mgr)).expect("answered");
    // And where the call is given up while the connection is made.
    for _ in 0..100 {
        let mgr = client(AbsPath::new(run.as_path().join("s")).expect("absolute"));
        let mut call = Box::pin(pause(&mgr));
        runtime.block_on(async {
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx)));
            assert!(polled.await.is_pending(), "the answer is not there yet");
        });
    }
    assert_eq!(held(runtime), before, "after 100 clients that were given up");
}

fn silent_daemons(runtime: &Runtime) {
    let (_dir, run, socket) = place();
    fs::create_dir(&run).expect("made");
    let _deaf = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let mut options = ClientOptions::default();
    options.silence = Duration::from_millis(20);
    let mgr = GrpcMgr::new(socket, options);
    let before = held(runtime);
    for _ in 0..20 {
        let error = runtime.block_on(pause(&mgr)).expect_err("silent");
        assert!(error.message.contains("has not answered"), "{error}");
    }
    assert_eq!(held(runtime), before, "after 20 silent connections");
}

/// What they were sent fills the socket, so that nothing can be said to them any more, not even a farewell.
fn daemons_that_stop_reading(runtime: &Runtime) {
    let (_dir, run, socket) = place();
    fs::create_dir(&run).expect("made");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let source = AbsPath::new(format!("/{}", "x".repeat(200))).expect("absolute");
    let mount = MountToPrepare { source, exclusive: false };
    let mounts = vec![mount; 10_000];
    let request =
        MountsToPrepare { id: "c1".parse().expect("valid"), uid: HostUid(1), gid: HostGid(2), mounts };
    let before = held(runtime);
    let mgr = client(socket);
    let _unread = runtime.block_on(async {
        let mut call = mgr.prep_mounts(&request);
        // The first step connects.
        assert!(timeout(Duration::from_millis(10), &mut call).await.is_err(), "it is not answered");
        let (mut unread, _) = listener.accept().expect("accepted");
        // Windows of 8 MiB: SETTINGS for streams, WINDOW_UPDATE for the connection.
        unread.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0x80, 0, 0]).expect("sent");
        unread.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0x80, 0, 0]).expect("sent");
        assert!(timeout(Duration::from_millis(100), &mut call).await.is_err(), "it is not answered");
        unread
    });
    drop(mgr);
    // What the test itself opened: the daemon's end.
    let before = (before.0 + 1, before.1);
    assert_eq!(held(runtime), before, "after a daemon that stopped reading");
}

fn lost_connections(runtime: &Runtime) {
    let (_dir, run, socket) = place();
    let _daemon = Process::start(&run, LOSES, TEST);
    let mgr = client(socket);
    let before = held(runtime);
    for _ in 0..100 {
        let error = runtime.block_on(pause(&mgr)).expect_err("lost");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        runtime.block_on(alloc(&mgr)).expect_err("lost again each time");
    }
    assert_eq!(held(runtime), before, "after 200 lost connections");
}

fn client(socket: AbsPath) -> GrpcMgr {
    let mut options = ClientOptions::default();
    options.patience = Duration::ZERO;
    GrpcMgr::new(socket, options)
}

async fn pause(mgr: &GrpcMgr) -> Result<(), PortError> {
    mgr.pause(&"c1".parse().expect("valid")).await
}

async fn alloc(mgr: &GrpcMgr) -> Result<Subids, PortError> {
    mgr.alloc_subids(&SubidRequest { id: "c1".parse().expect("valid"), size: NonZeroU32::MIN }).await
}

/// Descriptors and threads. What a call leaves to the runtime is done when that runs again.
fn held(runtime: &Runtime) -> (usize, usize) {
    runtime.block_on(async {
        for _ in 0..10 {
            yield_now().await;
        }
    });
    let count = |of| fs::read_dir(format!("/proc/self/{of}")).expect("procfs").count();
    (count("fd"), count("task"))
}
