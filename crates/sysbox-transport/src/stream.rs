//! A connection over a unix socket.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, sendmsg, shutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::unix::pipe,
};

use crate::Peer;

/// A connected unix socket, closed on exec.
///
/// Tokio's own stream is woken, beside when there is something to read, each time the peer has read what was written to it.
/// For a call over a local socket that is half of all wake-ups. This one waits for room to write only where there is none:
/// each direction is registered with the runtime as what goes one way only, the end of a pipe.
#[derive(Debug)]
pub struct Stream {
    inner: Arc<Inner>,
    /// Registered while there is no room to write.
    room: Option<pipe::Sender>,
}

#[derive(Debug)]
struct Inner {
    socket: pipe::Receiver,
    heard: AtomicBool,
}

impl Stream {
    /// Takes a connected socket over into the current tokio runtime.
    ///
    /// # Errors
    /// When it cannot be registered with the runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = pipe::Receiver::from_owned_fd_unchecked(OwnedFd::from(socket))?;
        Ok(Self { inner: Arc::new(Inner { socket, heard: AtomicBool::new(false) }), room: None })
    }

    /// Who connected, or accepted the connection.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn peer(&self) -> io::Result<Peer> {
        Peer::of(self.as_fd().try_clone_to_owned()?.into())
    }

    /// Looks at this connection from elsewhere, also once a protocol owns it.
    pub fn watch(&self) -> StreamWatch {
        StreamWatch(Arc::downgrade(&self.inner))
    }

    /// Sends by a call of the caller's, which may carry descriptors; it is made again once there is room where it is told
    /// `EAGAIN`, so the call must not block.
    ///
    /// # Errors
    /// What the call says.
    pub async fn send_with(
        &mut self,
        send: impl Fn(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send(cx, &send)).await
    }

    /// Receives by a call of the caller's, which may take descriptors (reading drops them) and gives how many bytes it
    /// got; it is made again once there is more where it is told `EAGAIN`, so the call must not block.
    ///
    /// # Errors
    /// What the call says.
    pub async fn recv_with(
        &mut self,
        mut receive: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        let Inner { socket, heard } = &*self.inner;
        loop {
            socket.readable().await?;
            match socket.try_io(|| Ok(receive(socket.as_fd())?)) {
                Ok(read) => {
                    if read > 0 {
                        heard.store(true, Ordering::Relaxed);
                    }
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        send: impl Fn(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match send(self.as_fd()) {
                Ok(sent) => {
                    self.room = None;
                    return Poll::Ready(Ok(sent));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => ready!(self.poll_room(cx))?,
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.room.is_none() {
            // Another descriptor: one that is registered for reading cannot be registered for writing as well.
            let copy = self.as_fd().try_clone_to_owned()?;
            self.room = Some(pipe::Sender::from_owned_fd_unchecked(copy)?);
        }
        let Some(room) = &self.room else { return Poll::Pending };
        ready!(room.poll_write_ready(cx))?;
        self.room = None;
        Poll::Ready(Ok(()))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.socket.as_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Inner { socket, heard } = &*self.inner;
        loop {
            ready!(socket.poll_read_ready(cx))?;
            let room = buf.initialize_unfilled();
            let mut last = None;
            let received = socket.try_io(|| {
                let read = recv(socket, &mut *room, RecvFlags::empty())?.0;
                if 0 < read && read < room.len() {
                    // Nothing more is there. The runtime is told so within this very look at the socket: what comes after it
                    // counts as news, and the kernel need not be asked once more.
                    last = Some(read);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(read)
            });
            match last.map_or(received, Ok) {
                Ok(read) => {
                    if read > 0 {
                        heard.store(true, Ordering::Relaxed);
                    }
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |fd| rustix::net::send(fd, buf, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |fd| sendmsg(fd, bufs, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(&*self, Shutdown::Write).map_err(Into::into))
    }
}

/// A look at a [`Stream`] that does not keep it open.
#[derive(Clone, Debug)]
pub struct StreamWatch(Weak<Inner>);

impl StreamWatch {
    /// Whether the peer has ever sent anything.
    pub fn heard(&self) -> bool {
        self.0.upgrade().is_some_and(|inner| inner.heard.load(Ordering::Relaxed))
    }

    /// Ends the connection for both ends, whoever still owns it and whether a runtime runs or not.
    pub fn close(&self) {
        if let Some(inner) = self.0.upgrade() {
            // It fails only where the peer has ended it already.
            let _ = shutdown(&inner.socket, Shutdown::Both);
        }
    }

    /// Whether both ends have it open now. It asks the kernel, which knows before the runtime has been told.
    pub fn is_open(&self) -> bool {
        let Some(inner) = self.0.upgrade() else { return false };
        let mut fds = [PollFd::new(&inner.socket, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Of what poll(2) reports, all but readiness to write means that the other end is closed.
        matches!(poll(&mut fds, Some(&now)), Ok(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (Stream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        (Stream::new(ours).expect("registered"), theirs)
    }

    #[tokio::test]
    async fn more_than_the_socket_holds_goes_through_in_both_directions() {
        let (mut ours, theirs) = pair();
        let mut theirs = Stream::new(theirs).expect("registered");
        let sent: Vec<u8> = (0..5_000_000_u32).map(|i| i.to_le_bytes()[i as usize % 3]).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            ours.write_all(&sent).await.expect("written");
            assert!(ours.room.is_none(), "no longer registered for writing");
            let mut back = Vec::new();
            ours.read_to_end(&mut back).await.expect("read");
            back
        });
        let mut received = vec![0; expected.len()];
        theirs.read_exact(&mut received).await.expect("read");
        assert!(received == expected);
        theirs.write_all(&received).await.expect("written");
        theirs.shutdown().await.expect("shut down");
        assert!(writer.await.expect("no panic") == expected);
    }

    #[tokio::test]
    async fn a_write_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (mut ours, theirs) = pair();
        drop(theirs);
        let error = ours.write(b"x").await.expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_call_of_the_callers_is_made_again_once_it_need_not_wait() {
        let (mut ours, theirs) = pair();
        let watch = ours.watch();
        let mut theirs = Stream::new(theirs).expect("registered");
        let (called, was_called) = tokio::sync::oneshot::channel();
        let receiving = tokio::spawn(async move {
            let mut byte = [0];
            let mut called = Some(called);
            let receive = |fd: BorrowedFd<'_>| match called.take() {
                // The first time as if what was ready had gone, the second time as it is.
                Some(called) => called.send(()).map_or(Ok(0), |()| Err(Errno::AGAIN)),
                None => Ok(recv(fd, &mut byte, RecvFlags::empty())?.0),
            };
            let read = ours.recv_with(receive).await.expect("received");
            (read, byte, ours)
        });
        let send = |byte| move |fd: BorrowedFd<'_>| rustix::net::send(fd, byte, SendFlags::NOSIGNAL);
        assert_eq!(theirs.send_with(send(b"1")).await.expect("sent"), 1);
        was_called.await.expect("called");
        assert_eq!(theirs.send_with(send(b"2")).await.expect("sent"), 1);
        let (read, byte, _ours) = receiving.await.expect("no panic");
        assert_eq!((read, byte), (1, *b"1"));
        assert!(watch.heard());
    }

    #[tokio::test]
    async fn a_watch_ends_the_connection_also_while_its_owner_sleeps() {
        let (ours, mut theirs) = pair();
        ours.watch().close();
        assert_eq!(io::Read::read(&mut theirs, &mut [0]).expect("read"), 0, "the end");
        assert_eq!(
            io::Write::write(&mut theirs, b"x").expect_err("closed").kind(),
            io::ErrorKind::BrokenPipe
        );
        drop(ours);
    }

    #[tokio::test]
    async fn a_watch_knows_at_once_that_the_peer_has_closed() {
        let (mut ours, mut theirs) = pair();
        let watch = ours.watch();
        assert!(watch.is_open() && !watch.heard());
        io::Write::write_all(&mut theirs, b"x").expect("written");
        assert!(watch.is_open() && !watch.heard());
        ours.read_u8().await.expect("read");
        assert!(watch.is_open() && watch.heard());
        io::Write::write_all(&mut theirs, b"unread").expect("written");
        drop(theirs);
        assert!(!watch.is_open());
        drop(ours);
        assert!(!watch.is_open());
    }

    /// The peer sends in two parts, with a pause of any length between them: at some time the second part comes between the
    /// read of the first and the end of that read.
    #[test]
    fn what_comes_while_it_is_read_is_not_overlooked_by_several_threads() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let peers: Vec<_> = (0..4_u64)
            .map(|number| {
                let (ours, theirs) = UnixStream::pair().expect("a pair");
                runtime.spawn(async move {
                    let mut ours = Stream::new(ours).expect("registered");
                    let (mut buffer, mut have) = ([0; 64], 0);
                    while let Ok(read @ 1..) = ours.read(&mut buffer).await {
                        have += read;
                        if have == 2 {
                            have = 0;
                            ours.write_all(b"k").await.expect("it listens");
                        }
                    }
                });
                std::thread::spawn(move || ask_in_two_parts(theirs, number))
            })
            .collect();
        for peer in peers {
            peer.join().expect("every question was answered");
        }
    }

    fn ask_in_two_parts(mut stream: UnixStream, number: u64) {
        use std::{
            io::{Read, Write},
            time::{Duration, Instant},
        };
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        let began = Instant::now();
        let mut state = number * 7919 + 1;
        while began.elapsed() < Duration::from_secs(6) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            stream.write_all(b"a").expect("written");
            for _ in 0..state % 12_000 {
                std::hint::spin_loop();
            }
            stream.write_all(b"b").expect("written");
            stream.read_exact(&mut [0]).expect("answered");
        }
    }
}
