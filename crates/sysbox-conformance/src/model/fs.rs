//! The model as an fs daemon: a container is pre-registered, registered, and forgotten.

use std::collections::{HashMap, hash_map::Entry};

use async_trait::async_trait;
use sysbox_core::{AbsPath, ContainerData, ContainerId, ErrorKind, FsPort, Operation, PortError};

use super::{Model, refusal::Refusal};

/// Where sysbox-fs has it.
const MOUNTPOINT: &str = "/var/lib/sysboxfs";

/// How far each known container has come.
#[derive(Debug, Default)]
pub(super) struct FsDaemon(HashMap<ContainerId, Stage>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    PreRegistered,
    Registered,
}

impl FsDaemon {
    fn pre_register(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        match self.0.entry(id.clone()) {
            Entry::Occupied(_) => {
                let message = "is known already; choose another id, or unregister it first";
                Err(Refusal::new(ErrorKind::AlreadyExists, message))
            }
            Entry::Vacant(unknown) => {
                unknown.insert(Stage::PreRegistered);
                Ok(())
            }
        }
    }

    fn register(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        match self.0.get_mut(id) {
            None => Err(unknown()),
            Some(Stage::Registered) => {
                let message = "is registered already; unregister it first";
                Err(Refusal::new(ErrorKind::AlreadyExists, message))
            }
            Some(stage) => {
                *stage = Stage::Registered;
                Ok(())
            }
        }
    }

    fn update(&self, id: &ContainerId) -> Result<(), Refusal> {
        if self.0.contains_key(id) { Ok(()) } else { Err(unknown()) }
    }

    fn unregister(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        self.0.remove(id).map(drop).ok_or_else(unknown)
    }
}

#[async_trait]
impl FsPort for Model {
    async fn mountpoint(&self) -> Result<AbsPath, PortError> {
        let operation = Operation::FsMountpoint;
        AbsPath::new(MOUNTPOINT)
            .map_err(|invalid| PortError::new(operation, ErrorKind::Internal, invalid.to_string()))
    }

    async fn pre_register(&self, container: &ContainerData) -> Result<(), PortError> {
        let id = &container.id;
        self.daemon(|fs| fs.pre_register(id)).map_err(|refusal| refusal.of(Operation::FsPreRegister, id))
    }

    async fn register(&self, container: &ContainerData) -> Result<(), PortError> {
        let id = &container.id;
        self.daemon(|fs| fs.register(id)).map_err(|refusal| refusal.of(Operation::FsRegister, id))
    }

    async fn update(&self, container: &ContainerData) -> Result<(), PortError> {
        let id = &container.id;
        self.daemon(|fs| fs.update(id)).map_err(|refusal| refusal.of(Operation::FsUpdate, id))
    }

    async fn unregister(&self, container: &ContainerData) -> Result<(), PortError> {
        let id = &container.id;
        self.daemon(|fs| fs.unregister(id)).map_err(|refusal| refusal.of(Operation::FsUnregister, id))
    }
}

fn unknown() -> Refusal {
    Refusal::new(ErrorKind::NotFound, "is not known; pre-register it first, or check its id")
}
