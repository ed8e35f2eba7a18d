//! One kept connection to a daemon, made when it is first needed and shared by all callers.
//!
//! How a connection speaks is a [`Connection`]'s and an [`Exchange`]'s business; connecting, trying again and waiting is the same
//! for all. What is not an answer that the daemon gave is a [`CallError`], which knows whether the call may have been carried
//! out.
//!
//! No call is sent twice unless the first was certainly not taken or a second changes nothing
//! ([`Operation::is_idempotent`]).

mod error;
mod slot;

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sysbox_core::{AbsPath, Deadlines, Operation};
use tokio::{
    runtime::{Handle, Id},
    time::timeout,
};

pub use self::error::CallError;
use self::slot::Slot;
use crate::{Backoff, Stream};

/// How a client waits.
///
/// ```
/// use std::time::Duration;
/// use sysbox_transport::ClientOptions;
///
/// let mut options = ClientOptions::default();
/// options.patience = Duration::from_secs(30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// By when each call must be answered.
    pub deadlines: Deadlines,
    /// How long a call goes on trying where nobody listens yet, or where it was not taken, counted from when that was seen.
    pub patience: Duration,
    /// How long a daemon that lets a connection in may stay silent.
    pub silence: Duration,
    /// The longest reply that is read, in bytes.
    pub max_reply: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            patience: Duration::from_secs(3),
            silence: Duration::from_secs(5),
            max_reply: 64 * 1024 * 1024,
        }
    }
}

/// A connection that speaks some protocol. When nobody holds it any more it is dropped, which must end it at once.
pub trait Connection: Debug + Send + Sync + Sized + 'static {
    /// What the protocol is called, for people.
    const PROTOCOL: &'static str;
    /// Whether it is always certain of a call on a connection that the daemon has closed that it was not taken. If it is not, the
    /// kernel is asked before each call whether the connection is still open, so that a restart is seen in time.
    const TELLS_UNTAKEN: bool;

    /// Makes it of a stream that was just connected. The daemon must say something on its own account on every connection;
    /// one that does not is taken to hang.
    ///
    /// # Errors
    /// [`CallError`] where the stream is of no use.
    fn open(
        stream: Stream,
        socket: &AbsPath,
        options: &ClientOptions,
    ) -> impl Future<Output = Result<Self, CallError>> + Send;
}

/// One request and its reply over a connection.
pub trait Exchange<C>: Sync {
    /// What comes back.
    type Reply: Send;

    /// Sends the request and reads the reply in full. `sent` becomes true when the daemon may have got the request.
    ///
    /// # Errors
    /// [`CallError`] where no reply came.
    fn run(
        &self,
        connection: &C,
        attempt: &Attempt<'_>,
        sent: &mut bool,
    ) -> impl Future<Output = Result<Self::Reply, CallError>> + Send;
}

/// What one try of a call goes by.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The socket of the daemon.
    pub socket: &'a AbsPath,
    /// How the client waits.
    pub options: &'a ClientOptions,
    /// The call.
    pub operation: Operation,
    /// When the call ends, whatever comes of it.
    pub until: Instant,
}

/// The connection to one socket. Clones share it.
#[derive(Debug)]
pub struct Channel<C>(Arc<Shared<C>>);

#[derive(Debug)]
struct Shared<C> {
    socket: AbsPath,
    options: ClientOptions,
    /// Locked only to look or to replace, never over an await.
    slot: Mutex<Option<Arc<Slot<C>>>>,
}

impl<C> Clone for Channel<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: Connection> Channel<C> {
    /// A channel that is not connected yet.
    pub fn new(socket: AbsPath, options: ClientOptions) -> Self {
        Self(Arc::new(Shared { socket, options, slot: Mutex::new(None) }))
    }

    /// The socket.
    pub fn socket(&self) -> &AbsPath {
        &self.0.socket
    }

    /// How it waits.
    pub fn options(&self) -> &ClientOptions {
        &self.0.options
    }

    /// Carries a call out by as many tries as it takes and may have.
    ///
    /// # Errors
    /// [`CallError`] where no reply came in time.
    pub async fn call<X: Exchange<C>>(
        &self,
        operation: Operation,
        exchange: &X,
    ) -> Result<X::Reply, CallError> {
        let no_runtime = |_| CallError::NoRuntime { protocol: C::PROTOCOL };
        let runtime = Handle::try_current().map_err(no_runtime)?.id();
        let Shared { socket, options, slot: _ } = &*self.0;
        let limit = options.deadlines.of(operation);
        let attempt = Attempt { socket, options, operation, until: Instant::now() + limit };
        let mut sent = false;
        match timeout(limit, self.tries(runtime, &attempt, exchange, &mut sent)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Deadline { socket: socket.clone(), operation, limit, sent }),
        }
    }

    async fn tries<X: Exchange<C>>(
        &self,
        runtime: Id,
        attempt: &Attempt<'_>,
        exchange: &X,
        sent: &mut bool,
    ) -> Result<X::Reply, CallError> {
        let mut backoff = Backoff::new(attempt.options.patience);
        let mut may_be_stale = true;
        loop {
            let slot = self.slot(runtime);
            let kept = slot.is_connected();
            let error = match slot.exchange(attempt, exchange, sent).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if error.ends_connection() {
                self.forget(&slot);
            }
            if !error.permits_another_try(attempt.operation.is_idempotent()) {
                return Err(error);
            }
            // A kept connection may have ended unnoticed, as when the daemon was restarted: that alone is no reason to wait.
            let at_once = kept && std::mem::take(&mut may_be_stale);
            if !at_once && !backoff.wait().await {
                return Err(error);
            }
        }
    }

    /// The kept connection, or room for a new one. A connection is driven by the runtime it was made in, and a daemon that was
    /// restarted while no runtime ran has closed it unnoticed.
    fn slot(&self, runtime: Id) -> Arc<Slot<C>> {
        let found = self.lock().clone();
        if let Some(slot) = found.as_ref().filter(|slot| slot.serves(runtime)) {
            return slot.clone();
        }
        let mut kept = self.lock();
        match (&*kept, &found) {
            // Another caller has replaced it meanwhile, in the same runtime.
            (Some(new), old)
                if new.is_of(runtime) && old.as_ref().is_none_or(|old| !Arc::ptr_eq(new, old)) =>
            {
                new.clone()
            }
            _ => {
                let new = Arc::new(Slot::new(runtime));
                let old = kept.replace(new.clone());
                drop(kept);
                drop(old);
                new
            }
        }
    }

    /// Lets the next call connect anew. Calls that are on the old connection go on.
    fn forget(&self, slot: &Arc<Slot<C>>) {
        let mut kept = self.lock();
        let old = kept.take_if(|kept| Arc::ptr_eq(kept, slot));
        drop(kept);
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Slot<C>>>> {
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
