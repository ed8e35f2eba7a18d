//! One request and its reply over a connection: headers, message and trailers, each read whole.
//!
//! A reply is handed on only when it is complete, so that a connection that is lost half-way through it is seen where a call
//! can be tried again.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE, response};
use http_body::{Body as _, Frame};
use sysbox_transport::{Attempt, CallError, Exchange};
use tonic::body::Body;

use super::{
    connection::Http2,
    error::{self, BadReply},
};

const STATUS: &str = "grpc-status";

/// A request that can be sent again.
pub(crate) struct Message {
    head: Request<()>,
    body: Bytes,
}

impl Message {
    /// Takes the body of a request out; that of a unary call is there at once, in one piece.
    pub(super) async fn whole(request: Request<Body>) -> Result<Self, CallError> {
        let (head, body) = request.into_parts();
        let mut body = pin!(body);
        let mut whole = Bytes::new();
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let Ok(data) = frame.map_err(|status| CallError::Encode(status.into()))?.into_data() else {
                continue;
            };
            whole = if whole.is_empty() { data } else { [whole, data].concat().into() };
        }
        Ok(Self { head: Request::from_parts(head, ()), body: whole })
    }
}

impl Exchange<Http2> for Message {
    type Reply = Response<Reply>;

    async fn run(
        &self,
        connection: &Http2,
        attempt: &Attempt<'_>,
        sent: &mut bool,
    ) -> Result<Response<Reply>, CallError> {
        let Attempt { socket, options, .. } = attempt;
        let unsent = |source| error::of_unsent(socket, source);
        let lost = |source| error::of_sent(socket, source);
        let mut requests = connection.requests.clone();
        poll_fn(|cx| requests.poll_ready(cx)).await.map_err(unsent)?;
        let (reply, mut stream) = requests.send_request(self.head.clone(), false).map_err(unsent)?;
        *sent = true;
        // At once, before the connection's task runs: both leave in one write.
        stream.send_data(self.body.clone(), true).map_err(lost)?;
        let (head, body) = reply.await.map_err(lost)?.into_parts();
        let bad = |reply| error::bad_reply(socket, reply);
        if head.headers.contains_key(STATUS) {
            // A status without a message comes in the headers; no trailers follow.
            return Ok(Response::from_parts(head, Reply::default()));
        }
        check(&head).map_err(bad)?;
        let reply = Reply::whole(body, options.max_reply).await.map_err(|error| match error {
            ReadError::Lost(source) => lost(source),
            ReadError::Bad(reply) => bad(reply),
        })?;
        Ok(Response::from_parts(head, reply))
    }
}

fn check(head: &response::Parts) -> Result<(), BadReply> {
    if head.status != http::StatusCode::OK {
        return Err(BadReply::Http(head.status));
    }
    let kind = head.headers.get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()));
    match kind {
        Some(kind) if kind.starts_with("application/grpc") => Ok(()),
        kind => Err(BadReply::ContentType(kind.unwrap_or_default().chars().take(100).collect())),
    }
}

/// The rest of a reply, read already.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    data: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
}

enum ReadError {
    Lost(h2::Error),
    Bad(BadReply),
}

impl Reply {
    async fn whole(mut body: RecvStream, max: usize) -> Result<Self, ReadError> {
        let mut data = VecDeque::new();
        let mut left = max;
        while let Some(piece) = body.data().await {
            let piece = piece.map_err(ReadError::Lost)?;
            left = left.checked_sub(piece.len()).ok_or(ReadError::Bad(BadReply::TooLong { max }))?;
            // Fails only when the stream has ended, and then there is nobody to tell.
            let _ = body.flow_control().release_capacity(piece.len());
            data.push_back(piece);
        }
        let trailers = body.trailers().await.map_err(ReadError::Lost)?;
        if !trailers.as_ref().is_some_and(|trailers| trailers.contains_key(STATUS)) {
            return Err(ReadError::Bad(BadReply::NoStatus));
        }
        Ok(Self { data, trailers })
    }
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.pop_front().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }
}
