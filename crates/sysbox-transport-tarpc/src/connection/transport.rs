//! A client's end of a connection, as tarpc wants it: requests go in, outcomes come out.
//!
//! The daemon begins only what it got in full, so a call of which a byte was not taken by the kernel was certainly not begun.
//! A daemon that stops reads no more, but still answers what it has begun: that nothing can be written is therefore told to the
//! calls that it concerns, and the connection goes on.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{Sink, Stream};
use tarpc::{ClientMessage, RequestName, Response, ServerError};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::{
    frame::{LONGEST, OVERHEAD, Outcome, ToClient, ToServer},
    hello::{EAGER, Hello, Limits, Service},
    link::{Link, LinkError},
};

/// A request as tarpc carries it, from who makes the call to here.
#[derive(Debug)]
pub(super) struct Outgoing {
    name: &'static str,
    request: Bytes,
    sent: AtomicBool,
}

impl Outgoing {
    pub(super) const fn new(name: &'static str, request: Bytes) -> Self {
        Self { name, request, sent: AtomicBool::new(false) }
    }

    /// Whether the daemon may have got it.
    pub(super) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

impl RequestName for Outgoing {
    fn name(&self) -> &str {
        self.name
    }
}

/// Tells callers how much the daemon takes, once it has said so. Until then one call is let through.
#[derive(Debug)]
pub(super) struct Greeting {
    limits: watch::Sender<Option<Limits>>,
    turns: Arc<Semaphore>,
}

impl Greeting {
    pub(super) fn new() -> (Self, Turns) {
        let (limits, told) = watch::channel(None);
        let turns = Arc::new(Semaphore::new(1));
        (Self { limits, turns: turns.clone() }, Turns { limits: told, turns })
    }

    fn is_over(&self) -> bool {
        self.limits.borrow().is_some()
    }

    fn end(&self, limits: Limits) {
        let limits = Limits { bytes: limits.bytes.min(LONGEST), ..limits };
        let calls = usize::try_from(limits.calls).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        self.turns.add_permits(calls - 1);
        self.limits.send_replace(Some(limits));
    }
}

impl Drop for Greeting {
    fn drop(&mut self) {
        // Who waits for a turn is to try elsewhere.
        self.turns.close();
    }
}

/// Lets as many calls be open as the daemon takes.
#[derive(Debug)]
pub(super) struct Turns {
    limits: watch::Receiver<Option<Limits>>,
    turns: Arc<Semaphore>,
}

impl Turns {
    /// Waits for a turn; `None` when the connection has ended.
    pub(super) async fn wait(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// How long a request may be, if that matters for one of `bytes`; `None` when the connection has ended.
    pub(super) async fn max_request(&self, bytes: usize) -> Option<u64> {
        let told = *self.limits.borrow();
        match told {
            Some(limits) => Some(limits.bytes),
            None if bytes <= EAGER => Some(u64::MAX),
            None => {
                let mut limits = self.limits.clone();
                let told = limits.wait_for(Option::is_some).await.ok()?;
                (*told).map(|limits| limits.bytes)
            }
        }
    }
}

/// The client's end.
#[derive(Debug)]
pub(super) struct Transport {
    link: Link,
    asked: Service,
    greeting: Greeting,
    /// What was not sent in full yet, and how many bytes must be sent for it.
    unsent: VecDeque<(u64, u64, Arc<Outgoing>)>,
    /// Calls of which it is to be told that they were not sent.
    untaken: VecDeque<u64>,
    /// Whether the daemon reads no more.
    deaf: bool,
}

impl Transport {
    /// Greets the daemon, with the first requests.
    pub(super) fn new(mut link: Link, asked: Service, max_reply: usize, greeting: Greeting) -> Self {
        link.limit(max_reply.saturating_add(OVERHEAD));
        let takes = Limits { bytes: u64::try_from(max_reply).unwrap_or(u64::MAX), calls: 0 };
        link.send(|to| to.extend(Hello::new(asked, takes).encode()));
        Self { link, asked, greeting, unsent: VecDeque::new(), untaken: VecDeque::new(), deaf: false }
    }

    fn poll_greeted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if !self.greeting.is_over() {
            let hello = ready!(self.link.poll_hello(cx))?.ok_or(LinkError::Ended)?;
            self.greeting.end(hello.check(self.asked)?);
        }
        Poll::Ready(Ok(()))
    }

    /// Marks what was sent.
    fn note_sent(&mut self) {
        let (_, sent) = self.link.progress();
        while let Some((_, _, outgoing)) = self.unsent.pop_front_if(|(end, ..)| *end <= sent) {
            outgoing.sent.store(true, Ordering::Relaxed);
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deaf {
            return Poll::Ready(());
        }
        let flushed = self.link.poll_flush(cx);
        self.note_sent();
        if let Err(error) = ready!(flushed) {
            tracing::debug!(%error, "the daemon takes no more calls on this connection");
            self.deaf = true;
            self.untaken.extend(self.unsent.drain(..).map(|(_, id, _)| id));
            // They are told when it is read next.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(())
    }
}

impl Stream for Transport {
    type Item = Result<Response<Outcome>, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(request_id) = self.untaken.pop_front() {
            let error = ServerError::new(io::ErrorKind::BrokenPipe, "not sent".to_owned());
            return Poll::Ready(Some(Ok(Response { request_id, message: Err(error) })));
        }
        ready!(self.poll_greeted(cx))?;
        let frame = ready!(self.link.poll_frame(cx))?.ok_or(LinkError::Ended)?;
        let ToClient { id, outcome } = ToClient::parse(frame)?;
        Poll::Ready(Some(Ok(Response { request_id: id, message: Ok(outcome) })))
    }
}

impl Sink<ClientMessage<Arc<Outgoing>>> for Transport {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.link.is_full() {
            ready!(self.poll_send(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: ClientMessage<Arc<Outgoing>>) -> Result<(), LinkError> {
        match message {
            ClientMessage::Request(request) if !self.deaf => {
                let (id, outgoing) = (request.id, request.message);
                let remaining = request.context.deadline.saturating_duration_since(std::time::Instant::now());
                let frame = ToServer::Call { id, remaining, request: outgoing.request.clone() };
                self.link.send(|to| frame.write(to));
                let (end, _) = self.link.progress();
                self.unsent.push_back((end, id, outgoing));
                Ok(())
            }
            ClientMessage::Cancel { request_id, .. } if !self.deaf => {
                self.link.send(|to| ToServer::Cancel { id: request_id }.write(to));
                Ok(())
            }
            ClientMessage::Request(_) => Err(LinkError::Io(io::ErrorKind::BrokenPipe.into())),
            _ => Ok(()),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_send(cx).map(Ok)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush(cx)
    }
}
