//! Backends by URL.

use std::sync::Arc;

use sysbox_core::{AbsPath, HostPort, InvalidPath, session::Ports};
#[cfg(any(feature = "grpc", feature = "tarpc"))]
use sysbox_core::{FsPort, MgrPort};

#[cfg(feature = "embedded")]
mod progress;
mod url;

#[cfg(feature = "embedded")]
pub use progress::OnProgress;
pub use url::{BackendUrl, InvalidBackendUrl};

/// What a backend may need besides its URL.
///
/// Start from the default and set what differs: which fields there are depends on the features, and any crate of a program may
/// switch one on.
///
/// ```
/// use sysbox::{AbsPath, BackendOptions};
///
/// let mut options = BackendOptions::default();
/// options.data_root = Some(AbsPath::new("/var/lib/here")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A literal is refused, for it would not compile any more where another crate switches a feature on:
///
/// ```compile_fail
/// let options = sysbox::BackendOptions { data_root: None, ..Default::default() };
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BackendOptions {
    /// The data root of the embedded backend where its URL names none.
    pub data_root: Option<AbsPath>,
    /// Where the embedded backend takes ids from.
    #[cfg(feature = "embedded")]
    pub subids: sysbox_embedded::SubidSource,
    /// Whether the embedded backend keeps its database open, which a process that forks must not.
    #[cfg(feature = "embedded")]
    pub connections: sysbox_embedded::Connections,
    /// Who is told how far long work of the embedded backend has come.
    #[cfg(feature = "embedded")]
    pub progress: Option<OnProgress>,
    /// How calls to daemons wait.
    #[cfg(feature = "sockets")]
    pub client: sysbox_transport::ClientOptions,
}

/// A backend that was opened: the ports for the facades, and what only this backend has.
///
/// A call of the embedded backend does its work, with files and locks, within the first poll of its future. So it holds up the
/// thread that polls, and a timeout around it ends nothing: in an async program make the call on a thread of its own, as with
/// [`blocking::wait`](crate::blocking::wait) in tokio's `spawn_blocking`.
///
/// Who forks keeps to `Connections::PerCall`, the default, and forks while no thread is within a call: in the child a lock that
/// another thread held stays locked, and the next call waits for it for ever.
#[derive(Clone, Debug)]
pub struct Backend {
    ports: Ports,
    #[cfg(feature = "embedded")]
    embedded: Option<Arc<sysbox_embedded::EmbeddedMgr>>,
}

impl Backend {
    /// The data root of the embedded backend where neither URL nor options name one.
    pub const DEFAULT_DATA_ROOT: &str = "/var/lib/sysbox-embedded";
    /// Where daemons that speak gRPC put their sockets, Sysbox's own among them.
    pub const DEFAULT_SOCKET_DIR: &str = "/run/sysbox";
    /// Where daemons that speak tarpc put theirs.
    pub const DEFAULT_TARPC_SOCKET_DIR: &str = "/run/sysbox-tarpc";
    /// The name of the manager's socket.
    pub const MGR_SOCKET: &str = "sysmgr.sock";
    /// The name of the fs daemon's socket.
    pub const FS_SOCKET: &str = "sysfs.sock";
    /// The name of the socket that seccomp descriptors are handed over on.
    pub const SECCOMP_SOCKET: &str = "sysfs-seccomp.sock";

    /// Opens the backend that a URL names. A daemon is connected to by the first call, not here.
    ///
    /// # Errors
    /// [`BackendError`] when it cannot be opened or this build does not have it.
    pub fn open(
        url: &BackendUrl,
        options: &BackendOptions,
        host: Arc<dyn HostPort>,
    ) -> Result<Self, BackendError> {
        match url {
            BackendUrl::Embedded { data_root } => open_embedded(data_root.as_ref(), options, host),
            #[cfg(feature = "grpc")]
            BackendUrl::Grpc { dir } => open_grpc(dir, options),
            #[cfg(not(feature = "grpc"))]
            BackendUrl::Grpc { .. } => Err(BackendError::NotBuilt { feature: "grpc" }),
            #[cfg(feature = "tarpc")]
            BackendUrl::Tarpc { dir } => open_tarpc(dir, options),
            #[cfg(not(feature = "tarpc"))]
            BackendUrl::Tarpc { .. } => Err(BackendError::NotBuilt { feature: "tarpc" }),
        }
    }

    /// Checks, without opening or making anything, that the backend of a URL could give a container `size` ids. Of a daemon
    /// nothing is asked.
    ///
    /// # Errors
    /// [`BackendError`] when it could not, or an account file is not valid.
    pub fn check_ids(url: &BackendUrl, options: &BackendOptions, size: u32) -> Result<(), BackendError> {
        match url {
            #[cfg(feature = "embedded")]
            BackendUrl::Embedded { data_root } => {
                Ok(sysbox_embedded::check_subids(&embedded_config(data_root.as_ref(), options)?, size)?)
            }
            #[cfg(not(feature = "embedded"))]
            BackendUrl::Embedded { .. } => {
                let _ = (options, size);
                Err(BackendError::NotBuilt { feature: "embedded" })
            }
            BackendUrl::Grpc { .. } | BackendUrl::Tarpc { .. } => Ok(()),
        }
    }

