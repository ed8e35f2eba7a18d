//! One connection, from its first byte to its last.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sysbox_transport::{ServerOptions, Stream, causes::Chain};
use tokio::time::sleep;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tonic::{Status, body::Body};

use super::{
    inbound::Inbound,
    routes::{Answering, Routes, told},
};
use crate::authority::Filter;

/// How many bytes a peer may send ahead on one connection.
const WINDOW: u32 = 1 << 20;

/// How all connections are spoken with.
#[derive(Clone, Debug)]
pub(crate) struct Http(http2::Builder<TokioExecutor>);

impl Http {
    /// With peers that are served.
    pub(crate) fn served(options: &ServerOptions) -> Self {
        let mut builder = Self::common();
        builder
            .max_concurrent_streams(options.streams)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        Self(builder)
    }

    /// With peers that are not: enough to tell them.
    pub(crate) fn refused() -> Self {
        let mut builder = Self::common();
        builder.max_concurrent_streams(4);
        Self(builder)
    }

    fn common() -> http2::Builder<TokioExecutor> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        // What guards against floods of resets and of CONTINUATION frames is on by default.
        builder.timer(TokioTimer::new()).auto_date_header(false).max_header_list_size(16 << 10);
        builder
    }
}

/// What a connection is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// What the services answer.
    Answers(Routes),
    /// That it is not served, and why.
    Refused(Arc<Status>),
}

/// Serves a connection until its peer leaves, its time is up, or `stop`.
pub(crate) async fn serve(
    stream: Stream,
    http: Http,
    reception: Told,
    options: Arc<ServerOptions>,
    stop: CancellationToken,
) {
    let desk = Desk {
        refused: matches!(reception, Told::Refused(_)),
        reception,
        patience: options.handshake,
        stop: stop.clone(),
        unanswered: TaskTracker::new(),
        asked: AtomicBool::new(false),
    };
    let desk = Arc::new(desk);
    let io = TokioIo::new(Filter::new(stream));
    let mut connection = pin!(http.0.serve_connection(io, Clerk(desk.clone())));
    tokio::select! {
        ended = &mut connection => return note(ended),
        () = desk.time_is_up() => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => note(ended),
        () = desk.done_with(options.grace) => {}
    }
}

/// How a connection ended concerns only its peer.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(error = %Chain(&error), "a connection broke");
    }
}

/// What the requests of one connection share.
#[derive(Debug)]
struct Desk {
    reception: Told,
    refused: bool,
    patience: Duration,
    stop: CancellationToken,
    unanswered: TaskTracker,
    /// Whether there has been a request.
    asked: AtomicBool,
}

impl Desk {
    /// Ends when the peer has asked nothing for too long. A peer that is not served has no more time than that in any case.
    async fn time_is_up(&self) {
        sleep(self.patience).await;
        if self.asked.load(Ordering::Relaxed) && !self.refused {
            std::future::pending::<()>().await;
        }
    }

    /// Ends when all requests are answered and the peer had its time to take the answers.
    async fn done_with(&self, grace: Duration) {
        self.unanswered.close();
        loop {
            self.unanswered.wait().await;
            sleep(grace).await;
            if self.unanswered.is_empty() || self.refused {
                return;
            }
        }
    }
}

/// Answers the requests of one connection.
#[derive(Clone, Debug)]
struct Clerk(Arc<Desk>);

impl hyper::service::Service<Request<Incoming>> for Clerk {
    type Response = Response<Body>;
    type Error = h2::Error;
    type Future = Reply;

    fn call(&self, request: Request<Incoming>) -> Reply {
        let desk = &*self.0;
        desk.asked.store(true, Ordering::Relaxed);
        let unanswered = desk.unanswered.token();
        let answering = match &desk.reception {
            Told::Refused(status) => Some(told(status)),
            Told::Answers(routes) => {
                let request = request.map(|body| Inbound::new(body, desk.patience));
                routes.answer(request, desk.stop.is_cancelled())
            }
        };
        Reply { answering, _unanswered: unanswered }
    }
}

/// The answer to come.
struct Reply {
    answering: Option<Answering>,
    _unanswered: TaskTrackerToken,
}

impl Future for Reply {
    type Output = Result<Response<Body>, h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answering) = &mut self.answering else {
            // By this the client knows for certain that nothing was done, and asks the next daemon.
            return Poll::Ready(Err(h2::Reason::REFUSED_STREAM.into()));
        };
        match ready!(answering.as_mut().poll(cx)) {
            Ok(response) => Poll::Ready(Ok(response)),
            Err(never) => match never {},
        }
    }
}
