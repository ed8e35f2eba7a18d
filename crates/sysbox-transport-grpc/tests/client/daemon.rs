//! Daemons that do what a test wants, and the calls that tests make.

use std::{future::Future, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use sysbox_core::{AbsPath, MgrPort, PortError, SubidRequest, Subids};
use sysbox_transport_grpc::{ClientOptions, GrpcMgr};
use tempfile::TempDir;
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

/// A reply to `alloc_subids`: the ids 7 and 9.
pub(crate) const MESSAGE: &[u8] = &[0, 0, 0, 0, 4, 8, 7, 16, 9];
/// An empty SETTINGS frame, with which every HTTP/2 server begins.
pub(crate) const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

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

    /// Speaks HTTP/2 and answers each request by a function, which is told the number of the request.
    pub(crate) fn answering(
        answer: impl Fn(usize, SendResponse<Bytes>) + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |_, stream| http2(stream, answer.clone()))
    }
}

/// Speaks HTTP/2 on a connection.
pub(crate) async fn http2(stream: UnixStream, answer: impl Fn(usize, SendResponse<Bytes>)) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut kept: Vec<Request<RecvStream>> = Vec::new();
    for number in 0.. {
        let Some(Ok((request, respond))) = connection.accept().await else { return };
        // A request that is dropped before it was read is reset.
        kept.push(request);
        answer(number, respond);
    }
}

pub(crate) fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).expect("valid")
}

/// Answers as a daemon should.
pub(crate) fn well(mut respond: SendResponse<Bytes>) {
    let Ok(mut stream) = respond.send_response(head(), false) else { return };
    let _ = stream.send_data(Bytes::from_static(MESSAGE), false);
    let _ = stream.send_trailers(status("0"));
}

pub(crate) fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), code.parse().expect("valid"))])
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

pub(crate) fn mgr(socket: &AbsPath, options: ClientOptions) -> GrpcMgr {
    GrpcMgr::new(socket.clone(), options)
}

/// A call that may be sent twice.
pub(crate) async fn alloc(mgr: &GrpcMgr) -> Result<Subids, PortError> {
    let size = NonZeroU32::new(65_536).expect("not 0");
    mgr.alloc_subids(&SubidRequest { id: "c1".parse().expect("valid"), size }).await
}

/// A call that may not.
pub(crate) async fn pause(mgr: &GrpcMgr) -> Result<(), PortError> {
    mgr.pause(&"c1".parse().expect("valid")).await
}
