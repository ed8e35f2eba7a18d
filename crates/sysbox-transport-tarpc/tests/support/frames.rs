//! Hellos and frames, made by hand from what the crate documents, and peers that send them.
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::time::Duration;

use sysbox_core::AbsPath;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::served::within;

pub(crate) const MGR: u8 = 1;
pub(crate) const FS: u8 = 2;

pub(crate) const SERVED: u8 = 0;
pub(crate) const STOPPING: u8 = 2;

/// Postcard of a call to `alloc_subids` with id `c` and size 1.
pub(crate) const ALLOC: [u8; 4] = [4, 1, b'c', 1];
/// What tells `pause` from others in a request, and in its answer.
pub(crate) const PAUSE: u8 = 9;

/// What each end says first.
pub(crate) fn hello(version: u32, service: u8, verdict: u8, bytes: u64, calls: u32) -> Vec<u8> {
    let mut hello = b"sysbox-tarpc".to_vec();
    hello.extend(version.to_le_bytes());
    hello.extend([service, verdict, 0, 0]);
    hello.extend(bytes.to_le_bytes());
    hello.extend(calls.to_le_bytes());
    hello
}

/// What a client of the manager says first.
pub(crate) fn greeting() -> Vec<u8> {
    hello(1, MGR, SERVED, 1 << 20, 0)
}

/// What a manager says first.
pub(crate) fn welcome() -> Vec<u8> {
    hello(1, MGR, SERVED, 4 << 20, 256)
}

pub(crate) fn frame(kind: u8, id: u64, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(9 + rest.len()).expect("short").to_le_bytes();
    [&length[..], &[kind], &id.to_le_bytes(), rest].concat()
}

pub(crate) fn call(id: u64, request: &[u8]) -> Vec<u8> {
    frame(1, id, &[&60_000_u64.to_le_bytes(), request].concat())
}

pub(crate) fn cancel(id: u64) -> Vec<u8> {
    frame(2, id, &[])
}

/// A good answer to a call to `alloc_subids` (the ids 7 and 9) or to one that is answered without a value.
pub(crate) fn answer(id: u64, variant: u8) -> Vec<u8> {
    let answer = if variant == ALLOC[0] { vec![0, variant, 7, 9] } else { vec![0, variant] };
    frame(1, id, &answer)
}

pub(crate) fn not_begun(id: u64, why: u8) -> Vec<u8> {
    frame(2, id, &[why])
}

pub(crate) async fn connect(socket: &AbsPath) -> UnixStream {
    within(UnixStream::connect(socket)).await.expect("connected")
}

/// Sends without ever reading, until all is sent, the daemon has had enough, or it takes nothing more.
pub(crate) async fn send_blindly(peer: &mut UnixStream, bytes: &[u8]) {
    let _ = tokio::time::timeout(Duration::from_millis(500), peer.write_all(bytes)).await;
}

/// Waits until the other end has closed the connection, and gives what it still sent.
pub(crate) async fn closed(peer: &mut UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = within(peer.read_to_end(&mut rest)).await;
    rest
}

/// Reads a hello without a message.
pub(crate) async fn greeted(peer: &mut UnixStream) -> Option<[u8; 32]> {
    let mut hello = [0; 32];
    peer.read_exact(&mut hello).await.ok()?;
    Some(hello)
}

/// The next frame: kind, id and the rest; `None` when the connection is closed first.
pub(crate) async fn next(peer: &mut UnixStream) -> Option<(u8, u64, Vec<u8>)> {
    let length = peer.read_u32_le().await.ok()?;
    let kind = peer.read_u8().await.ok()?;
    let id = peer.read_u64_le().await.ok()?;
    let mut rest = vec![0; usize::try_from(length).expect("small") - 9];
    peer.read_exact(&mut rest).await.ok()?;
    Some((kind, id, rest))
}
