//! A client's end of a connection, as tarpc wants it: requests go in, outcomes come out.
//!
//! The daemon begins only what it got in full. So a call was certainly not begun if the kernel has not taken all of it and nothing
//! more can be written on its connection; as long as something can, one that was added to what is to be sent may still be.
//! A daemon that stops reads no more, but still answers what it has begun: that nothing can be written is therefore told to the
//! calls that it concerns, and the connection goes on.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
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
    /// Until it is to be sent, or is given up.
    request: Mutex<Option<Bytes>>,
    /// Whether the kernel has taken all of it.
    sent: AtomicBool,
}

impl Outgoing {
    pub(super) const fn new(name: &'static str, request: Bytes) -> Self {
        Self { name, request: Mutex::new(Some(request)), sent: AtomicBool::new(false) }
    }

    /// The request, for who is the first to take it: who sends it, or who gives it up and then knows that it is never sent.
    pub(super) fn take(&self) -> Option<Bytes> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the daemon may have got it, of a connection on which nothing is written any more.
    pub(super) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

impl RequestName for Outgoing {
    fn name(&self) -> &str {
        self.name
    }
}

/// What came of greeting the daemon: how much it takes, or why there is no speaking with it.
type Greeted = Result<Limits, Arc<LinkError>>;

/// Tells callers what came of greeting the daemon. Until then one call is let through.
#[derive(Debug)]
pub(super) struct Greeting {
    greeted: watch::Sender<Option<Greeted>>,
    turns: Arc<Semaphore>,
}

impl Greeting {
    pub(super) fn new() -> (Self, Turns) {
        let (greeted, told) = watch::channel(None);
        let turns = Arc::new(Semaphore::new(1));
        (Self { greeted, turns: turns.clone() }, Turns { greeted: told, turns })
    }

    fn is_over(&self) -> bool {
        self.greeted.borrow().is_some()
    }

    fn fail(&self, why: Arc<LinkError>) {
        self.greeted.send_replace(Some(Err(why)));
        // The turn of the call that was let through is nobody's any more.
        self.turns.close();
    }

    fn end(&self, limits: Limits) {
        let limits = Limits { bytes: limits.bytes.min(LONGEST), ..limits };
        let calls = usize::try_from(limits.calls).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        self.turns.add_permits(calls - 1);
        self.greeted.send_replace(Some(Ok(limits)));
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
    greeted: watch::Receiver<Option<Greeted>>,
    turns: Arc<Semaphore>,
}

impl Turns {
    /// Waits for a turn.
    ///
    /// # Errors
    /// Why there are none, once the connection has ended.
    pub(super) async fn wait(&self) -> Result<SemaphorePermit<'_>, Arc<LinkError>> {
        self.turns.acquire().await.map_err(|_| self.ended())
    }

    /// How long a request may be, if that matters for one of `bytes`.
    ///
    /// # Errors
    /// Why that is not known, once the connection has ended.
    pub(super) async fn max_request(&self, bytes: usize) -> Result<u64, Arc<LinkError>> {
        let told = self.greeted.borrow().clone();
        let limits = match told {
            Some(greeted) => greeted?,
            None if bytes <= EAGER => return Ok(u64::MAX),
            None => {
                let mut greeted = self.greeted.clone();
                let told = greeted.wait_for(Option::is_some).await;
                told.ok().and_then(|told| told.clone()).ok_or(LinkError::Ended)??
            }
        };
        Ok(limits.bytes)
    }

    fn ended(&self) -> Arc<LinkError> {
        match &*self.greeted.borrow() {
            Some(Err(why)) => why.clone(),
            _ => LinkError::Ended.into(),
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

    fn poll_greeted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Arc<LinkError>>> {
        if !self.greeting.is_over() {
            match ready!(self.poll_limits(cx)) {
                Ok(limits) => self.greeting.end(limits),
                Err(why) => {
                    let why = Arc::new(why);
                    self.greeting.fail(why.clone());
                    return Poll::Ready(Err(why));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Result<Limits, LinkError>> {
        let hello = ready!(self.link.poll_hello(cx))?.ok_or(LinkError::Ended)?;
        Poll::Ready(Ok(hello.check(self.asked)?))
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<ToClient, LinkError>> {
        let frame = ready!(self.link.poll_frame(cx))?.ok_or(LinkError::Ended)?;
        Poll::Ready(Ok(ToClient::parse(frame)?))
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
    type Item = Result<Response<Outcome>, Arc<LinkError>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(request_id) = self.untaken.pop_front() {
            let error = ServerError::new(io::ErrorKind::BrokenPipe, "not sent".to_owned());
            return Poll::Ready(Some(Ok(Response { request_id, message: Err(error) })));
        }
        ready!(self.poll_greeted(cx))?;
        let ToClient { id, outcome } = ready!(self.poll_outcome(cx))?;
        Poll::Ready(Some(Ok(Response { request_id: id, message: Ok(outcome) })))
    }
}

impl Sink<ClientMessage<Arc<Outgoing>>> for Transport {
    type Error = Arc<LinkError>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Arc<LinkError>>> {
        if self.link.is_full() {
            ready!(self.poll_send(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(
        mut self: Pin<&mut Self>,
        message: ClientMessage<Arc<Outgoing>>,
    ) -> Result<(), Arc<LinkError>> {
        match message {
            ClientMessage::Request(request) if !self.deaf => {
                let remaining = request.context.deadline.saturating_duration_since(Instant::now());
                let (id, outgoing) = (request.id, request.message);
                // Of one that was given up, nobody waits to be told.
                let Some(request) = outgoing.take() else { return Ok(()) };
                let frame = ToServer::Call { id, remaining, request };
                self.link.send(|to| frame.write(to));
                let (end, _) = self.link.progress();
                self.unsent.push_back((end, id, outgoing));
                Ok(())
            }
            ClientMessage::Cancel { request_id, .. } if !self.deaf => {
                self.link.send(|to| ToServer::Cancel { id: request_id }.write(to));
                Ok(())
            }
            ClientMessage::Request(_) => Err(Arc::new(LinkError::Io(io::ErrorKind::BrokenPipe.into()))),
            _ => Ok(()),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Arc<LinkError>>> {
        self.poll_send(cx).map(Ok)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Arc<LinkError>>> {
        self.poll_flush(cx)
    }
}
