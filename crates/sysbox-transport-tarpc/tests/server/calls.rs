//! What becomes of a call.

use std::time::{Duration, Instant};

use sysbox_core::{
    AbsPath, ErrorKind, HostGid, HostUid, MgrPort, MountToPrepare, MountsToPrepare, Operation, PortError,
    Subids, port::MockMgrPort,
};
use sysbox_transport_tarpc::ServerOptions;
use tokio::io::AsyncWriteExt;

use crate::{
    frames::{ALLOC, answer, call, cancel, closed, connect, greeted, greeting, next},
    held::holding,
    served::{Served, alloc, within},
};

fn id() -> sysbox_core::ContainerId {
    "c1".parse().expect("valid")
}

#[tokio::test]
async fn an_error_of_the_port_comes_with_its_kind_and_its_message() {
    let mut port = MockMgrPort::new();
    port.expect_pause().returning(|id| {
        let message = format!("container {id} is not known; register it");
        Err(PortError::new(Operation::Pause, ErrorKind::NotFound, message))
    });
    let served = Served::mgr(port, ServerOptions::default());
    let error = within(served.client().pause(&id())).await.expect_err("not known");
    let told = (error.operation, error.kind, &*error.message);
    assert_eq!(told, (Operation::Pause, ErrorKind::NotFound, "container c1 is not known; register it"));
    served.end().await;
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_never_reaches_the_port_and_its_connection_lives() {
    let mut port = MockMgrPort::new();
    port.expect_alloc_subids().returning(|_| Ok(Subids { uid: HostUid(7), gid: HostGid(9) }));
    let served = Served::mgr(port, ServerOptions::default());
    let mut peer = connect(&served.socket).await;
    // An id that is none, and no size.
    let wrong = [call(1, b"\x09\x06../etc"), call(2, b"\x04\x01c\x00"), call(3, &ALLOC)].concat();
    peer.write_all(&[greeting(), wrong].concat()).await.expect("sent");
    within(greeted(&mut peer)).await.expect("served");
    for expected in [1, 2] {
        let (kind, id, answer) = within(next(&mut peer)).await.expect("answered");
        // A failure, of InvalidArgument.
        assert_eq!((kind, id, &answer[..2]), (1, expected, &[1, 3][..]));
    }
    let good = within(next(&mut peer)).await.expect("answered");
    assert_eq!(good, (1, 3, answer(3, 4)[13..].to_vec()));
    served.end().await;
}

#[tokio::test]
async fn a_request_of_a_newer_client_is_answered_as_not_understood_and_no_other_call_is_lost() {
    let (port, mut hold) = holding();
    let served = Served::mgr(port, ServerOptions::default());
    let mut peer = connect(&served.socket).await;
    peer.write_all(&[greeting(), call(1, &ALLOC)].concat()).await.expect("sent");
    within(greeted(&mut peer)).await.expect("served");
    hold.begun().await;
    // A variant that there is not, and a call with more in it than it has.
    let newer = [call(2, &[14, 1, b'c']), call(3, &[&ALLOC[..], &[0]].concat())].concat();
    peer.write_all(&newer).await.expect("sent");
    for expected in [2, 3] {
        assert_eq!(within(next(&mut peer)).await.expect("told"), (2, expected, vec![2]));
    }
    hold.let_go();
    let (kind, id, _) = within(next(&mut peer)).await.expect("answered");
    assert_eq!((kind, id), (1, 1));
    drop(peer);
    served.end().await;
}

#[tokio::test]
async fn a_panic_in_the_port_is_an_internal_error_and_the_daemon_lives() {
    let mut port = MockMgrPort::new();
    port.expect_pause().returning(|_| panic!("on purpose"));
    port.expect_resume().returning(|_| Ok(()));
    let served = Served::mgr(port, ServerOptions::default());
    let mgr = served.client();
    let error = within(mgr.pause(&id())).await.expect_err("it broke");
    assert_eq!(error.kind, ErrorKind::Internal);
    within(mgr.resume(&id())).await.expect("still served");
    served.end().await;
}

#[tokio::test]
async fn a_call_whose_caller_gives_it_up_is_carried_out() {
    let (port, mut hold) = holding();
    let served = Served::mgr(port, ServerOptions::default());
    let mgr = served.client();
    let call = tokio::spawn(async move { alloc(&mgr, "c1").await });
    assert_eq!(hold.begun().await, "c1");
    call.abort();
    assert!(call.await.expect_err("given up").is_cancelled());
    hold.let_go();
    served.end().await;
    assert_eq!(hold.done(), 1);
}

/// Sends to a daemon that carries out one call at a time: one that is begun, one that waits, and what a test adds.
async fn waiting(added: &[u8]) -> (usize, Vec<u64>) {
    let (port, mut hold) = holding();
    let mut options = ServerOptions::default();
    options.calls = 1;
    let served = Served::mgr(port, options);
    let mut peer = connect(&served.socket).await;
    let second = [&[1][..], &2_u64.to_le_bytes(), &50_u64.to_le_bytes(), &ALLOC].concat();
    let length = u32::try_from(second.len()).expect("short").to_le_bytes();
    let sent = [&greeting(), &call(1, &ALLOC), &length[..], &second, added].concat();
    peer.write_all(&sent).await.expect("sent");
    within(greeted(&mut peer)).await.expect("served");
    hold.begun().await;
    // Longer than the second call's deadline.
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(hold.nothing_begun(), "the first still runs");
    hold.let_go();
    hold.let_go();
    let mut answered = vec![within(next(&mut peer)).await.expect("answered").1];
    // What follows is answered after what was waiting.
    peer.write_all(&call(9, &ALLOC)).await.expect("sent");
    hold.let_go();
    while answered.last() != Some(&9) {
        answered.push(within(next(&mut peer)).await.expect("answered").1);
    }
    drop(peer);
    served.end().await;
    (hold.done(), answered)
}

#[tokio::test]
async fn a_call_whose_deadline_ends_while_it_waits_for_its_turn_is_never_begun() {
    assert_eq!(waiting(&[]).await, (2, vec![1, 9]));
}

#[tokio::test]
async fn a_call_that_is_cancelled_while_it_waits_for_its_turn_is_never_begun() {
    let third_and_cancelled = [call(3, &ALLOC), cancel(3)].concat();
    assert_eq!(waiting(&third_and_cancelled).await, (2, vec![1, 9]));
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_and_a_long_one_is_not() {
    let mut port = MockMgrPort::new();
    port.expect_prep_mounts().returning(|request| {
        assert_eq!(request.mounts.len(), 3_000);
        Ok(())
    });
    let served = Served::mgr(port, ServerOptions::default());
    let request = |count| {
        let source = AbsPath::new(format!("/{}", "x".repeat(1000))).expect("absolute");
        let mounts = vec![MountToPrepare { source, exclusive: false }; count];
        MountsToPrepare { id: id(), uid: HostUid(1), gid: HostGid(1), mounts }
    };
    let mgr = served.client();
    within(mgr.prep_mounts(&request(3_000))).await.expect("3 MB are fine");
    let error = within(mgr.prep_mounts(&request(5_000))).await.expect_err("5 MB are not");
    assert_eq!(error.kind, ErrorKind::OutOfRange, "{error}");
    assert!(error.message.contains("4194304"), "{error}");
    within(mgr.prep_mounts(&request(3_000))).await.expect("the connection lives");
    served.end().await;
}

#[tokio::test]
async fn a_first_request_is_refused_by_a_daemon_that_takes_less_than_may_be_sent_before_it_has_said_so() {
    let mut options = ServerOptions::default();
    options.message = 10;
    let served = Served::mgr(MockMgrPort::new(), options);
    for _ in 0..2 {
        let error = within(alloc(&served.client(), &"x".repeat(40))).await.expect_err("too long");
        assert_eq!(error.kind, ErrorKind::OutOfRange, "{error}");
    }
    served.end().await;
}

#[tokio::test]
async fn a_thousand_callers_on_one_connection_are_all_answered() {
    let mut port = MockMgrPort::new();
    port.expect_alloc_subids().returning(|_| Ok(Subids { uid: HostUid(65_536), gid: HostGid(131_072) }));
    let mut options = ServerOptions::default();
    options.streams = 16;
    options.calls = 4;
    let served = Served::mgr(port, options);
    let mgr = served.client();
    let calls: Vec<_> = (0..1000)
        .map(|i| {
            let mgr = mgr.clone();
            tokio::spawn(async move { alloc(&mgr, &format!("c{i}")).await })
        })
        .collect();
    for call in calls {
        let ids = within(call).await.expect("no panic").expect("answered");
        assert_eq!((ids.uid.0, ids.gid.0), (65_536, 131_072));
    }
    served.end().await;
}

#[tokio::test]
async fn a_peer_that_opens_more_calls_than_it_may_is_told_which_were_not_begun() {
    let (port, mut hold) = holding();
    let mut options = ServerOptions::default();
    options.streams = 2;
    let served = Served::mgr(port, options);
    let mut peer = connect(&served.socket).await;
    let calls: Vec<_> = (0..3).flat_map(|id| call(id, &ALLOC)).collect();
    peer.write_all(&[greeting(), calls].concat()).await.expect("sent");
    within(greeted(&mut peer)).await.expect("served");
    assert_eq!(within(next(&mut peer)).await.expect("told"), (2, 2, vec![1]));
    hold.let_go();
    hold.let_go();
    for _ in 0..2 {
        assert_eq!(within(next(&mut peer)).await.expect("answered").0, 1);
    }
    hold.begun().await;
    hold.begun().await;
    assert!(hold.nothing_begun());
    served.end().await;
}

#[tokio::test]
async fn a_peer_that_gives_two_open_calls_one_id_loses_its_connection() {
    let (port, hold) = holding();
    let served = Served::mgr(port, ServerOptions::default());
    let mut peer = connect(&served.socket).await;
    peer.write_all(&[greeting(), call(7, &ALLOC), call(7, &ALLOC)].concat()).await.expect("sent");
    assert!(closed(&mut peer).await.len() <= 32, "no answer");
    hold.let_go();
    served.end().await;
    assert!(hold.done() <= 1, "the second was not begun");
}

#[tokio::test]
async fn an_answer_that_the_client_does_not_take_is_held_back_and_its_connection_lives() {
    let mut port = MockMgrPort::new();
    port.expect_clone_rootfs()
        .returning(|_| Ok(AbsPath::new(format!("/{}", "x".repeat(3000))).expect("absolute")));
    port.expect_pause().returning(|_| Ok(()));
    let served = Served::mgr(port, ServerOptions::default());
    let mut options = sysbox_transport_tarpc::ClientOptions::default();
    options.max_reply = 1000;
    let mgr = sysbox_transport_tarpc::TarpcMgr::new(served.socket.clone(), options);
    let error = within(mgr.clone_rootfs(&id())).await.expect_err("too long");
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    within(mgr.pause(&id())).await.expect("the connection lives");
    served.end().await;
}

#[tokio::test]
async fn where_no_more_connections_are_allowed_one_that_says_nothing_makes_room() {
    let mut port = MockMgrPort::new();
    port.expect_pause().returning(|_| Ok(()));
    let mut options = ServerOptions::default();
    options.connections = 1;
    options.handshake = Duration::from_millis(100);
    options.grace = Duration::from_millis(10);
    let served = Served::mgr(port, options);
    let began = Instant::now();
    let silent = connect(&served.socket).await;
    within(served.client().pause(&id())).await.expect("served");
    assert!(began.elapsed() >= Duration::from_millis(100), "it waited");
    drop(silent);
    served.end().await;
}
