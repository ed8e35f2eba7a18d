//! The calls of one connection: takes them in, and sends what becomes of them.
//!
//! tarpc knows which calls are open, and drops one whose time is up or that is cancelled; dropping it leaves what has begun
//! alone. All is done by the connection's own task: answers that are there at the same time leave in one write.
//!
//! Every open call is looked after however slowly the peer reads: an answer that does not fit yet is kept here. So a peer that
//! does not read holds up neither the turns of others nor the end.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{Sink, Stream, future::Abortable, stream::FuturesUnordered};
use sysbox_transport::causes::Chain;
use tarpc::{
    ChannelError, Response,
    server::{BaseChannel, Channel, Config, TrackedRequest},
};

use super::{Answering, Service, transport::Transport};
use crate::{
    frame::{NotBegun, Outcome},
    link::LinkError,
};

/// How many calls are taken in before those that were have their turn, and other connections theirs. Their answers leave before
/// more is taken in: so a client with many callers has something to do while the rest is carried out.
const AT_ONCE: usize = 32;

/// The calls of one connection.
#[derive(Debug)]
pub(super) struct Desk<S> {
    service: S,
    channel: BaseChannel<Bytes, Outcome, Transport>,
    open: FuturesUnordered<Open>,
    /// Answers that the peer has no room for yet.
    answers: VecDeque<(u64, Bytes)>,
    /// How many calls may be open or have their answers here.
    most: usize,
    /// How many were taken in.
    taken: usize,
    /// Whether no call is begun any more.
    stopping: bool,
}

/// A call that is waited for.
struct Open {
    id: u64,
    answering: Abortable<Answering>,
}

impl Future for Open {
    /// No answer if nobody waits for it any more.
    type Output = (u64, Option<Bytes>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answering).poll(cx));
        Poll::Ready((self.id, answer.ok()))
    }
}

impl<S: Service> Desk<S> {
    /// With at most so many calls open at once.
    pub(super) fn new(service: S, transport: Transport, most: usize) -> Self {
        let channel = BaseChannel::new(Config::default(), transport);
        let (open, answers) = (FuturesUnordered::new(), VecDeque::new());
        Self { service, channel, open, answers, most, taken: 0, stopping: false }
    }

    /// How many calls there have been.
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    /// Whether all that is left is that the peer fetches its last answers.
    pub(super) fn is_done(&self) -> bool {
        self.stopping && self.open.is_empty()
    }

    /// Takes no more. The kernel refuses what the peer would send from now on; what it has sent already is read, and calls among
    /// it are answered as not begun. So it is never in doubt whether one was.
    pub(super) fn stop(&mut self) {
        if mem::replace(&mut self.stopping, true) {
            return;
        }
        if let Err(error) = Pin::new(&mut self.channel).get_pin_ref().stop() {
            tracing::debug!(%error, "a connection cannot be closed for reading");
        }
    }

    /// Goes on until nothing is left to do, or the connection ends.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeskError>> {
        let mut room = AT_ONCE;
        loop {
            let took = self.poll_take(cx, &mut room)?;
            if self.channel.transport().calls() != self.taken {
                return Poll::Ready(Err(DeskError::Duplicate));
            }
            let answered = self.poll_answer(cx)?;
            if took == Poll::Ready(None) && answered.is_pending() {
                return Pin::new(&mut self.channel).poll_flush(cx).map_err(Into::into);
            }
            if room == 0 || (took.is_pending() && answered.is_pending()) {
                if room == 0 {
                    cx.waker().wake_by_ref();
                }
                ready!(Pin::new(&mut self.channel).poll_flush(cx))?;
                return Poll::Pending;
            }
        }
    }

    /// Takes in what came, as long as there is room for it, and drops calls whose time is up; ends when no more comes and no call
    /// is open.
    fn poll_take(&mut self, cx: &mut Context<'_>, room: &mut usize) -> Poll<Result<Option<()>, DeskError>> {
        let mut took = Poll::Pending;
        while *room > 0 {
            match Pin::new(&mut self.channel).poll_next(cx)? {
                Poll::Ready(Some(call)) => self.take(call)?,
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Pending => return took.map(Ok),
            }
            *room -= 1;
            took = Poll::Ready(Some(()));
        }
        took.map(Ok)
    }

    fn take(&mut self, call: TrackedRequest<Bytes>) -> Result<(), DeskError> {
        self.taken += 1;
        let id = call.request.id;
        match self.begin(call.request.message) {
            Ok(answering) => {
                self.open.push(Open { id, answering: Abortable::new(answering, call.abort_registration) });
                Ok(())
            }
            Err(why) => self.tell(id, Outcome::NotBegun(why)),
        }
    }

    fn begin(&self, request: Bytes) -> Result<Answering, NotBegun> {
        if self.stopping {
            return Err(NotBegun::Stopping);
        }
        if self.open.len() + self.answers.len() >= self.most {
            return Err(NotBegun::TooMany);
        }
        self.service.answer(request).map_err(|error| {
            tracing::debug!(error = %Chain(&error), "a peer asks for what is not known here");
            NotBegun::NotUnderstood
        })
    }

    /// Looks after all open calls, and sends what is answered, as long as the peer takes it.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeskError>> {
        let mut answered = Poll::Pending;
        loop {
            while !self.answers.is_empty() && Pin::new(&mut self.channel).poll_ready(cx)?.is_ready() {
                if let Some((id, answer)) = self.answers.pop_front() {
                    self.tell(id, Outcome::Answer(answer))?;
                }
                answered = Poll::Ready(());
            }
            match Pin::new(&mut self.open).poll_next(cx) {
                Poll::Ready(Some((id, Some(answer)))) => self.answers.push_back((id, answer)),
                Poll::Ready(Some((_, None))) => {}
                Poll::Ready(None) | Poll::Pending => return answered.map(Ok),
            }
        }
    }

    fn tell(&mut self, request_id: u64, outcome: Outcome) -> Result<(), DeskError> {
        Ok(Pin::new(&mut self.channel).start_send(Response { request_id, message: Ok(outcome) })?)
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeskError {
    /// It cannot be used.
    #[error("a connection broke")]
    Link(#[from] ChannelError<LinkError>),
    /// A call has the id of one that is open.
    #[error("a peer gave two calls the same id")]
    Duplicate,
}
