//! Whom the seccomp socket serves. Needs root, who alone can become another user.
#![expect(clippy::expect_used, reason = "a test")]

use std::{
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::{Uid, geteuid};
use sysbox_core::{AbsPath, Deadlines, PortError, port::MockSeccompPort, port::SeccompInit};
use sysbox_transport::{Listener, PeerPolicy};
use sysbox_transport_seccomp::{ClientOptions, ServerOptions, blocking, serve_seccomp};
use tokio_util::sync::CancellationToken;

const OTHER: u32 = 4_000_001;

#[tokio::test]
async fn another_user_is_served_only_if_named() {
    assert!(geteuid().is_root(), "this test needs root, to become another user; run: cargo xtask test");
    assert!(hand_over_as_other(PeerPolicy::with_users([OTHER]), 1).await.is_ok());
    assert!(hand_over_as_other(PeerPolicy::default(), 0).await.is_err());
}

/// What the other user is told by a server whose port is to be called that often.
async fn hand_over_as_other(peers: PeerPolicy, calls: usize) -> Result<(), PortError> {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = AbsPath::new(outer.path().join("run")).expect("absolute");
    let listener = Listener::bind(&dir, "s").expect("bound");
    let socket = listener.path().clone();
    // The server's own check is tested, and not the modes that keep others from the socket.
    for (path, mode) in [(outer.path(), 0o755), (dir.as_path(), 0o755), (socket.as_path(), 0o666)] {
        open_up(path, mode);
    }
    let (called, mut port) = (Arc::new(AtomicUsize::new(0)), MockSeccompPort::new());
    let count = called.clone();
    port.expect_send_init().returning(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let stop = CancellationToken::new();
    let options = ServerOptions { peers, ..ServerOptions::default() };
    let serving = tokio::spawn(serve_seccomp(Arc::new(port), listener, options, stop.clone()));
    let answer = tokio::task::spawn_blocking(|| std::thread::spawn(move || call_as_other(&socket)).join());
    let answer = answer.await.expect("no panic").expect("no panic");
    stop.cancel();
    serving.await.expect("no panic").expect("served");
    assert_eq!(called.load(Ordering::SeqCst), calls);
    answer
}

fn open_up(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
}

/// Becomes another user, which only this thread does and which ends with it.
fn call_as_other(socket: &AbsPath) -> Result<(), PortError> {
    let uid = Uid::from_raw(OTHER);
    rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may");
    let init = SeccompInit { pid: 42, id: "c1".parse().expect("valid") };
    let deadlines = Deadlines { seccomp: Duration::from_secs(10), ..Deadlines::default() };
    let options = ClientOptions { deadlines, ..ClientOptions::default() };
    blocking::send_init(socket, &init, std::io::stdin().as_fd(), options)
}
