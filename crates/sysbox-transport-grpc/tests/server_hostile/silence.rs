//! Peers that owe something and do not send it.

use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sysbox_core::AbsPath;
use tokio::net::UnixStream;

use crate::{
    daemon::{Daemon, HANDSHAKE},
    frames::{
        DATA, END_HEADERS, HEADERS, closed, connect, frame, next, preface, request_block, send_blindly,
        stream,
    },
    served::{MgrClient, channel, subid_request, within},
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
async fn peers_that_send_the_preface_only_are_cut_off() {
    let mut daemon = Daemon::start().await;
    daemon.withstands(crowd(daemon.socket.clone(), 200, preface())).await;
}

#[tokio::test]
async fn peers_that_send_half_a_frame_are_cut_off() {
    let mut daemon = Daemon::start().await;
    let whole = frame(HEADERS, END_HEADERS, stream(0), &request_block());
    let half = [preface(), whole[..whole.len() / 2].to_vec()].concat();
    daemon.withstands(crowd(daemon.socket.clone(), 200, half)).await;
}

#[tokio::test]
async fn half_a_request_is_given_up_after_its_time() {
    let mut daemon = Daemon::start().await;
    let socket = daemon.socket.clone();
    daemon
        .withstands(async move {
            let mut peer = connect(&socket).await;
            let headers = frame(HEADERS, END_HEADERS, stream(0), &request_block());
            let half = frame(DATA, 0, stream(0), &[0, 0, 0, 0, 70, 10]);
            send_blindly(&mut peer, &[preface(), headers, half].concat()).await;
            let answer = next(&mut peer, HEADERS, stream(0)).await.is_some();
            assert!(answer, "a status tells that the request was not complete");
        })
        .await;
}

#[tokio::test]
async fn a_daemon_without_a_free_descriptor_serves_again_when_there_is_one() {
    let daemon = Daemon::start().await;
    daemon.starve(3);
    crowd(daemon.socket.clone(), 12, Vec::new()).await;
    let mut client = MgrClient::new(channel(&daemon.socket).await);
    within(client.subid_alloc(subid_request("c1"))).await.expect("served");
}
