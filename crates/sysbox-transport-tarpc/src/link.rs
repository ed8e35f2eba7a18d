//! A connection as hellos and frames, for either end.
//!
//! It holds no more of a peer's bytes than have come, and what it sends leaves in as few writes as can be: frames are collected
//! until nobody has any more to send.

mod inbound;
mod outbound;

use std::{
    io, mem,
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use sysbox_transport::Stream;
use tokio::time::{Sleep, sleep};

use self::{inbound::Inbound, outbound::Outbound};
use crate::{
    frame::Malformed,
    hello::{Hello, NotOurs, Refusal},
};

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    inbound: Inbound,
    outbound: Outbound,
    /// Whether it was last told that there is no room to send.
    blocked: bool,
    /// How long the rest of a frame may take.
    patience: Option<Duration>,
    /// Set while the rest of a frame is waited for; of most, all is there at once.
    late: Option<Pin<Box<Sleep>>>,
}

impl Link {
    /// Takes a connection over.
    pub(crate) fn new(stream: Stream) -> Self {
        let (inbound, outbound) = (Inbound::new(), Outbound::default());
        Self { stream, inbound, outbound, blocked: false, patience: None, late: None }
    }

    /// Waits only so long for the rest of a frame.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// Takes no frame of more bytes.
    pub(crate) fn limit(&mut self, most: usize) {
        self.inbound.limit(most);
    }

    /// Lets the kernel refuse what the peer would send from now on.
    pub(crate) fn close_reading(&self) -> io::Result<()> {
        UnixStream::from(self.stream.as_fd().try_clone_to_owned()?).shutdown(Shutdown::Read)
    }

    /// Tells the peer that nothing more is sent.
    pub(crate) fn close_writing(&self) -> io::Result<()> {
        UnixStream::from(self.stream.as_fd().try_clone_to_owned()?).shutdown(Shutdown::Write)
    }

    /// Reads what the peer still sends, for nothing, until it has closed.
    pub(crate) fn poll_ignored(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if ready!(self.inbound.poll_skip(&mut self.stream, cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        // Others have their turn first: a peer may send without end.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The peer's hello; `None` if the connection ends before it is whole.
    pub(crate) fn poll_hello(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Hello>, LinkError>> {
        loop {
            if let Some(hello) = self.inbound.hello()? {
                return Poll::Ready(Ok(Some(hello)));
            }
            if ready!(self.inbound.poll_fill(&mut self.stream, cx))? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// The next frame, without its length; `None` when there comes no more.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, LinkError>> {
        loop {
            if let Some(frame) = self.inbound.frame()? {
                self.late = None;
                return Poll::Ready(Ok(Some(frame)));
            }
            match self.inbound.poll_fill(&mut self.stream, cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(None)),
                Poll::Ready(_) => {}
                Poll::Pending => {
                    ready!(self.poll_late(cx));
                    return Poll::Ready(Err(LinkError::Late { patience: self.patience.unwrap_or_default() }));
                }
            }
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(patience) = self.patience.filter(|_| self.inbound.is_within_frame()) else {
            return Poll::Pending;
        };
        self.late.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx)
    }

    /// Adds to what is to be sent.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.outbound.add(write);
    }

    /// Whether so much waits to be sent that no more should be added.
    pub(crate) const fn is_full(&self) -> bool {
        self.outbound.is_full()
    }

    /// Sends what waits.
    ///
    /// Who is told that there is no room does other things meanwhile, and may ask again before it is polled again. Once there is
    /// room it is therefore woken: what it has put off for want of room is to have its turn.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.outbound.poll_flush(&mut self.stream, cx);
        if mem::replace(&mut self.blocked, flushed.is_pending()) && flushed.is_ready() {
            cx.waker().wake_by_ref();
        }
        flushed
    }

    /// How many bytes were added to what is to be sent, and how many of them the kernel has taken.
    pub(crate) const fn progress(&self) -> (u64, u64) {
        self.outbound.progress()
    }
}

/// A connection can no longer be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The kernel says so.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The peer has closed it.
    #[error("the peer closed the connection")]
    Ended,
    /// The peer speaks something else.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    /// The server takes no calls of this client.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The peer breaks the rules.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The peer sends a frame that is longer than it was told it may be.
    #[error("a frame of {bytes} bytes, where {most} are allowed")]
    Oversized {
        /// Its length.
        bytes: u32,
        /// What is allowed.
        most: usize,
    },
    /// The rest of a frame did not come.
    #[error("the rest of a frame had not come after {patience:?}")]
    Late {
        /// How long it was waited for.
        patience: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Read,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::{Wake, Waker},
    };

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn who_was_told_that_there_is_no_room_is_woken_once_there_is_whoever_finds_out() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs.set_nonblocking(true).expect("set");
        let mut link = Link::new(Stream::new(ours).expect("registered"));
        link.send(|to| to.resize(1 << 20, 7));
        let mut told_no_room = false;
        loop {
            // One that nothing else knows, so that only the flush itself can wake it.
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(woken.clone());
            match link.poll_flush(&mut Context::from_waker(&waker)) {
                Poll::Pending => told_no_room = true,
                Poll::Ready(flushed) => {
                    flushed.expect("sent");
                    assert!(told_no_room && woken.0.load(Ordering::Relaxed));
                    break;
                }
            }
            let _ = theirs.read(&mut vec![0; 1 << 20]);
            tokio::task::yield_now().await;
        }
        let woken = Arc::new(Woken::default());
        assert!(link.poll_flush(&mut Context::from_waker(&Waker::from(woken.clone()))).is_ready());
        assert!(!woken.0.load(Ordering::Relaxed), "there was room all the time");
    }
}
