//! Lets peers in, and ends.

use std::{io, sync::Arc, time::Duration};

use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};
use sysbox_transport::{Listener, Peer, Stream};
use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Calls, ServeError, ServerOptions,
    connection::{self, Http, Reception},
    routes::Routes,
};

/// How many peers that are not served are told so at once. Others are cut off without a word.
const REFUSED_AT_ONCE: usize = 64;

/// How long to wait for a descriptor to become free.
const STARVED: Duration = Duration::from_millis(50);

/// Serves a socket until `stop`, and then until the calls that have begun are carried out.
pub(crate) async fn serve(
    listener: Listener,
    routes: Routes,
    calls: Calls,
    options: &ServerOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let socket = listener.path().clone();
    tracing::info!(%socket, services = routes.served(), "serving");
    let closing = CancellationToken::new();
    let mut door = Door::new(routes.clone(), options, closing.clone());
    let outcome = tokio::select! {
        error = door.let_in(&listener) => Err(ServeError::Accept { socket: socket.clone(), source: error }),
        () = stop.cancelled() => Ok(()),
    };
    // First of all, so that callers from now on wait for the next daemon instead of this one.
    drop(listener);
    routes.tell_stopping().await;
    tracing::info!(%socket, calls = calls.under_way(), "stopping");
    closing.cancel();
    door.close().await;
    calls.carried_out().await;
    tracing::info!(%socket, "stopped");
    outcome
}

/// The connections of a socket. They are cut when it is dropped.
#[derive(Debug)]
struct Door {
    options: Arc<ServerOptions>,
    routes: Routes,
    closing: CancellationToken,
    at_once: usize,
    served: JoinSet<()>,
    refused: JoinSet<()>,
    http_served: Http,
    http_refused: Http,
}

impl Door {
    fn new(routes: Routes, options: &ServerOptions, closing: CancellationToken) -> Self {
        Self {
            options: Arc::new(options.clone()),
            routes,
            closing,
            at_once: connections_at_once(options.connections),
            served: JoinSet::new(),
            refused: JoinSet::new(),
            http_served: Http::served(options),
            http_refused: Http::refused(),
        }
    }

    /// Lets peers in until it can do so no more.
    async fn let_in(&mut self, listener: &Listener) -> io::Error {
        let mut starved = false;
        loop {
            let accepted = tokio::select! {
                Some(ended) = self.served.join_next() => { note(ended); continue }
                Some(ended) = self.refused.join_next() => { note(ended); continue }
                accepted = listener.accept(), if self.served.len() < self.at_once => accepted,
            };
            match accepted {
                Ok(stream) => {
                    starved = false;
                    self.receive(stream);
                }
                Err(error) if passes(&error) => {
                    if !starved {
                        tracing::warn!(socket = %listener.path(), %error, "nobody can be let in now");
                    }
                    starved = true;
                    sleep(STARVED).await;
                }
                Err(error) => return error,
            }
        }
    }

    fn receive(&mut self, stream: Stream) {
        let peer = match stream.peer() {
            Ok(peer) => peer,
            Err(error) => return tracing::warn!(%error, "a peer is not served: it cannot be told who it is"),
        };
        let (options, closing) = (self.options.clone(), self.closing.clone());
        if self.options.peers.permits(&peer) {
            let (http, reception) = (self.http_served.clone(), Reception::Served(self.routes.clone()));
            self.served.spawn(connection::serve(stream, http, reception, options, closing));
        } else if self.refused.len() < REFUSED_AT_ONCE {
            let status = self.refusal(&peer);
            tracing::warn!(reason = status.message(), "a peer is not served");
            let (http, reception) = (self.http_refused.clone(), Reception::Refused(Arc::new(status)));
            self.refused.spawn(connection::serve(stream, http, reception, options, closing));
        }
    }

    fn refusal(&self, peer: &Peer) -> Status {
        let own = rustix::process::geteuid().as_raw();
        let mut users = vec![0, own];
        users.extend(self.options.peers.further());
        users.dedup();
        Status::permission_denied(format!("{peer} is not served; served are users {users:?}"))
    }

    /// Waits until no connection is left.
    async fn close(&mut self) {
        while self.served.join_next().await.is_some() || self.refused.join_next().await.is_some() {}
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(lost) = ended {
        tracing::error!(%lost, "a connection broke off; this is a defect of the daemon");
    }
}

/// A daemon has two such sockets, and its backend opens files: half for each socket, but a reserve.
fn connections_at_once(wanted: usize) -> usize {
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = usize::try_from(open_files.saturating_sub(64) / 2).unwrap_or(usize::MAX);
    wanted.min(share).max(1)
}

/// Whether `accept` may succeed later, with nothing done about it here.
fn passes(error: &io::Error) -> bool {
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::NOSPC];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}
