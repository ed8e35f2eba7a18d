//! `sysbox serve`: a backend behind sockets, for other runtimes.
//!
//! One thread serves all connections; calls that block are done on threads of their own.

mod release;
mod sockets;

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use sysbox::{
    Backend, MgrPort, grpc,
    seccomp::serve_seccomp,
    session::Ports,
    syscont, tarpc,
    transport::{Offloaded, PeerPolicy, ServerOptions},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::{release::Releasing, sockets::Sockets};
use crate::{
    args::{ServeArgs, Transport},
    wire_up::{Wiring, absolute, require_root},
};

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    require_root()?;
    let wiring = Wiring::new(&args.wiring)?;
    let dir = args.dir.clone().unwrap_or_else(|| args.transport.default_dir());
    let dir = absolute(&dir).context("--dir is not valid")?;
    if let Some(of_backend) = wiring.url().socket_dir()
        && is_same(of_backend.as_path(), dir.as_path())
    {
        bail!("the backend is the daemon on {dir} itself; give another --backend, or another --dir");
    }
    wiring.check_ids(syscont::DEFAULT_SIZE)?;
    allow_many_connections();
    // As many calls as the server carries out at once.
    let at_once = ServerOptions::default().calls;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(at_once).build()?;
    let backend = wiring.open_for_daemon()?;
    let releasing = backend.embedded().cloned().map(Releasing::start).transpose()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::catch()?;
        let ports = ports(&backend);
        let sockets = Sockets::take_or_bind(&dir, ports.seccomp.is_some())?;
        tell(&[NotifyState::Ready]);
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(version, %dir, backend = %wiring.url(), data_root = %wiring.data_root, "serving");
        let stop = CancellationToken::new();
        let serving = serve(args.transport, ports, sockets, options(args), stop.clone());
        tokio::pin!(serving);
        tokio::select! {
            outcome = &mut serving => return outcome,
            () = signals.next() => {}
        }
        tell(&[NotifyState::Stopping]);
        tracing::info!("stopping; calls that have begun are carried out");
        stop.cancel();
        tokio::select! {
            outcome = &mut serving => outcome,
            () = signals.next() => bail!("ended by a second signal while calls were being carried out"),
        }
    });
    // A call that is still being carried out must not keep a daemon that was told twice to end.
    runtime.shutdown_background();
    if let Some(releasing) = releasing.filter(|_| outcome.is_ok()) {
        releasing.end();
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    resolved(one) == resolved(other)
}

/// The ports of the backend, none of which holds up the thread that serves.
fn ports(backend: &Backend) -> Ports {
    let ports = backend.ports();
    match backend.embedded() {
        Some(embedded) => {
            let mgr: Arc<dyn MgrPort> = Arc::new(Offloaded::new(embedded.clone()));
            Ports { mgr: Some(mgr), ..ports }
        }
        None => ports,
    }
}

fn options(args: &ServeArgs) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.peers = PeerPolicy::with_users(args.peer_uid.iter().copied());
    options
}

/// Serves all sockets until told to stop, or until one cannot be served any more.
async fn serve(
    transport: Transport,
    ports: Ports,
    sockets: Sockets,
    options: ServerOptions,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mgr = ports.mgr.context("the backend has no manager")?;
    let seccomp_options =
        sysbox::seccomp::ServerOptions { peers: options.peers.clone(), ..Default::default() };
    let mgr = async {
        match transport {
            Transport::Grpc => grpc::serve_mgr(mgr, sockets.mgr, &options, stop.clone()).await,
            Transport::Tarpc => tarpc::serve_mgr(mgr, sockets.mgr, &options, stop.clone()).await,
        }
        .map_err(anyhow::Error::from)
    };
    let fs = async {
        match transport {
            Transport::Grpc => grpc::serve_fs(ports.fs, sockets.fs, &options, stop.clone()).await,
            Transport::Tarpc => tarpc::serve_fs(ports.fs, sockets.fs, &options, stop.clone()).await,
        }
        .map_err(anyhow::Error::from)
    };
    let seccomp = async {
        match ports.seccomp.zip(sockets.seccomp) {
            Some((port, listener)) => Ok(serve_seccomp(port, listener, seccomp_options, stop.clone()).await?),
            None => Ok(()),
        }
    };
    tokio::try_join!(mgr, fs, seccomp)?;
    Ok(())
}

/// What tells a daemon to stop.
#[derive(Debug)]
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("cannot catch signals");
        Ok(Self { term: catch(SignalKind::terminate())?, int: catch(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Each connection is a descriptor, and the soft limit is low for the sake of programs that use select(2).
fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(errno) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%errno, "the limit of open files stays low");
    }
}

/// Tells systemd, if it has started this.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
