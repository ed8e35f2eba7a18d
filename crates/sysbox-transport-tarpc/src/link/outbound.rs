//! What waits to be sent to a peer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

/// When so much waits, no more is to be added until it was sent.
const FULL: usize = 256 << 10;
/// Room that is kept.
const KEPT: usize = 32 << 10;

#[derive(Debug, Default)]
pub(super) struct Outbound {
    buffer: Vec<u8>,
    /// How much of the buffer was sent.
    sent: usize,
    /// How much was sent of what was in the buffer before.
    before: u64,
}

impl Outbound {
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.buffer);
    }

    pub(super) const fn is_full(&self) -> bool {
        self.buffer.len() - self.sent >= FULL
    }

    /// How many bytes were added in all, and how many of them were sent.
    pub(super) const fn progress(&self) -> (u64, u64) {
        (self.before + widened(self.buffer.len()), self.before + widened(self.sent))
    }

    pub(super) fn poll_flush(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.buffer.len() {
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, &self.buffer[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        self.before += widened(self.sent);
        self.sent = 0;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
        Poll::Ready(Ok(()))
    }
}

#[expect(clippy::as_conversions, reason = "a usize has at most 64 bits")]
const fn widened(bytes: usize) -> u64 {
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Takes so much in all, and notes how much at a time.
    struct Narrow {
        room: usize,
        writes: Vec<usize>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let taken = buf.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes.push(taken);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_is_added_together_leaves_in_one_write_and_what_was_taken_is_told_exactly() {
        let mut stream = Narrow { room: 70, writes: Vec::new() };
        let mut outbound = Outbound::default();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..6 {
            outbound.add(|to| to.extend([7; 10]));
        }
        assert!(outbound.poll_flush(&mut stream, &mut cx).is_ready());
        assert_eq!((stream.writes.as_slice(), outbound.progress()), (&[60][..], (60, 60)));
        outbound.add(|to| to.extend([7; 25]));
        assert!(outbound.poll_flush(&mut stream, &mut cx).is_pending());
        assert_eq!(outbound.progress(), (85, 70));
        stream.room = 100;
        outbound.add(|to| to.extend([7; 5]));
        assert!(outbound.poll_flush(&mut stream, &mut cx).is_ready());
        assert_eq!((stream.writes.as_slice(), outbound.progress()), (&[60, 10, 20][..], (90, 90)));
    }

    #[test]
    fn room_for_a_large_answer_is_given_back() {
        let mut stream = Narrow { room: usize::MAX, writes: Vec::new() };
        let mut outbound = Outbound::default();
        outbound.add(|to| to.extend(vec![7; 4 << 20]));
        assert!(outbound.is_full());
        assert!(outbound.poll_flush(&mut stream, &mut Context::from_waker(Waker::noop())).is_ready());
        assert!(!outbound.is_full() && outbound.buffer.capacity() <= KEPT);
    }
}
