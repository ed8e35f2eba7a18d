//! What is between a backend and its caller: a server on unix sockets, and a client of it.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use sysbox::{
    AbsPath, FsPort, MgrPort,
    grpc::{self, GrpcFs, GrpcMgr},
    session::Ports,
    tarpc::{self, TarpcFs, TarpcMgr},
    transport::{ClientOptions, Listener, ServerOptions},
};
use sysbox_conformance::{Ability, BoxError, Lack};
use tokio::{runtime, time::sleep};
use tokio_util::sync::CancellationToken;

/// The names of the sockets.
const MGR: &str = "sysmgr.sock";
const FS: &str = "sysfs.sock";

/// A way to carry calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// gRPC, as Sysbox's own daemons speak it.
    Grpc,
    /// tarpc, between programs of this project.
    Tarpc,
}

impl Transport {
    /// The ports of a client of the server whose sockets are in a directory.
    fn connect(self, sockets: &AbsPath) -> Result<Ports, BoxError> {
        let (mgr, fs) = (sockets.as_path().join(MGR), sockets.as_path().join(FS));
        let (mgr, fs) = (AbsPath::new(mgr)?, AbsPath::new(fs)?);
        let options = ClientOptions::default();
        let (mgr, fs): (Arc<dyn MgrPort>, Arc<dyn FsPort>) = match self {
            Self::Grpc => (Arc::new(GrpcMgr::new(mgr, options)), Arc::new(GrpcFs::new(fs, options))),
            Self::Tarpc => (Arc::new(TarpcMgr::new(mgr, options)), Arc::new(TarpcFs::new(fs, options))),
        };
        Ok(Ports { mgr: Some(mgr), fs: Some(fs), seccomp: None })
    }

    /// Serves until `stop`, on two sockets.
    async fn serve(
        self,
        ports: Ports,
        mgr: Listener,
        fs: Listener,
        stop: CancellationToken,
    ) -> Result<(), BoxError> {
        let port = ports.mgr.ok_or("there is no manager to serve")?;
        let options = ServerOptions::default();
        match self {
            Self::Grpc => {
                let mgr = grpc::serve_mgr(port, mgr, &options, stop.clone());
                tokio::try_join!(mgr, grpc::serve_fs(ports.fs, fs, &options, stop))?;
            }
            Self::Tarpc => {
                let mgr = tarpc::serve_mgr(port, mgr, &options, stop.clone());
                tokio::try_join!(mgr, tarpc::serve_fs(ports.fs, fs, &options, stop))?;
            }
        }
        Ok(())
    }

    /// What cannot be carried.
    pub(super) const fn lacks(self) -> &'static [Lack] {
        match self {
            Self::Grpc => &[
                Lack { ability: Ability::AnyPath, reason: "paths are strings of proto3, which are UTF-8" },
                Lack { ability: Ability::AnyId, reason: "some ids are of proto3's type int32" },
            ],
            Self::Tarpc => &[],
        }
    }
}

/// How long a server that is to end waits for calls that have begun.
const PATIENCE: Duration = Duration::from_secs(2);

/// A server, ended when this is dropped: calls that have begun are carried out first, unless they hang.
#[derive(Debug)]
pub(super) struct Hop {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Hop {
    /// Serves ports on sockets in a directory, and gives those of a client. The sockets are there when this returns.
    pub(super) fn start(
        transport: Transport,
        ports: Ports,
        sockets: &AbsPath,
    ) -> Result<(Self, Ports), BoxError> {
        let stop = CancellationToken::new();
        let (bound, is_bound) = mpsc::channel();
        let (dir, stopped) = (sockets.clone(), stop.clone());
        let serving = move || serve(transport, ports, &dir, stopped, &bound);
        let thread = thread::Builder::new().name(format!("serving {transport:?}")).spawn(serving)?;
        let hop = Self { stop, thread: Some(thread) };
        is_bound.recv()??;
        Ok((hop, transport.connect(sockets)?))
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))), "a server did not end well");
    }
}

/// Does the work of a server's thread, and tells once whether its sockets are there.
fn serve(
    transport: Transport,
    ports: Ports,
    dir: &AbsPath,
    stop: CancellationToken,
    bound: &mpsc::Sender<Result<(), BoxError>>,
) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let sockets = Listener::bind(dir, MGR).and_then(|mgr| Ok((mgr, Listener::bind(dir, FS)?)));
        let (told, sockets) = match sockets {
            Ok(sockets) => (Ok(()), Some(sockets)),
            Err(error) => (Err(error.into()), None),
        };
        bound.send(told).expect("it is waited for");
        if let Some((mgr, fs)) = sockets {
            let told_to_end = stop.clone();
            let serving = transport.serve(ports, mgr, fs, stop);
            tokio::select! {
                ended = serving => ended.expect("it serves until it is told to stop"),
                () = async {
                    told_to_end.cancelled().await;
                    sleep(PATIENCE).await;
                } => {}
            }
        }
    });
    // Calls that hang in a backend on purpose must not keep it.
    runtime.shutdown_background();
}
