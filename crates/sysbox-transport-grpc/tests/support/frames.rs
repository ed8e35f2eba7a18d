//! HTTP/2 frames, made by hand (RFC 9113, section 4.1), and peers that send them.
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::time::Duration;

use sysbox_core::AbsPath;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::served::within;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What each client sends first.
pub(crate) fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

/// The header block of a request: POST, http, a path and an authority as literals (RFC 7541, section 6.2.2).
pub(crate) fn request_block() -> Vec<u8> {
    request_block_to("localhost")
}

/// The same, to another authority.
pub(crate) fn request_block_to(authority: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (index, value) in [(4, "/protobuf.sysboxMgrStateChannel/SubidAlloc"), (1, authority)] {
        block.extend([index, u8::try_from(value.len()).expect("short")]);
        block.extend(value.as_bytes());
    }
    block
}

/// A whole message: a `SubidAllocReq` of id `c` and size 1.
pub(crate) const SUBID_REQUEST: [u8; 10] = [0, 0, 0, 0, 5, 10, 1, b'c', 16, 1];

/// The `n`th stream of a client.
pub(crate) const fn stream(n: u32) -> u32 {
    2 * n + 1
}

pub(crate) async fn connect(socket: &AbsPath) -> UnixStream {
    within(UnixStream::connect(socket)).await.expect("connected")
}

/// Sends without ever reading, until all is sent, the daemon has had enough, or it takes nothing more.
pub(crate) async fn send_blindly(peer: &mut UnixStream, bytes: &[u8]) {
    let _ = tokio::time::timeout(Duration::from_millis(500), peer.write_all(bytes)).await;
}

/// Waits until the daemon has closed the connection.
pub(crate) async fn closed(peer: &mut UnixStream) {
    let mut rest = Vec::new();
    let _ = within(peer.read_to_end(&mut rest)).await;
}

/// The payload of the next frame of a kind on a stream; `None` when the connection is closed first.
pub(crate) async fn next(peer: &mut UnixStream, kind: u8, stream: u32) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        within(peer.read_exact(&mut head)).await.ok()?;
        let [a, b, c, found, _, ref id @ ..] = head;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        within(peer.read_exact(&mut payload)).await.ok()?;
        if found == kind && id == &stream.to_be_bytes() {
            return Some(payload);
        }
    }
}