    /// The ports, to be given to [`Sysbox::new`](crate::Sysbox::new).
    pub fn ports(&self) -> Ports {
        self.ports.clone()
    }

    /// The embedded manager, if this is it: it can list what it knows.
    #[cfg(feature = "embedded")]
    pub fn embedded(&self) -> Option<&Arc<sysbox_embedded::EmbeddedMgr>> {
        self.embedded.as_ref()
    }
}

#[cfg(feature = "embedded")]
fn open_embedded(
    data_root: Option<&AbsPath>,
    options: &BackendOptions,
    host: Arc<dyn HostPort>,
) -> Result<Backend, BackendError> {
    let mgr = sysbox_embedded::EmbeddedMgr::open(embedded_config(data_root, options)?, host)?;
    let mgr = Arc::new(match &options.progress {
        Some(progress) => mgr.with_progress(progress.teller()),
        None => mgr,
    });
    Ok(Backend { ports: Ports { mgr: Some(mgr.clone()), ..Ports::default() }, embedded: Some(mgr) })
}

#[cfg(not(feature = "embedded"))]
fn open_embedded(
    _: Option<&AbsPath>,
    _: &BackendOptions,
    _: Arc<dyn HostPort>,
) -> Result<Backend, BackendError> {
    Err(BackendError::NotBuilt { feature: "embedded" })
}

#[cfg(feature = "embedded")]
fn embedded_config(
    data_root: Option<&AbsPath>,
    options: &BackendOptions,
) -> Result<sysbox_embedded::Config, BackendError> {
    let default = || AbsPath::new(Backend::DEFAULT_DATA_ROOT);
    let given = data_root.or(options.data_root.as_ref()).cloned();
    let data_root = given.map_or_else(default, Ok).map_err(BackendError::Path)?;
    let mut config = sysbox_embedded::Config::new(data_root);
    config.subids = options.subids.clone();
    config.connections = options.connections;
    Ok(config)
}

#[cfg(feature = "grpc")]
fn open_grpc(dir: &AbsPath, options: &BackendOptions) -> Result<Backend, BackendError> {
    use sysbox_transport_grpc::{GrpcFs, GrpcMgr};

    let mgr = GrpcMgr::new(socket(dir, Backend::MGR_SOCKET)?, options.client);
    let fs = GrpcFs::new(socket(dir, Backend::FS_SOCKET)?, options.client);
    daemons(Arc::new(mgr), Arc::new(fs), dir, options)
}

#[cfg(feature = "tarpc")]
fn open_tarpc(dir: &AbsPath, options: &BackendOptions) -> Result<Backend, BackendError> {
    use sysbox_transport_tarpc::{TarpcFs, TarpcMgr};

    let mgr = TarpcMgr::new(socket(dir, Backend::MGR_SOCKET)?, options.client);
    let fs = TarpcFs::new(socket(dir, Backend::FS_SOCKET)?, options.client);
    daemons(Arc::new(mgr), Arc::new(fs), dir, options)
}

#[cfg(any(feature = "grpc", feature = "tarpc"))]
fn daemons(
    mgr: Arc<dyn MgrPort>,
    fs: Arc<dyn FsPort>,
    dir: &AbsPath,
    options: &BackendOptions,
) -> Result<Backend, BackendError> {
    use sysbox_transport_seccomp::{ClientOptions, SeccompClient};

    let mut as_client = ClientOptions::default();
    (as_client.deadlines, as_client.patience) = (options.client.deadlines, options.client.patience);
    let seccomp = SeccompClient::new(socket(dir, Backend::SECCOMP_SOCKET)?, as_client);
    Ok(Backend {
        ports: Ports { mgr: Some(mgr), fs: Some(fs), seccomp: Some(Arc::new(seccomp)) },
        #[cfg(feature = "embedded")]
        embedded: None,
    })
}

#[cfg(any(feature = "grpc", feature = "tarpc"))]
fn socket(dir: &AbsPath, name: &str) -> Result<AbsPath, BackendError> {
    AbsPath::new(dir.as_path().join(name)).map_err(BackendError::Path)
}

/// A backend could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A path that follows from URL and options is none.
    #[error("the path of the backend's data or sockets is not valid")]
    Path(#[source] InvalidPath),
    /// The embedded manager could not be opened.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Embedded(#[from] sysbox_embedded::OpenError),
    /// It has no ids for containers.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Ids(#[from] sysbox_embedded::SubidPoolsError),
    /// This build is without it.
    #[error("this build has no such backend; build with the feature {feature}")]
    NotBuilt {
        /// The cargo feature.
        feature: &'static str,
    },
}
