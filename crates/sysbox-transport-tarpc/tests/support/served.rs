//! A daemon in the test's own runtime, and clients of it.
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use sysbox_core::{AbsPath, FsPort, MgrPort, PortError, SubidRequest, Subids};
use sysbox_transport::Listener;
use sysbox_transport_tarpc::{ClientOptions, ServeError, ServerOptions, TarpcMgr, serve_fs, serve_mgr};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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

    pub(crate) fn client(&self) -> TarpcMgr {
        TarpcMgr::new(self.socket.clone(), ClientOptions::default())
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        within(self.serving).await.expect("no panic").expect("ended well");
    }
}

/// What must come soon.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, what).await.expect("it comes in time")
}

/// Asks for ids.
pub(crate) async fn alloc(mgr: &TarpcMgr, id: &str) -> Result<Subids, PortError> {
    let size = NonZeroU32::new(65_536).expect("not 0");
    mgr.alloc_subids(&SubidRequest { id: id.parse().expect("valid"), size }).await
}
