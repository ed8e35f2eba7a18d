//! A daemon in the test's own runtime, and clients of it.
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::{sync::Arc, time::Duration};

use sysbox_core::{AbsPath, FsPort, MgrPort};
use sysbox_transport::Listener;
use sysbox_transport_grpc::{ServeError, ServerOptions, serve_fs, serve_mgr};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// The messages and clients that `cargo xtask codegen` makes; the crate keeps them to itself.
#[path = "../../src/generated.rs"]
pub(crate) mod generated;

pub(crate) use generated::{ext, pb};

pub(crate) type MgrClient = pb::sysbox_mgr_state_channel_client::SysboxMgrStateChannelClient<Channel>;
pub(crate) type FsClient = pb::sysbox_state_channel_client::SysboxStateChannelClient<Channel>;
pub(crate) type ExtClient = ext::manager_extension_client::ManagerExtensionClient<Channel>;

/// No step of a test takes longer.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A daemon that serves one socket.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) socket: AbsPath,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<Result<(), ServeError>>,
    _dir: tempfile::TempDir,
}

impl Served {
    pub(crate) fn mgr(port: impl MgrPort + 'static, options: ServerOptions) -> Self {
        let port = Arc::new(port);
        Self::new(move |listener, stop| {
            tokio::spawn(async move { serve_mgr(port, listener, &options, stop).await })
        })
    }

    pub(crate) fn fs(port: Option<Arc<dyn FsPort>>) -> Self {
        Self::new(move |listener, stop| {
            tokio::spawn(async move { serve_fs(port, listener, &ServerOptions::default(), stop).await })
        })
    }

    fn new(serve: impl FnOnce(Listener, CancellationToken) -> JoinHandle<Result<(), ServeError>>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let run = AbsPath::new(dir.path().join("run")).expect("absolute");
        let listener = Listener::bind(&run, "s").expect("bound");
        let (socket, stop) = (listener.path().clone(), CancellationToken::new());
        let serving = serve(listener, stop.clone());
        Self { socket, stop, serving, _dir: dir }
    }

    pub(crate) async fn channel(&self) -> Channel {
        channel(&self.socket).await
    }

    pub(crate) async fn mgr_client(&self) -> MgrClient {
        MgrClient::new(self.channel().await)
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        within(self.serving).await.expect("no panic").expect("ended well");
    }
}

/// A stock client's connection to a socket.
pub(crate) async fn channel(socket: &AbsPath) -> Channel {
    let endpoint = Endpoint::try_from(format!("unix://{socket}")).expect("a target");
    within(endpoint.connect()).await.expect("connected")
}

/// What must come soon.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, what).await.expect("it comes in time")
}

pub(crate) fn subid_request(id: &str) -> pb::SubidAllocReq {
    pb::SubidAllocReq { id: id.into(), size: 65536 }
}
