//! Daemons that do what a test wants, and the calls that tests make.

use std::{future::Future, num::NonZeroU32, time::Duration};

use sysbox_core::{AbsPath, MgrPort, PortError, SubidRequest, Subids};
use sysbox_transport_tarpc::{ClientOptions, TarpcMgr};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use crate::frames::{answer, greeted, next, welcome};

pub(crate) struct Daemon {
    pub(crate) socket: AbsPath,
    serving: JoinHandle<()>,
    _dir: TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Daemon {
    /// Hands each connection, with its number, to a function.
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(usize, UnixStream) -> F + Send + 'static,
    ) -> Self {
        let (dir, socket) = room();
        let listener = UnixListener::bind(&socket).expect("bound");
        let serving = tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.expect("accepted");
                tokio::spawn(serve(number, stream));
            }
        });
        Self { socket, serving, _dir: dir }
    }

    /// Greets, and answers each call by the bytes that a function makes of the call's number, id and variant.
    pub(crate) fn answering(
        answer: impl Fn(usize, u64, u8) -> Vec<u8> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |_, stream| converse(stream, answer.clone()))
    }
}

/// Answers every call on a connection as a daemon should.
pub(crate) async fn speak(stream: UnixStream) {
    converse(stream, |_, id, variant| answer(id, variant)).await;
}

/// Answers every call on a connection that was greeted already.
pub(crate) async fn speak_on(stream: UnixStream) {
    answer_all(stream, |_, id, variant| answer(id, variant)).await;
}

/// Greets, and answers each call on a connection by the bytes that a function makes of the call's number, id and variant.
pub(crate) async fn converse(mut stream: UnixStream, answer: impl Fn(usize, u64, u8) -> Vec<u8>) {
    let Some(_) = greeted(&mut stream).await else { return };
    let _ = stream.write_all(&welcome()).await;
    answer_all(stream, answer).await;
}

async fn answer_all(mut stream: UnixStream, answer: impl Fn(usize, u64, u8) -> Vec<u8>) {
    let mut number = 0;
    while let Some((kind, id, rest)) = next(&mut stream).await {
        // A cancellation is not answered.
        if kind == 1 {
            let _ = stream.write_all(&answer(number, id, rest[8])).await;
            number += 1;
        }
    }
}

/// A place for a socket.
pub(crate) fn room() -> (TempDir, AbsPath) {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = AbsPath::new(dir.path().join("s")).expect("absolute");
    (dir, socket)
}

pub(crate) fn impatient() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.patience = Duration::ZERO;
    options
}

pub(crate) fn mgr(socket: &AbsPath, options: ClientOptions) -> TarpcMgr {
    TarpcMgr::new(socket.clone(), options)
}

/// A call that may be sent twice.
pub(crate) async fn alloc(mgr: &TarpcMgr) -> Result<Subids, PortError> {
    let size = NonZeroU32::new(65_536).expect("not 0");
    mgr.alloc_subids(&SubidRequest { id: "c1".parse().expect("valid"), size }).await
}

/// A call that may not.
pub(crate) async fn pause(mgr: &TarpcMgr) -> Result<(), PortError> {
    mgr.pause(&"c1".parse().expect("valid")).await
}
