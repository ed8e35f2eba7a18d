//! Lets peers in.

use std::{io, sync::Arc};

use rustix::process::{Resource, getrlimit};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Reception, ServerOptions};
use crate::{Listener, Peer, Stream};

/// How many peers that are not served are told so at once. Others are cut off without a word.
const REFUSED_AT_ONCE: usize = 64;

/// The connections of a socket. They are cut when it is dropped.
#[derive(Debug)]
pub(super) struct Door<R> {
    options: Arc<ServerOptions>,
    reception: R,
    closing: CancellationToken,
    at_once: usize,
    served: JoinSet<()>,
    refused: JoinSet<()>,
}

impl<R: Reception> Door<R> {
    pub(super) fn new(reception: R, options: &ServerOptions, closing: CancellationToken) -> Self {
        Self {
            options: Arc::new(options.clone()),
            reception,
            closing,
            at_once: connections_at_once(options.connections),
            served: JoinSet::new(),
            refused: JoinSet::new(),
        }
    }

    /// Lets peers in until it can do so no more.
    pub(super) async fn let_in(&mut self, listener: &Listener) -> io::Error {
        loop {
            let accepted = tokio::select! {
                Some(ended) = self.served.join_next() => { note(ended); continue }
                Some(ended) = self.refused.join_next() => { note(ended); continue }
                accepted = listener.accept(), if self.served.len() < self.at_once => accepted,
            };
            match accepted {
                Ok(stream) => self.receive(stream),
                Err(error) => return error,
            }
        }
    }

    /// Speaks with a peer.
    pub(super) fn receive(&mut self, stream: Stream) {
        let peer = match stream.peer() {
            Ok(peer) => peer,
            Err(error) => return tracing::warn!(%error, "a peer is not served: it cannot be told who it is"),
        };
        let (options, closing) = (self.options.clone(), self.closing.clone());
        if self.options.peers.permits(&peer) {
            self.served.spawn(self.reception.serve(stream, options, closing));
        } else if self.refused.len() < REFUSED_AT_ONCE {
            let reason = self.refusal(&peer);
            tracing::warn!(reason, "a peer is not served");
            self.refused.spawn(self.reception.refuse(stream, reason, options, closing));
        }
    }

    fn refusal(&self, peer: &Peer) -> String {
        let own = rustix::process::geteuid().as_raw();
        let mut users = vec![0, own];
        users.extend(self.options.peers.further());
        users.dedup();
        format!("{peer} is not served; served are users {users:?}")
    }

    /// Waits until no connection is left.
    pub(super) async fn close(&mut self) {
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
