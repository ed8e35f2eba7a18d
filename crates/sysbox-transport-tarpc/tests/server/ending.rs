//! How a daemon ends.

use std::{
    io,
    time::{Duration, Instant},
};

use sysbox_core::{ErrorKind, port::MockMgrPort};
use sysbox_transport_tarpc::{ClientOptions, ServerOptions, TarpcMgr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    frames::{ALLOC, call, closed, connect, greeted, greeting, next},
    held::holding,
    served::{LONG, Served, alloc, within},
};

/// A client that does not wait for the next daemon.
fn impatient(served: &Served) -> TarpcMgr {
    let mut options = ClientOptions::default();
    options.patience = Duration::ZERO;
    TarpcMgr::new(served.socket.clone(), options)
}

#[tokio::test]
async fn a_running_call_is_answered_while_new_callers_find_the_socket_gone() {
    let (port, mut hold) = holding();
    let mut options = ServerOptions::default();
    options.grace = Duration::from_millis(20);
    let served = Served::mgr(port, options);
    let client = impatient(&served);
    let running = client.clone();
    let running = tokio::spawn(async move { alloc(&running, "c1").await });
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
    let error = within(alloc(&client, "c2")).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unavailable);
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
    let client = served.client();
    let call = tokio::spawn(async move { alloc(&client, "c1").await });
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
    spoken.write_all(&greeting()).await.expect("sent");
    within(greeted(&mut spoken)).await.expect("served");
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
    peer.write_all(&greeting()).await.expect("sent");
    within(greeted(&mut peer)).await.expect("served");
    served.serving.abort();
    let mut rest = Vec::new();
    let _ = within(peer.read_to_end(&mut rest)).await;
    assert!(!served.socket.as_path().exists());
}

#[tokio::test]
async fn what_was_sent_before_the_stop_is_answered_or_refused_as_not_begun_and_nothing_can_be_sent_after_it()
{
    let (port, mut hold) = holding();
    let served = Served::mgr(port, ServerOptions::default());
    let mut peer = connect(&served.socket).await;
    peer.write_all(&[greeting(), call(1, &ALLOC)].concat()).await.expect("sent");
    within(greeted(&mut peer)).await.expect("served");
    hold.begun().await;
    // In this runtime of one thread the daemon sees both at once.
    served.stop.cancel();
    peer.write_all(&call(2, &ALLOC)).await.expect("sent");
    assert_eq!(within(next(&mut peer)).await.expect("told"), (2, 2, vec![0]));
    let error = peer.write_all(&call(3, &ALLOC)).await.expect_err("the kernel refuses it");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    hold.let_go();
    let (kind, id, _) = within(next(&mut peer)).await.expect("answered");
    assert_eq!((kind, id), (1, 1));
    assert!(closed(&mut peer).await.is_empty());
    within(served.serving).await.expect("no panic").expect("ended well");
    assert!(hold.nothing_begun());
}
