//! An fs daemon with a flaw.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sysbox_core::{AbsPath, ContainerData, FsPort, Operation, PortError};

use super::{
    breaks::{Break, Flawed, altered, nowhere},
    habit::Habit,
};

#[async_trait]
impl FsPort for Flawed<dyn FsPort> {
    async fn mountpoint(&self) -> Result<AbsPath, PortError> {
        let mountpoint = self.judged(Operation::FsMountpoint, self.port.mountpoint().await, nowhere)?;
        if self.has(Habit::MountpointMoves) && self.busy.swap(true, Ordering::AcqRel) {
            return Ok(nowhere());
        }
        Ok(altered!(self, Mountpoint, mountpoint))
    }

    async fn pre_register(&self, container: &ContainerData) -> Result<(), PortError> {
        let data = self.data(Operation::FsPreRegister, container);
        self.done(Operation::FsPreRegister, self.port.pre_register(&data)).await
    }

    async fn register(&self, container: &ContainerData) -> Result<(), PortError> {
        let data = self.data(Operation::FsRegister, container);
        self.done(Operation::FsRegister, self.port.register(&data)).await
    }

    async fn update(&self, container: &ContainerData) -> Result<(), PortError> {
        let data = self.data(Operation::FsUpdate, container);
        self.done(Operation::FsUpdate, self.port.update(&data)).await
    }

    async fn unregister(&self, container: &ContainerData) -> Result<(), PortError> {
        let data = self.data(Operation::FsUnregister, container);
        self.done(Operation::FsUnregister, self.port.unregister(&data)).await
    }
}

impl Flawed<dyn FsPort> {
    fn data(&self, operation: Operation, container: &ContainerData) -> ContainerData {
        let mut data = ContainerData { id: self.id(operation, &container.id), ..container.clone() };
        match self.breaks {
            Break::Data(broken, alter) if broken == operation => alter(&mut data),
            _ => {}
        }
        data
    }
}
