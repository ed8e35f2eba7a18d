//! What becomes of a call.

use std::time::{Duration, Instant};

use sysbox_core::{ErrorKind, HostGid, HostUid, Operation, PortError, Subids, port::MockMgrPort};
use sysbox_transport_grpc::ServerOptions;
use tokio::io::AsyncWriteExt;
use tonic::Code;

use crate::{
    frames::{
        DATA, END_HEADERS, END_STREAM, HEADERS, SUBID_REQUEST, connect, frame, next, preface,
        request_block_to, stream,
    },
    held::holding,
    served::{Served, pb, subid_request, within},
};

fn pause(id: &str) -> pb::PauseReq {
    pb::PauseReq { id: id.into() }
}

#[tokio::test]
async fn an_error_of_the_port_comes_with_its_kind_and_its_message() {
    let mut port = MockMgrPort::new();
    port.expect_pause().returning(|id| {
        let message = format!("container {id} is not known; register it");
        Err(PortError::new(Operation::Pause, ErrorKind::NotFound, message))
    });
    let served = Served::mgr(port, ServerOptions::default());
    let status = within(served.mgr_client().await.pause(pause("c1"))).await.expect_err("not known");
    assert_eq!((status.code(), status.message()), (Code::NotFound, "container c1 is not known; register it"));
    served.end().await;
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_never_reaches_the_port() {
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let mut client = served.mgr_client().await;
    let status = within(client.pause(pause("../etc"))).await.expect_err("no id");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let none = pb::SubidAllocReq { size: 0, ..subid_request("c1") };
    let status = within(client.subid_alloc(none)).await.expect_err("no size");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("size"), "{status}");
    served.end().await;
}

#[tokio::test]
async fn a_panic_in_the_port_is_an_internal_error_and_the_daemon_lives() {
    let mut port = MockMgrPort::new();
    port.expect_pause().returning(|_| panic!("on purpose"));
    port.expect_resume().returning(|_| Ok(()));
    let served = Served::mgr(port, ServerOptions::default());
    let mut client = served.mgr_client().await;
    let status = within(client.pause(pause("c1"))).await.expect_err("it broke");
    assert_eq!(status.code(), Code::Internal);
    within(client.resume(pb::ResumeReq { id: "c1".into() })).await.expect("still served");
    served.end().await;
}

#[tokio::test]
async fn a_call_whose_caller_gives_it_up_is_carried_out() {
    let (port, mut hold) = holding();
    let served = Served::mgr(port, ServerOptions::default());
    let mut client = served.mgr_client().await;
    let call = tokio::spawn(async move { client.subid_alloc(subid_request("c1")).await });
    assert_eq!(hold.begun().await, "c1");
    call.abort();
    assert!(call.await.expect_err("given up").is_cancelled());
    // The stream is reset and the connection closed before the call goes on.
    let mut other = served.mgr_client().await;
    let _ = within(other.pause(pause("../no"))).await;
    hold.let_go();
    served.end().await;
    assert_eq!(hold.done(), 1);
}

#[tokio::test]
async fn no_more_calls_than_allowed_are_carried_out_at_once_and_one_given_up_while_it_waits_never_is() {
    let (port, mut hold) = holding();
    let mut options = ServerOptions::default();
    options.calls = 1;
    let served = Served::mgr(port, options);
    let client = served.mgr_client().await;
    let call = |id: &'static str| {
        let mut client = client.clone();
        tokio::spawn(async move { client.subid_alloc(subid_request(id)).await })
    };
    let first = call("first");
    assert_eq!(hold.begun().await, "first");
    let given_up = call("given-up");
    // An answer on the same connection tells that what was sent before it has arrived.
    let _ = within(client.clone().pause(pause("../no"))).await;
    given_up.abort();
    let third = call("third");
    let _ = within(client.clone().pause(pause("../no"))).await;
    assert!(hold.nothing_begun(), "the first still runs");
    hold.let_go();
    within(first).await.expect("no panic").expect("answered");
    assert_eq!(hold.begun().await, "third");
    hold.let_go();
    within(third).await.expect("no panic").expect("answered");
    drop(client);
    served.end().await;
    assert_eq!(hold.done(), 2);
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_and_a_long_one_is_not() {
    let mut port = MockMgrPort::new();
    port.expect_prep_mounts().returning(|request| {
        assert_eq!(request.mounts.len(), 3_000);
        Ok(())
    });
    let served = Served::mgr(port, ServerOptions::default());
    let request = |count| pb::MountPrepReq {
        id: "c1".into(),
        uid: 1,
        gid: 1,
        prep_list: vec![
            pb::MountPrepInfo { source: format!("/{}", "x".repeat(1000)), exclusive: false };
            count
        ],
    };
    let mut client = served.mgr_client().await;
    within(client.prep_mounts(request(3_000))).await.expect("3 MB are fine");
    let status = within(client.prep_mounts(request(5_000))).await.expect_err("5 MB are not");
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    within(client.prep_mounts(request(3_000))).await.expect("the connection lives");
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
    let client = served.mgr_client().await;
    let calls: Vec<_> = (0..1000)
        .map(|i| {
            let mut client = client.clone();
            tokio::spawn(async move { client.subid_alloc(subid_request(&format!("c{i}"))).await })
        })
        .collect();
    for call in calls {
        let answer = within(call).await.expect("no panic").expect("answered").into_inner();
        assert_eq!((answer.uid, answer.gid), (65_536, 131_072));
    }
    drop(client);
    served.end().await;
}

#[tokio::test]
async fn sysboxs_own_clients_whose_authority_is_a_path_are_served() {
    let mut port = MockMgrPort::new();
    port.expect_alloc_subids().times(2).returning(|_| Ok(Subids { uid: HostUid(1), gid: HostGid(1) }));
    let served = Served::mgr(port, ServerOptions::default());
    for authority in ["/run/sysbox/sysmgr.sock", "%2Frun%2Fsysbox%2Fsysmgr.sock"] {
        let mut peer = connect(&served.socket).await;
        let headers = frame(HEADERS, END_HEADERS, stream(0), &request_block_to(authority));
        let message = frame(DATA, END_STREAM, stream(0), &SUBID_REQUEST);
        peer.write_all(&[preface(), headers, message].concat()).await.expect("sent");
        let answer = next(&mut peer, DATA, stream(0)).await.expect("answered");
        assert_eq!(answer, [0, 0, 0, 0, 4, 8, 1, 16, 1], "uid 1 and gid 1");
    }
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
    within(served.mgr_client().await.pause(pause("c1"))).await.expect("served");
    assert!(began.elapsed() >= Duration::from_millis(100), "it waited");
    drop(silent);
    served.end().await;
}
