//! The other end, by hand: messages and descriptors as they are on the wire.

use std::{
    fs::File,
    io::{IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use rustix::{
    cmsg_space,
    io::{FdFlags, fcntl_getfd, ioctl_fionread},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
    pipe::{PipeFlags, pipe_with},
};
use sysbox_core::{AbsPath, port::SeccompInit};

/// Longer than any of this takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// Shorter than anyone wants to wait.
pub(crate) const SHORT: Duration = Duration::from_millis(150);
/// A whole message.
pub(crate) const MESSAGE: &str = r#"{"pid":4711,"cntrId":"c1"}"#;

/// What [`MESSAGE`] says.
pub(crate) fn init() -> SeccompInit {
    SeccompInit { pid: 4711, id: "c1".parse().expect("valid") }
}

/// The two ends of a pipe.
pub(crate) fn pipe() -> (File, OwnedFd) {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    (read.into(), write)
}

/// Sends bytes and descriptors by one call.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).expect("sent");
    assert_eq!(sent, bytes.len());
}

/// Receives by one call, as sysbox-fs does: at most 100 bytes.
pub(crate) fn recv(socket: impl AsFd) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut bytes = [0; 100];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .expect("received");
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    (bytes[..received.bytes].to_vec(), fds)
}

/// A directory and a listening socket in it.
pub(crate) fn listen() -> (tempfile::TempDir, AbsPath, UnixListener) {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = AbsPath::new(dir.path().join("s")).expect("absolute");
    let listener = UnixListener::bind(&socket).expect("bound");
    (dir, socket, listener)
}

/// Waits until all that was sent to a socket has been read there.
pub(crate) fn wait_until_read(receiver: &UnixStream) {
    while ioctl_fionread(receiver).expect("a socket") > 0 {
        std::thread::yield_now();
    }
}

/// Waits for the other end to close.
pub(crate) fn wait_until_closed(mut stream: &UnixStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest, b"", "there is no answer that says no");
}

/// Asserts that a descriptor is the write end of a pipe, and closed on exec.
pub(crate) fn assert_writes_to(mut read: &File, fd: OwnedFd) {
    assert!(fcntl_getfd(&fd).expect("open").contains(FdFlags::CLOEXEC));
    File::from(fd).write_all(b"x").expect("written");
    let mut byte = [0];
    read.read_exact(&mut byte).expect("read");
    assert_eq!(&byte, b"x");
}

/// Runs to the end on this thread.
pub(crate) fn wait<T>(call: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(call)
}
