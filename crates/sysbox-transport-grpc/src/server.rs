//! Serves the ports on unix sockets.
//!
//! ```text
//! serve -> Filter -> hyper's HTTP/2 -> Routes -> generated service -> adapter -> Calls -> the port
//!          authority  connection       routes                        mgr_server
//! ```
//!
//! Who is let in, how calls are carried out and how it ends is `sysbox-transport`'s [`serve`].

mod connection;
mod inbound;
mod routes;

use std::sync::Arc;

use sysbox_core::{FsPort, MgrPort};
use sysbox_transport::{Calls, Listener, ServeError, ServerOptions, serve};
use tokio_util::sync::CancellationToken;

use self::routes::Routes;

/// Serves a manager until `stop`, to Sysbox's own clients and ours, with gRPC health and reflection beside it.
///
/// On `stop` the socket is gone at once, so that callers that wait for a daemon wait for the next. Connections are told that
/// they end, what they send from then on is refused as not processed, and calls that have begun are carried out and
/// answered **however long they take**. To give up earlier, drop the future: connections are cut, and calls are left to the
/// runtime.
///
/// The port must not block the runtime's threads; `sysbox_transport::Offloaded` sees to that.
///
/// ```no_run
/// use std::sync::Arc;
/// use sysbox_core::{AbsPath, MgrPort};
/// use sysbox_transport::Listener;
/// use sysbox_transport_grpc::{ServerOptions, serve_mgr};
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
    let routes = Routes::mgr(port, &calls, options).await?;
    serve(listener, routes, calls, options, stop).await
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
    let routes = Routes::fs(port, &calls, options).await?;
    serve(listener, routes, calls, options, stop).await
}
