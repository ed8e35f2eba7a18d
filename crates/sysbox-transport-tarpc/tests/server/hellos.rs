//! Peers of other versions, for other ports, and what is no such client.

use sysbox_core::port::MockMgrPort;
use sysbox_transport_tarpc::ServerOptions;
use tokio::io::AsyncWriteExt;

use crate::{
    frames::{ALLOC, FS, MGR, SERVED, call, closed, connect, greeting, hello},
    served::{Served, within},
};

/// What a manager says to these first bytes before it closes the connection: version, service, verdict and message.
async fn told(first: &[u8]) -> (u8, u8, u8, String) {
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let mut peer = connect(&served.socket).await;
    peer.write_all(first).await.expect("sent");
    let told = closed(&mut peer).await;
    served.end().await;
    let (fixed, message) = told.split_at_checked(32).expect("a hello");
    assert_eq!(&fixed[..12], b"sysbox-tarpc");
    (fixed[12], fixed[16], fixed[17], String::from_utf8(message.to_vec()).expect("text"))
}

const MISMATCH: u8 = 3;

#[tokio::test]
async fn a_client_of_another_version_or_port_is_told_and_its_calls_are_not_begun() {
    let call = call(0, &ALLOC);
    let (version, service, verdict, message) =
        told(&[hello(2, MGR, SERVED, 1, 1), call.clone()].concat()).await;
    assert_eq!((version, service, verdict), (1, MGR, MISMATCH));
    assert!(message.contains("version 1") && message.contains('2'), "{message}");
    let (version, service, verdict, message) = told(&[hello(1, FS, SERVED, 1, 1), call].concat()).await;
    assert_eq!((version, service, verdict), (1, MGR, MISMATCH));
    assert!(message.contains("manager") && message.contains("fs daemon"), "{message}");
}

#[tokio::test]
async fn what_speaks_another_protocol_is_answered_by_what_it_cannot_take_for_its_own() {
    for first in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"x"] {
        let (_, _, verdict, _) = told(first).await;
        assert_eq!(verdict, MISMATCH);
    }
}

#[tokio::test]
async fn a_daemon_says_nothing_before_it_was_greeted_and_then_at_once() {
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let mut peer = connect(&served.socket).await;
    let (first, rest) = (greeting()[..31].to_vec(), greeting()[31..].to_vec());
    peer.write_all(&first).await.expect("sent");
    let waited =
        tokio::time::timeout(std::time::Duration::from_millis(30), crate::frames::greeted(&mut peer));
    assert!(waited.await.is_err(), "its hello is for those who are known");
    peer.write_all(&rest).await.expect("sent");
    within(crate::frames::greeted(&mut peer)).await.expect("served");
    served.end().await;
}
