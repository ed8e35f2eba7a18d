//! Carries calls of a port out.
//!
//! Each is a task of its own, so that it goes on when the stream, connection or server that it came by ends.

use std::{fmt, pin::Pin, sync::Arc, time::Instant};

use sysbox_core::{ContainerId, Operation, PortError};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tonic::{Response, Status};

use crate::{
    convert::ConvertError,
    status::{malformed_reply, to_status},
};

/// The calls of one server.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    begun: TaskTracker,
    turns: Arc<Semaphore>,
}

/// What a port's methods answer.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send + 'a>>;

/// A request that says which container it is about.
pub(crate) trait Subject: Send + Sync + 'static {
    /// The container, where there is one.
    fn container(&self) -> Option<&ContainerId>;
}

impl Calls {
    /// No calls yet, and never more than so many at once.
    pub(crate) fn new(at_once: usize) -> Self {
        let turns = Arc::new(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)));
        Self { begun: TaskTracker::new(), turns }
    }

    /// Waits for a turn, then carries a call out, whatever becomes of who waits for the answer.
    pub(crate) async fn run<P, Q, T, F>(
        &self,
        operation: Operation,
        port: &Arc<P>,
        request: Q,
        call: F,
    ) -> Result<T, Status>
    where
        P: ?Sized + Send + Sync + 'static,
        Q: Subject,
        T: Send + 'static,
        F: for<'a> FnOnce(&'a P, &'a Q) -> Answer<'a, T> + Send + 'static,
    {
        // The semaphore is never closed.
        let turn = self.turns.clone().acquire_owned().await.ok();
        let port = port.clone();
        let carried_out = self.begun.spawn(async move {
            let _turn = turn;
            let began = Instant::now();
            let outcome = call(&*port, &request).await;
            note(operation, request.container(), began, &outcome);
            outcome
        });
        match carried_out.await {
            Ok(outcome) => outcome.map_err(|error| to_status(&error)),
            Err(lost) => {
                tracing::error!(?operation, %lost, "a call broke off; this is a defect of the backend");
                Err(Status::internal("the call broke off in the daemon; its log has more"))
            }
        }
    }

    /// Waits until all calls that have begun are carried out. There must be nobody left to begin one.
    pub(crate) async fn carried_out(&self) {
        self.begun.close();
        self.begun.wait().await;
    }

    /// How many calls are being carried out.
    pub(crate) fn under_way(&self) -> usize {
        self.begun.len()
    }
}

/// The answer of a call, as a message.
pub(crate) fn reply<R>(
    operation: Operation,
    message: Result<R, ConvertError>,
) -> Result<Response<R>, Status> {
    message.map(Response::new).map_err(|error| to_status(&malformed_reply(operation, error)))
}

fn note<T>(
    operation: Operation,
    container: Option<&ContainerId>,
    began: Instant,
    outcome: &Result<T, PortError>,
) {
    let container = container.map_or("", ContainerId::as_str);
    match outcome {
        Ok(_) => tracing::debug!(?operation, container, took = ?began.elapsed(), "done"),
        Err(error) => {
            let (kind, took) = (error.kind, began.elapsed());
            tracing::debug!(?operation, container, ?kind, ?took, error = %Chain(error), "refused");
        }
    }
}

/// An error with its causes.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
