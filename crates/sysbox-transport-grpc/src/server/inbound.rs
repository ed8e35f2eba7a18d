//! The body of a request, of which the rest must come in time.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// A body that is an error once it was waited for too long.
#[derive(Debug)]
pub(crate) struct Inbound {
    body: Incoming,
    patience: Duration,
    /// Set when it is first waited for; of most requests all is there at once.
    late: Option<Pin<Box<Sleep>>>,
}

impl Inbound {
    pub(crate) const fn new(body: Incoming, patience: Duration) -> Self {
        Self { body, patience, late: None }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let patience = self.patience;
        ready!(self.late.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
        let message = format!("the request was not complete after {patience:?}; it was not carried out");
        Poll::Ready(Some(Err(Status::deadline_exceeded(message).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
