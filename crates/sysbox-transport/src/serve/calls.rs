//! Carries calls of a port out.
//!
//! Each is a task of its own, so that it goes on when the connection or server that it came by ends.

use std::{pin::Pin, sync::Arc, time::Instant};

use sysbox_core::{
    ContainerData, ContainerId, ErrorKind, FsStateRequest, IdOffsets, MountRequests, MountsToPrepare,
    Operation, PortError, Registration, ShiftfsMarks, SubidRequest, Update,
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::causes::Chain;

/// The calls of one server. Clones share them.
#[derive(Clone, Debug)]
pub struct Calls {
    begun: TaskTracker,
    turns: Arc<Semaphore>,
}

/// What a port's methods answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send + 'a>>;

/// A request that says which container it is about.
pub trait Subject: Send + Sync + 'static {
    /// The container; `None` for what is about the daemon itself.
    fn container(&self) -> Option<&ContainerId>;
}

impl Calls {
    /// No calls yet, and never more than so many at once.
    pub fn new(at_once: usize) -> Self {
        let turns = Arc::new(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)));
        Self { begun: TaskTracker::new(), turns }
    }

    /// Waits for a turn, then carries a call out, whatever becomes of who waits for the answer.
    ///
    /// # Errors
    /// Those of the port; `Internal` when the call broke off in it.
    pub async fn run<P, Q, T, F>(
        &self,
        operation: Operation,
        port: &Arc<P>,
        request: Q,
        call: F,
    ) -> Result<T, PortError>
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
        carried_out.await.unwrap_or_else(|lost| {
            tracing::error!(?operation, %lost, "a call broke off; this is a defect of the backend");
            let message = "the call broke off in the daemon; its log has more";
            Err(PortError::new(operation, ErrorKind::Internal, message))
        })
    }

    /// Waits until all calls that have begun are carried out. There must be nobody left to begin one.
    pub(super) async fn carried_out(&self) {
        self.begun.close();
        self.begun.wait().await;
    }

    /// How many calls are being carried out.
    pub(super) fn under_way(&self) -> usize {
        self.begun.len()
    }
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

impl Subject for ContainerId {
    fn container(&self) -> Option<&ContainerId> {
        Some(self)
    }
}

impl Subject for (ContainerId, IdOffsets) {
    fn container(&self) -> Option<&ContainerId> {
        Some(&self.0)
    }
}

/// A request about the daemon itself.
impl Subject for () {
    fn container(&self) -> Option<&ContainerId> {
        None
    }
}

macro_rules! subject {
    ($($request:ty),+) => {$(
        impl Subject for $request {
            fn container(&self) -> Option<&ContainerId> {
                Some(&self.id)
            }
        }
    )+};
}

subject!(
    Registration,
    Update,
    SubidRequest,
    MountsToPrepare,
    MountRequests,
    ShiftfsMarks,
    FsStateRequest,
    ContainerData
);
