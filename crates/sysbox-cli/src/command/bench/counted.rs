//! Counts what goes over a socket: it listens before another one and passes on what comes, both ways.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sysbox::{
    AbsPath,
    transport::{Listener, Stream, dial},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How many bytes went over counted sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    received: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Counted {
    /// How many bytes came from callers.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many bytes went to callers.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Passes on to a socket what comes to a listener.
    pub(crate) async fn pass_on(self, listener: Listener, to: AbsPath) -> io::Result<()> {
        loop {
            let caller = listener.accept().await?;
            let server = dial(&to, Duration::ZERO).await.map_err(io::Error::other)?;
            tokio::spawn(self.clone().join(caller, server));
        }
    }

    /// Passes on until both have closed; a connection that breaks is seen by who uses it.
    async fn join(self, caller: Stream, server: Stream) {
        let (from_caller, to_caller) = tokio::io::split(caller);
        let (from_server, to_server) = tokio::io::split(server);
        let there = tokio::spawn(async move { copy(from_caller, to_server, &self.received).await });
        let _ = copy(from_server, to_caller, &self.sent).await;
        there.abort();
    }
}

/// Copies to the end, each byte counted before it is passed on: once an answer is there, all of its call is counted.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        count.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        to.write_all(&buffer[..read]).await?;
    }
}
