//! A server's end of a connection, as tarpc wants it: calls come out, outcomes go in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use futures::{Sink, Stream};
use tarpc::{ClientMessage, Request, Response, context, trace};

use crate::{
    frame::{LONGEST, Outcome, ToClient, ToServer},
    link::{Link, LinkError},
};

/// How many frames are read before others have their turn. Cancellations of nothing make no call, so that calls alone would not
/// bound it.
const AT_ONCE: usize = 256;

/// The server's end, of a connection whose peer was greeted.
#[derive(Debug)]
pub(super) struct Transport {
    link: Link,
    /// The longest answer that the client takes, in bytes.
    max_answer: u64,
    /// How many calls came.
    calls: usize,
    /// How many frames may still be read before others have their turn.
    room: usize,
    context: context::Context,
    /// Whether the peer is told that no more is read.
    stopping: bool,
}

impl Transport {
    pub(super) fn new(link: Link, max_answer: u64) -> Self {
        // What is traced here goes nowhere: tarpc wants it.
        Self {
            link,
            max_answer: max_answer.min(LONGEST),
            calls: 0,
            room: AT_ONCE,
            context: context::current(),
            stopping: false,
        }
    }

    /// How many calls came, with those whose id was in use.
    pub(super) const fn calls(&self) -> usize {
        self.calls
    }

    /// Lets the kernel refuse what the peer would send from now on. What it has sent already is still read, and then comes the
    /// end.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        self.stopping = true;
        self.link.close_reading()
    }

    /// The outcome, or that it is more than the client takes.
    fn fitting(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Answer(answer)
                if u64::try_from(answer.len()).is_ok_and(|bytes| bytes > self.max_answer) =>
            {
                Outcome::TooLong { bytes: u64::try_from(answer.len()).unwrap_or(u64::MAX) }
            }
            outcome => outcome,
        }
    }
}

impl Stream for Transport {
    type Item = Result<ClientMessage<Bytes>, LinkError>;

    /// Reads no more while the peer does not take what it is told.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.as_mut().poll_ready(cx))?;
        if self.room == 0 {
            self.room = AT_ONCE;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(frame) = ready!(self.link.poll_frame(cx))? else {
            // While it does not stop, the end means that the peer is gone, and nobody waits for what is open.
            return Poll::Ready((!self.stopping).then_some(Err(LinkError::Ended)));
        };
        self.room -= 1;
        let message = match ToServer::parse(frame)? {
            ToServer::Call { id, remaining, request } => {
                self.calls += 1;
                let mut context = self.context;
                context.deadline = Instant::now() + remaining;
                ClientMessage::Request(Request { context, id, message: request })
            }
            ToServer::Cancel { id } => {
                ClientMessage::Cancel { trace_context: trace::Context::default(), request_id: id }
            }
        };
        Poll::Ready(Some(Ok(message)))
    }
}

impl Sink<Response<Outcome>> for Transport {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.link.is_full() {
            ready!(self.link.poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, response: Response<Outcome>) -> Result<(), LinkError> {
        // No call here fails by tarpc's own error.
        if let Ok(outcome) = response.message {
            let outcome = self.fitting(outcome);
            self.link.send(|to| ToClient { id: response.request_id, outcome }.write(to));
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_flush(cx).map_err(LinkError::Io)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use std::{future::poll_fn, io::Write, os::unix::net::UnixStream};

    #[tokio::test]
    async fn a_peer_that_only_cancels_lets_others_have_their_turn_and_is_read_on() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut link = Link::new(sysbox_transport::Stream::new(ours).expect("registered"));
        link.limit(1 << 10);
        let mut transport = Transport::new(link, 0);
        let mut cancels = Vec::new();
        for id in 0..=1000 {
            ToServer::Cancel { id }.write(&mut cancels);
        }
        theirs.write_all(&cancels).expect("sent");
        let mut at_once = Vec::new();
        while at_once.iter().sum::<usize>() < 1001 {
            let came = poll_fn(|cx| {
                let mut came = 0;
                while let Poll::Ready(message) = transport.poll_next_unpin(cx) {
                    message.expect("it goes on").expect("a frame");
                    came += 1;
                }
                Poll::Ready(came)
            });
            at_once.push(came.await);
            tokio::task::yield_now().await;
        }
        assert!(at_once.iter().all(|came| *came <= AT_ONCE), "{at_once:?}");
    }
}
