//! Serves the ports on unix sockets.
//!
//! ```text
//! sysbox_transport::serve -> hello -> frames -> tarpc -> service -> Calls -> the port
//!                            connection, transport, desk  mgr_server
//! ```
//!
//! What a peer can make a server hold is, beside some 27 KiB for its connection: one request that is not complete yet, each that is
//! complete and waits for its turn, and each answer that it does not fetch. The last two are `ServerOptions::streams` together.
//! A request is decoded before it waits, and then takes up to about 24 times its bytes: a list of many short texts takes most.

mod connection;
mod desk;
mod transport;

use std::{fmt::Debug, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use sysbox_core::{ErrorKind, FsPort, MgrPort, Operation, PortError};
use sysbox_transport::{Calls, Listener, Reception, ServeError, ServerOptions, Stream, serve};
use tokio_util::sync::CancellationToken;

use crate::{
    codec,
    codec::DecodeError,
    fault::{Failure, request_too_long},
    fs_server::FsService,
    hello,
    mgr_server::MgrService,
};

/// The answer to come, as bytes.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// What answers the requests of a socket.
pub(crate) trait Service: Clone + Debug + Send + Sync + 'static {
    /// What it is to clients.
    const SERVICE: hello::Service;

    /// Begins to answer a request.
    ///
    /// # Errors
    /// When it is none that is known here.
    fn answer(&self, request: Bytes) -> Result<Answering, DecodeError>;
}

/// Serves a manager until `stop`, to [`TarpcMgr`](crate::TarpcMgr) in other processes.
///
/// On `stop` the socket is gone at once, so that callers that wait for a daemon wait for the next. What connections send from
/// then on is refused as not begun, and calls that have begun are carried out and answered **however long they take**. To
/// give up earlier, drop the future: connections are cut, and calls are left to the runtime.
///
/// The port must not block the runtime's threads; `sysbox_transport::Offloaded` sees to that.
///
/// ```no_run
/// use std::sync::Arc;
/// use sysbox_core::{AbsPath, MgrPort};
/// use sysbox_transport::Listener;
/// use sysbox_transport_tarpc::{ServerOptions, serve_mgr};
/// use tokio_util::sync::CancellationToken;
///
/// # async fn example(port: Arc<dyn MgrPort>) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind(&AbsPath::new("/run/sysbox")?, "sysmgr.sock")?;
/// let stop = CancellationToken::new();
/// serve_mgr(port, listener, &ServerOptions::default(), stop).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ServeError`] when the socket cannot be served any more. That no descriptor is free passes, and is waited for.
pub async fn serve_mgr(
    port: Arc<dyn MgrPort>,
    listener: Listener,
    options: &ServerOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let calls = Calls::new(options.calls);
    let service = MgrService::new(port, calls.clone(), options.message);
    serve(listener, Receiving(service), calls, options, stop).await
}

/// Serves an fs daemon until `stop`, as [`serve_mgr`] serves a manager. Without a port each call is `Unimplemented`, and the
/// message tells what to do.
///
/// # Errors
/// As for [`serve_mgr`].
pub async fn serve_fs(
    port: Option<Arc<dyn FsPort>>,
    listener: Listener,
    options: &ServerOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let calls = Calls::new(options.calls);
    let service = FsService::new(port, calls.clone(), options.message);
    serve(listener, Receiving(service), calls, options, stop).await
}

/// Receives peers for a service.
#[derive(Clone, Debug)]
struct Receiving<S>(S);

impl<S: Service> Reception for Receiving<S> {
    fn served(&self) -> String {
        format!("{} over tarpc", S::SERVICE)
    }

    fn serve(
        &self,
        stream: Stream,
        options: Arc<ServerOptions>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        connection::serve(stream, self.0.clone(), options, stop)
    }

    fn refuse(
        &self,
        stream: Stream,
        reason: String,
        options: Arc<ServerOptions>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        connection::refuse::<S>(stream, reason, options, stop)
    }

    /// Each connection tells its peer by itself.
    async fn tell_stopping(&self) {}
}

/// An answer as bytes.
pub(crate) fn encoded<T: Serialize>(operation: Operation, reply: &Result<T, Failure>) -> Bytes {
    let mut bytes = BytesMut::new();
    if let Err(error) = codec::encode(reply, &mut bytes) {
        let message = "the answer has no form on the wire";
        let error = PortError::new(operation, ErrorKind::Internal, message).with_source(error);
        // A failure is numbers and texts, which always have one.
        let _ = codec::encode(&Err::<T, _>(Failure::from(&error)), &mut bytes);
    }
    bytes.freeze()
}

/// Whether a request is longer than it may be, and what its caller is told then.
pub(crate) fn too_long(operation: Operation, bytes: usize, most: usize) -> Option<Failure> {
    (bytes > most).then(|| Failure::from(&request_too_long(operation, bytes, most)))
}
