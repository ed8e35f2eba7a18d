//! Peers that owe something and do not send it.

use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sysbox_core::AbsPath;
use sysbox_transport_tarpc::{ClientOptions, TarpcMgr};
use tokio::net::UnixStream;

use crate::{
    daemon::{Daemon, HANDSHAKE},
    frames::{ALLOC, call, closed, connect, greeting, send_blindly},
    served::{alloc, within},
};

/// So many peers connect, send the same, and wait until they are cut off.
async fn crowd(socket: AbsPath, size: usize, bytes: Vec<u8>) {
    let mut peers: Vec<UnixStream> = Vec::new();
    for _ in 0..size {
        let mut peer = connect(&socket).await;
        send_blindly(&mut peer, &bytes).await;
        peers.push(peer);
    }
    for peer in &mut peers {
        closed(peer).await;
    }
}

#[tokio::test]
async fn a_thousand_peers_that_say_nothing_are_cut_off_in_time() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("raised");
    let mut daemon = Daemon::start().await;
    let began = Instant::now();
    daemon.withstands(crowd(daemon.socket.clone(), 1000, Vec::new())).await;
    assert!(began.elapsed() >= HANDSHAKE);
}

#[tokio::test]
async fn peers_that_say_hello_only_are_cut_off() {
    let mut daemon = Daemon::start().await;
    daemon.withstands(crowd(daemon.socket.clone(), 200, greeting())).await;
}

#[tokio::test]
async fn peers_that_send_half_a_hello_are_cut_off() {
    let mut daemon = Daemon::start().await;
    daemon.withstands(crowd(daemon.socket.clone(), 200, greeting()[..20].to_vec())).await;
}

#[tokio::test]
async fn peers_that_send_half_a_frame_are_cut_off() {
    let mut daemon = Daemon::start().await;
    let whole = call(0, &ALLOC);
    for half in [&whole[..2], &whole[..10], &whole[..whole.len() - 1]] {
        let bytes = [greeting(), call(1, &ALLOC), half.to_vec()].concat();
        daemon.withstands(crowd(daemon.socket.clone(), 100, bytes)).await;
    }
}

#[tokio::test]
async fn a_daemon_without_a_free_descriptor_serves_again_when_there_is_one() {
    let daemon = Daemon::start().await;
    daemon.starve(3);
    crowd(daemon.socket.clone(), 12, Vec::new()).await;
    let mgr = TarpcMgr::new(daemon.socket.clone(), ClientOptions::default());
    within(alloc(&mgr, "c1")).await.expect("served");
}
