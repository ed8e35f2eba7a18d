//! The fs daemon behind a socket: a daemon of this project.
//!
//! Each call is one message there and one back; all that has to do with the connection is in `connection`.

use async_trait::async_trait;
use sysbox_core::{AbsPath, ContainerData, FsPort, Operation, PortError};
use sysbox_transport::ClientOptions;

use crate::{
    connection::{Daemon, Request},
    hello::Service,
    service::{FsAnswer, FsRequest},
};

/// The fs daemon that listens on a socket.
///
/// The connection is made at the first call, kept, and shared by all clones and callers, as that of
/// [`TarpcMgr`](crate::TarpcMgr) is.
///
/// ```no_run
/// use sysbox_core::{AbsPath, FsPort};
/// use sysbox_transport_tarpc::{ClientOptions, TarpcFs};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let fs = TarpcFs::new(AbsPath::new("/run/sysbox/sysfs.sock")?, ClientOptions::default());
/// println!("emulated files are below {}", fs.mountpoint().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TarpcFs(Daemon<FsRequest>);

impl TarpcFs {
    /// The fs daemon that listens on a socket. Nothing is connected before the first call.
    pub fn new(socket: AbsPath, options: ClientOptions) -> Self {
        Self(Daemon::new(socket, options))
    }

    /// Asks for what is answered without a value.
    async fn ask(&self, request: FsRequest) -> Result<(), PortError> {
        let operation = request.operation();
        self.0.ask(request, |answer| (answer.operation() == operation).then_some(Ok(()))).await
    }
}

impl Request for FsRequest {
    const SERVICE: Service = Service::FS;
    type Answer = FsAnswer;

    fn operation(&self) -> Operation {
        self.operation()
    }
}

#[async_trait]
impl FsPort for TarpcFs {
    async fn mountpoint(&self) -> Result<AbsPath, PortError> {
        let read = |answer| match answer {
            FsAnswer::Mountpoint(path) => Some(path.try_into()),
            _ => None,
        };
        self.0.ask(FsRequest::Mountpoint, read).await
    }

    async fn pre_register(&self, container: &ContainerData) -> Result<(), PortError> {
        self.ask(FsRequest::PreRegister(container.clone().into())).await
    }

    async fn register(&self, container: &ContainerData) -> Result<(), PortError> {
        self.ask(FsRequest::Register(container.clone().into())).await
    }

    async fn update(&self, container: &ContainerData) -> Result<(), PortError> {
        self.ask(FsRequest::Update(container.clone().into())).await
    }

    async fn unregister(&self, container: &ContainerData) -> Result<(), PortError> {
        self.ask(FsRequest::Unregister(container.clone().into())).await
    }
}
