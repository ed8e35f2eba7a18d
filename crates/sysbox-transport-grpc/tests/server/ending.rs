//! How a daemon ends.

use std::{
    io,
    time::{Duration, Instant},
};

use sysbox_core::port::MockMgrPort;
use sysbox_transport_grpc::ServerOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    frames::{
        DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, SUBID_REQUEST, connect, frame, next,
        preface, request_block, stream,
    },
    held::holding,
    served::{LONG, Served, subid_request, within},
};

#[tokio::test]
async fn a_running_call_is_answered_while_new_callers_find_the_socket_gone() {
    let (port, mut hold) = holding();
    let mut options = ServerOptions::default();
    options.grace = Duration::from_millis(20);
    let served = Served::mgr(port, options);
    let mut client = served.mgr_client().await;
    let mut running = client.clone();
    let running = tokio::spawn(async move { running.subid_alloc(subid_request("c1")).await });
    hold.begun().await;
    served.stop.cancel();
    within(async {
        while served.socket.as_path().exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let dialled = UnixStream::connect(&served.socket).await.expect_err("gone");
    assert_eq!(dialled.kind(), io::ErrorKind::NotFound);
    within(client.subid_alloc(subid_request("c2"))).await.expect_err("refused");
    // The running call outlives the time that peers have for their last answers.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!served.serving.is_finished());
    hold.let_go();
    within(running).await.expect("no panic").expect("answered");
    within(served.serving).await.expect("no panic").expect("ended well");
    assert!(hold.nothing_begun());
}

#[tokio::test]
async fn a_daemon_ends_only_when_a_call_without_a_caller_is_carried_out() {
    let (port, mut hold) = holding();
    let mut options = ServerOptions::default();
    options.grace = Duration::from_millis(20);
    let served = Served::mgr(port, options);
    let mut client = served.mgr_client().await;
    let call = tokio::spawn(async move { client.subid_alloc(subid_request("c1")).await });
    hold.begun().await;
    call.abort();
    served.stop.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!served.serving.is_finished());
    hold.let_go();
    within(served.serving).await.expect("no panic").expect("ended well");
    assert_eq!(hold.done(), 1);
}

#[tokio::test]
async fn peers_that_do_not_answer_hold_up_the_end_for_the_grace_only() {
    let mut options = ServerOptions::default();
    options.grace = Duration::from_millis(50);
    let served = Served::mgr(MockMgrPort::new(), options);
    let mut silent = connect(&served.socket).await;
    let mut spoken = connect(&served.socket).await;
    spoken.write_all(&preface()).await.expect("sent");
    let settings = within(spoken.read_u8()).await;
    settings.expect("its SETTINGS");
    let began = Instant::now();
    served.end().await;
    assert!(began.elapsed() < LONG / 4, "{:?}", began.elapsed());
    for peer in [&mut silent, &mut spoken] {
        let mut rest = Vec::new();
        let _ = within(peer.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_its_connections_and_removes_its_socket() {
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let mut peer = connect(&served.socket).await;
    peer.write_all(&preface()).await.expect("sent");
    within(peer.read_u8()).await.expect("its SETTINGS");
    served.serving.abort();
    let mut rest = Vec::new();
    let _ = within(peer.read_to_end(&mut rest)).await;
    assert!(!served.socket.as_path().exists());
}

#[tokio::test]
async fn what_is_asked_after_the_stop_is_refused_as_not_processed() {
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let mut peer = connect(&served.socket).await;
    peer.write_all(&preface()).await.expect("sent");
    next(&mut peer, SETTINGS, 0).await.expect("its SETTINGS");
    served.stop.cancel();
    // A client that is not awake between its calls has not yet seen that it is to go.
    let headers = frame(HEADERS, END_HEADERS, stream(0), &request_block());
    let message = frame(DATA, END_STREAM, stream(0), &SUBID_REQUEST);
    while served.socket.as_path().exists() {
        tokio::task::yield_now().await;
    }
    peer.write_all(&[headers, message].concat()).await.expect("sent");
    let code = next(&mut peer, RST_STREAM, stream(0)).await.expect("it is reset");
    assert_eq!(code, 7_u32.to_be_bytes(), "REFUSED_STREAM");
    drop(peer);
    served.end().await;
}
