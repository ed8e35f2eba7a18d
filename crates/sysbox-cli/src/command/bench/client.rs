//! A caller of one way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use sysbox::{
    AbsPath, FsPort, MgrPort,
    grpc::{GrpcFs, GrpcMgr},
    tarpc::{TarpcFs, TarpcMgr},
    transport::{ClientOptions, dial},
};

use super::{
    Model, Way,
    ping::{Lengths, Pinger},
    serve::sockets,
    step::{Requests, Step},
};

/// How long the messages of the floor are, by call.
pub(crate) type LengthsOf = BTreeMap<Step, Lengths>;

/// The sockets of a server that are called.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    pub(crate) mgr: AbsPath,
    pub(crate) fs: AbsPath,
}

impl Sockets {
    /// Those of a server with this directory.
    pub(crate) fn plain(dir: &AbsPath) -> anyhow::Result<Self> {
        Self::named(dir, sockets::MGR, sockets::FS)
    }

    /// Those where what goes over is counted.
    pub(crate) fn counted(dir: &AbsPath) -> anyhow::Result<Self> {
        Self::named(dir, sockets::COUNTED_MGR, sockets::COUNTED_FS)
    }

    fn named(dir: &AbsPath, mgr: &str, fs: &str) -> anyhow::Result<Self> {
        let path = |name| AbsPath::new(dir.as_path().join(name));
        Ok(Self { mgr: path(mgr)?, fs: path(fs)? })
    }
}

/// Who calls.
#[derive(Debug)]
pub(crate) enum Client {
    /// The same ports for every call.
    Kept(Arc<dyn MgrPort>, Arc<dyn FsPort>),
    /// New ones for each call.
    PerCall(Sockets),
    /// None: only messages.
    Ping(Pinger, Arc<LengthsOf>),
}

impl Client {
    /// A caller in this process.
    pub(crate) fn in_process(model: &Arc<Model>) -> Self {
        Self::Kept(model.clone(), model.clone())
    }

    /// A caller of a server, within a runtime. Those of one kept connection share it by [`another`](Self::another).
    pub(crate) async fn of_server(
        way: Way,
        sockets: Sockets,
        lengths: &Arc<LengthsOf>,
    ) -> anyhow::Result<Self> {
        let options = ClientOptions::default();
        Ok(match way {
            Way::InProcess | Way::PingPong => {
                let stream = dial(&sockets.mgr, Duration::ZERO).await?;
                Self::Ping(Pinger::new(stream), lengths.clone())
            }
            Way::Tarpc => {
                let (mgr, fs) = (TarpcMgr::new(sockets.mgr, options), TarpcFs::new(sockets.fs, options));
                Self::Kept(Arc::new(mgr), Arc::new(fs))
            }
            Way::Grpc => {
                let (mgr, fs) = (GrpcMgr::new(sockets.mgr, options), GrpcFs::new(sockets.fs, options));
                Self::Kept(Arc::new(mgr), Arc::new(fs))
            }
            Way::GrpcPerCall => Self::PerCall(sockets),
        })
    }

    /// Another caller of the same connection; `None` where each needs its own.
    pub(crate) fn another(&self) -> Option<Self> {
        match self {
            Self::Kept(mgr, fs) => Some(Self::Kept(mgr.clone(), fs.clone())),
            Self::PerCall(sockets) => Some(Self::PerCall(sockets.clone())),
            Self::Ping(..) => None,
        }
    }

    /// Makes a call, and waits for the answer.
    pub(crate) async fn call(&mut self, step: Step, requests: &Requests) -> anyhow::Result<()> {
        let called = match self {
            Self::Kept(mgr, fs) => step.call(&**mgr, &**fs, requests).await,
            Self::PerCall(sockets) => {
                let options = ClientOptions::default();
                let mgr = GrpcMgr::new(sockets.mgr.clone(), options);
                let fs = GrpcFs::new(sockets.fs.clone(), options);
                step.call(&mgr, &fs, requests).await
            }
            Self::Ping(pinger, lengths) => {
                let lengths = lengths.get(&step).context("the length of the call's messages is not known")?;
                return pinger.ping(*lengths).await.context("the ping-pong was not answered");
            }
        };
        called.with_context(|| format!("{} was not answered", step.name()))
    }
}
