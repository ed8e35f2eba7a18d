//! Puts host, backend and the directory of containers together.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use sysbox::{
    AbsPath, Backend, BackendOptions, BackendUrl,
    embedded::{Connections, SubidSource},
    linux::LinuxHost,
    transport::ClientOptions,
};

use crate::{args::WiringArgs, container::Containers, runtime::ManagersBar};

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) host: Arc<LinuxHost>,
    pub(crate) data_root: AbsPath,
    pub(crate) containers: Containers,
    /// Shows how far the embedded manager is with what takes long.
    pub(crate) managers_bar: ManagersBar,
    url: BackendUrl,
    options: BackendOptions,
}

impl Wiring {
    /// Reads the options; nothing is opened or made yet.
    pub(crate) fn new(args: &WiringArgs) -> anyhow::Result<Self> {
        let url = args.backend.clone().unwrap_or_default();
        let data_root = data_root(args, &url)?;
        if args.subid_range.is_some() && !matches!(url, BackendUrl::Embedded { .. }) {
            bail!(
                "--subid-range is for the embedded backend, and the backend is {url} (by --backend or SYSBOX_BACKEND); \
                 give it to the daemon that is there"
            )
        }
        let managers_bar = ManagersBar::default();
        let mut options = BackendOptions::default();
        options.data_root = Some(data_root.clone());
        options.subids = args.subid_range.map_or_else(SubidSource::default, SubidSource::Range);
        options.progress = Some(managers_bar.teller());
        Ok(Self {
            host: Arc::new(LinuxHost::default()),
            containers: Containers::new(&data_root),
            options,
            url,
            data_root,
            managers_bar,
        })
    }

    /// Whether the manager is in this process.
    pub(crate) const fn is_embedded(&self) -> bool {
        matches!(self.url, BackendUrl::Embedded { .. })
    }

    /// A command on this data root, to be shown. It names the data root unless that is the default.
    pub(crate) fn command(&self, verb: &str) -> String {
        if self.data_root.as_path() == Path::new(Backend::DEFAULT_DATA_ROOT) {
            return format!("sysbox {verb}");
        }
        format!("sysbox {verb} --data-root {}", self.data_root)
    }

    /// The URL of the backend, to be kept with a container that was made with it.
    pub(crate) fn url(&self) -> &BackendUrl {
        &self.url
    }

    /// Checks that the backend could give a container so many ids. Nothing is opened or made.
    pub(crate) fn check_ids(&self, size: u32) -> anyhow::Result<()> {
        Ok(Backend::check_ids(&self.url, &self.options, size)?)
    }

    /// Opens the backend. That makes the data root if it is not there.
    pub(crate) fn open(&self) -> anyhow::Result<Backend> {
        self.open_url(&self.url)
    }

    /// Opens the backend for a process that never forks, as a daemon.
    pub(crate) fn open_for_daemon(&self) -> anyhow::Result<Backend> {
        let mut options = self.options.clone();
        options.connections = Connections::Kept;
        options.progress = None;
        Backend::open(&self.url, &options, self.host.clone())
            .with_context(|| format!("cannot open the backend \"{}\"", self.url))
    }

    /// Opens the backend of a URL.
    pub(crate) fn open_url(&self, url: &BackendUrl) -> anyhow::Result<Backend> {
        self.open_with(url, ClientOptions::default())
    }

    /// Opens the backend of a URL; calls to a daemon wait as `client` says.
    pub(crate) fn open_with(&self, url: &BackendUrl, client: ClientOptions) -> anyhow::Result<Backend> {
        let mut options = self.options.clone();
        options.client = client;
        Backend::open(url, &options, self.host.clone())
            .with_context(|| format!("cannot open the backend \"{url}\""))
    }
}

/// One data root holds the state of the containers and of the embedded manager, whichever option names it.
fn data_root(args: &WiringArgs, url: &BackendUrl) -> anyhow::Result<AbsPath> {
    let given = args.data_root.as_deref().map(absolute).transpose().context("--data-root is not valid")?;
    let of_url = match url {
        BackendUrl::Embedded { data_root } => data_root.clone(),
        BackendUrl::Grpc { .. } | BackendUrl::Tarpc { .. } => None,
    };
    match (given, of_url) {
        (Some(given), Some(of_url)) if given != of_url => {
            bail!("--data-root is {given} and --backend says {of_url}; give one of them")
        }
        (Some(path), _) | (None, Some(path)) => Ok(path),
        (None, None) => Ok(AbsPath::new(Backend::DEFAULT_DATA_ROOT)?),
    }
}

/// The path from the root on, by the working directory.
pub(crate) fn absolute(path: &Path) -> anyhow::Result<AbsPath> {
    let absolute = std::path::absolute(path).with_context(|| format!("{path:?} is not a path"))?;
    Ok(AbsPath::new(absolute)?)
}

/// Refuses to go on as anyone but root.
pub(crate) fn require_root() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("this needs root (it makes mounts and user namespaces with ranges of ids); run it with sudo");
    }
    Ok(())
}
