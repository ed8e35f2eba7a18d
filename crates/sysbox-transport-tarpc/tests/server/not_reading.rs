//! Peers that ask for much and do not read it.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use sysbox_core::{AbsPath, HostGid, HostUid, MgrPort, Mount, Subids, port::MockMgrPort};
use sysbox_transport::Offloaded;
use sysbox_transport_tarpc::ServerOptions;
use tokio::{
    io::AsyncWriteExt,
    net::UnixStream,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use crate::{
    frames::{ALLOC, MGR, PAUSE, SERVED, call, connect, frame, greeted, hello, next},
    served::{LONG, Served, alloc, within},
};

/// Postcard of a call to `req_mounts` with id `c` and nothing else.
const REQ_MOUNTS: [u8; 5] = [6, 1, b'c', 0, 0];
/// What tells `remove` and `resume` from others in a request.
const REMOVE: u8 = 3;
const RESUME: u8 = 10;

/// A manager that answers `req_mounts` by more than a kernel holds for a peer, and tells when it does.
fn generous() -> (MockMgrPort, UnboundedReceiver<()>) {
    let (tell, told) = unbounded_channel();
    let destination = AbsPath::new("/d").expect("absolute");
    let mount = Mount { source: "x".repeat(1000), destination, kind: "bind".into(), options: Vec::new() };
    let mut port = MockMgrPort::new();
    port.expect_req_mounts().returning(move |_| {
        // Of a test that is over, nobody listens.
        let _ = tell.send(());
        Ok(vec![mount.clone(); 1024])
    });
    port.expect_alloc_subids().returning(|_| Ok(Subids { uid: HostUid(1), gid: HostGid(1) }));
    (port, told)
}

/// Makes `pause` and `remove` wait until they are let go; gives what sees one begin, and what lets one go.
fn hold(port: &mut MockMgrPort) -> (UnboundedReceiver<()>, mpsc::Sender<()>) {
    let (tell, begun) = unbounded_channel();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let pause = Arc::new(move || {
        tell.send(()).expect("seen");
        gone.lock().expect("no panic").recv_timeout(LONG).expect("let go");
        Ok(())
    });
    let remove = pause.clone();
    port.expect_pause().returning(move |_| pause());
    port.expect_remove().returning(move |_| remove());
    (begun, go)
}

/// One that takes long answers, sends calls, and reads nothing but the hello.
async fn greedy(served: &Served, requests: &[&[u8]]) -> UnixStream {
    let calls = (0..).zip(requests).flat_map(|(id, request)| call(id, request));
    greedy_with(served, &calls.collect::<Vec<u8>>()).await
}

async fn greedy_with(served: &Served, frames: &[u8]) -> UnixStream {
    let mut peer = connect(&served.socket).await;
    let sent = [&hello(1, MGR, SERVED, 1 << 30, 0), frames].concat();
    peer.write_all(&sent).await.expect("sent");
    within(greeted(&mut peer)).await.expect("served");
    peer
}

#[tokio::test]
async fn it_holds_up_the_end_for_the_grace_only() {
    let (port, mut told) = generous();
    let mut options = ServerOptions::default();
    options.grace = Duration::from_millis(50);
    let served = Served::mgr(port, options);
    let peer = greedy(&served, &[&REQ_MOUNTS[..]; 3]).await;
    for _ in 0..3 {
        within(told.recv()).await.expect("carried out");
    }
    served.end().await;
    drop(peer);
}

#[tokio::test]
async fn it_keeps_no_turn_that_it_does_not_use() {
    let (mut port, _told) = generous();
    let (mut begun, go) = hold(&mut port);
    let mut options = ServerOptions::default();
    options.calls = 1;
    let served = Served::mgr(Offloaded::new(Arc::new(port)), options);
    let honest = served.client();
    let pausing = tokio::spawn({
        let mgr = honest.clone();
        async move { mgr.pause(&"c1".parse().expect("valid")).await }
    });
    within(begun.recv()).await.expect("it has the turn");
    let requests = [&REQ_MOUNTS[..], &REQ_MOUNTS, &REQ_MOUNTS, &ALLOC, &ALLOC, &ALLOC];
    let peer = greedy(&served, &requests).await;
    go.send(()).expect("the port is there");
    within(pausing).await.expect("no panic").expect("paused");
    within(alloc(&honest, "honest")).await.expect("it has its turn after the others");
    drop(peer);
    served.end().await;
}

#[tokio::test]
async fn its_calls_whose_deadline_ends_while_they_wait_for_their_turn_are_never_begun() {
    let (mut port, mut told) = generous();
    let (mut begun, go) = hold(&mut port);
    let (resume, mut resumed) = unbounded_channel();
    port.expect_resume().returning(move |_| {
        let _ = resume.send(());
        Ok(())
    });
    let mut options = ServerOptions::default();
    options.calls = 2;
    let served = Served::mgr(Offloaded::new(Arc::new(port)), options);
    let hurried = frame(1, 3, &[&50_u64.to_le_bytes()[..], &[RESUME, 1, b'c']].concat());
    // Two that are held have both turns once the mounts are answered, which the peer does not read.
    let (first, second) = (call(0, &[PAUSE, 1, b'c']), call(2, &[REMOVE, 1, b'c']));
    let frames = [first, call(1, &REQ_MOUNTS), second, hurried].concat();
    let mut peer = greedy_with(&served, &frames).await;
    within(told.recv()).await.expect("answered");
    for _ in 0..2 {
        within(begun.recv()).await.expect("it has a turn");
    }
    // Longer than the deadline.
    tokio::time::sleep(Duration::from_millis(150)).await;
    for _ in 0..2 {
        go.send(()).expect("the port is there");
    }
    peer.write_all(&call(4, &ALLOC)).await.expect("sent");
    let mut answered = Vec::new();
    while answered.last() != Some(&4) {
        answered.push(within(next(&mut peer)).await.expect("answered").1);
    }
    drop(peer);
    served.end().await;
    assert!(resumed.try_recv().is_err() && !answered.contains(&3), "{answered:?}");
}

#[tokio::test]
async fn it_gets_all_answers_once_it_reads() {
    let (port, mut told) = generous();
    let served = Served::mgr(port, ServerOptions::default());
    let mut peer = greedy(&served, &[&REQ_MOUNTS[..]; 5]).await;
    for _ in 0..5 {
        within(told.recv()).await.expect("carried out");
    }
    let mut ids = Vec::new();
    for _ in 0..5 {
        let (kind, id, answer) = within(next(&mut peer)).await.expect("answered");
        assert!(kind == 1 && answer.len() > 1_000_000, "{kind}, {} bytes", answer.len());
        ids.push(id);
    }
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
    drop(peer);
    served.end().await;
}
