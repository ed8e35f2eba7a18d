//! Who is served: a peer of another user is told that it is not, and why. Must run as root, to become one.
#![expect(clippy::expect_used, reason = "a test")]

#[path = "support/served.rs"]
mod served;

use std::{
    fs::{Permissions, set_permissions},
    io::Read,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    time::{Duration, Instant},
};

use rustix::{
    process::{Gid, Uid},
    thread::{set_thread_res_gid, set_thread_res_uid},
};
use sysbox_core::{AbsPath, ErrorKind, HostGid, HostUid, PortError, Subids, port::MockMgrPort};
use sysbox_transport::PeerPolicy;
use sysbox_transport_tarpc::{ClientOptions, ServerOptions, TarpcMgr};

use crate::served::{Served, alloc, within};

const STRANGER: u32 = 4_000_001;

fn open_to_all(options: ServerOptions) -> Served {
    let mut port = MockMgrPort::new();
    port.expect_alloc_subids().returning(|_| Ok(Subids { uid: HostUid(65_536), gid: HostGid(65_536) }));
    let served = Served::mgr(port, options);
    let run = served.socket.as_path().parent().expect("a directory");
    for (path, mode) in
        [(run.parent().expect("a directory"), 0o755), (run, 0o755), (served.socket.as_path(), 0o666)]
    {
        set_permissions(path, Permissions::from_mode(mode)).expect("opened");
    }
    served
}

/// Does something in a thread of another user; the kernel takes a peer's user from the thread that connects.
async fn as_another_user<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let (uid, gid) = (Uid::from_raw(STRANGER), Gid::from_raw(STRANGER));
        set_thread_res_gid(gid, gid, gid).expect("another group");
        set_thread_res_uid(uid, uid, uid).expect("another user");
        let _ = done.send(what());
    });
    within(outcome).await.expect("no panic")
}

/// Asks twice.
fn ask(socket: AbsPath) -> [Result<(), PortError>; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mgr = TarpcMgr::new(socket, ClientOptions::default());
        let first = within(alloc(&mgr, "c1")).await.map(drop);
        [first, within(alloc(&mgr, "c1")).await.map(drop)]
    })
}

#[tokio::test]
async fn a_peer_of_another_user_is_told_that_it_is_not_served_and_who_is() {
    let mut options = ServerOptions::default();
    options.peers = PeerPolicy::with_users([4_000_002]);
    let served = open_to_all(options);
    let socket = served.socket.clone();
    for answer in as_another_user(move || ask(socket)).await {
        let error = answer.expect_err("not served");
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        for part in ["user 4000001", "[0, 4000002]"] {
            assert!(error.message.contains(part), "{error}");
        }
    }
    within(alloc(&served.client(), "c1")).await.expect("root is served");
    served.end().await;
}

#[tokio::test]
async fn a_user_that_the_options_name_is_served() {
    let mut options = ServerOptions::default();
    options.peers = PeerPolicy::with_users([STRANGER]);
    let served = open_to_all(options);
    let socket = served.socket.clone();
    for answer in as_another_user(move || ask(socket)).await {
        answer.expect("served");
    }
    served.end().await;
}

#[tokio::test]
async fn peers_that_are_not_served_cannot_crowd_out_those_that_are_and_are_cut_off_in_time() {
    let mut options = ServerOptions::default();
    options.connections = 4;
    options.handshake = Duration::from_millis(300);
    options.grace = Duration::from_millis(20);
    let served = open_to_all(options);
    let socket = served.socket.clone();
    let crowd = as_another_user(move || {
        (0..200).map(|_| UnixStream::connect(&socket).expect("connected")).collect::<Vec<_>>()
    })
    .await;
    let began = Instant::now();
    within(alloc(&served.client(), "c1")).await.expect("root is served");
    assert!(began.elapsed() < Duration::from_secs(1));
    let all_cut = tokio::task::spawn_blocking(move || {
        for mut peer in crowd {
            let _ = peer.read_to_end(&mut Vec::new());
        }
    });
    within(all_cut).await.expect("no panic");
    served.end().await;
}
