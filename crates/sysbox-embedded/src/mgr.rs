//! [`EmbeddedMgr`]: the port's calls, each one transaction on the database.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use async_trait::async_trait;
use rusqlite::Connection;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, ErrorKind, FsEntry, FsStateRequest, HostPort, IdOffsets, MgrPort,
    Mount, MountRequests, MountsToPrepare, Operation, PortError, Registration, ShiftfsMark, ShiftfsMarks,
    SubidRequest, Subids, Update,
};

use crate::{
    alloc,
    config::Config,
    error::{Fault, OpenError},
    gone,
    host_facts::{Boot, Shifting},
    lifecycle,
    namespaces::{Namespace, Namespaces},
    pools::PoolSource,
    record::ContainerRecord,
    register, registry,
    store::Store,
    subids::{self, SubidPools, SubidPoolsError},
};

/// A manager that needs no daemon: it does its work in the calling process and keeps its state in a data root.
///
/// A call is done when its future is first polled, without a runtime. Any number of these, in any number of processes, can
/// use one data root; a process killed within a call leaves that call undone and nothing else.
///
/// A container that was running when the host went down is stopped at the next start of the host: no process outlives it.
#[derive(Debug)]
pub struct EmbeddedMgr {
    data_root: AbsPath,
    host: Arc<dyn HostPort>,
    pools: PoolSource,
    store: Store,
    /// What processes before this one found the host to be able to.
    remembered: Shifting,
    /// The same, with what this one found.
    shifting: OnceLock<Shifting>,
}

impl EmbeddedMgr {
    /// Opens the state in the data root, or makes it. Asks the host for its boot id and kernel release.
    ///
    /// # Errors
    /// [`OpenError`] when the data root or the database in it cannot be used; nothing has been changed then, save that a
    /// corrupt database was moved aside.
    pub fn open(config: Config, host: Arc<dyn HostPort>) -> Result<Self, OpenError> {
        let Config { data_root, subids, accounts, connections } = config;
        let store = Store::new(&data_root, Boot::of(&*host)?, connections)?;
        let remembered = store.read(Shifting::remembered).map_err(open_error)?;
        let pools = PoolSource::new(subids, accounts);
        Ok(Self { data_root, host, pools, store, remembered, shifting: OnceLock::new() })
    }

    /// Every container that is registered or may be started again, by id.
    ///
    /// # Errors
    /// [`OpenError`] when the database cannot be used.
    pub fn list(&self) -> Result<Vec<ContainerRecord>, OpenError> {
        self.store.read(registry::list).map_err(open_error)
    }

    /// The ids in force, where they come from, and how much of them is used.
    ///
    /// # Errors
    /// [`SubidPoolsError`] when an account file or the database cannot be used.
    pub fn subid_pools(&self) -> Result<SubidPools, SubidPoolsError> {
        let pools = self.pools.current()?;
        Ok(self.store.read(|db| subids::report(db, &pools)).map_err(open_error)?)
    }
}

#[async_trait]
impl MgrPort for EmbeddedMgr {
    async fn register(&self, request: &Registration) -> Result<ContainerConfig, PortError> {
        self.register_now(request).map_err(|fault| fault.into_port_error(Operation::Register, &request.id))
    }

    async fn update(&self, request: &Update) -> Result<(), PortError> {
        let (user, net) = (request.userns.as_ref(), request.netns.as_ref());
        let namespaces = Namespaces::of_running(&*self.host, user, net);
        self.change(Operation::Update, &request.id, |db| lifecycle::update(db, request, namespaces))
    }

    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        self.change(Operation::Unregister, id, |db| lifecycle::unregister(db, id))
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        self.change(Operation::Remove, id, |db| lifecycle::remove(db, id))
    }

    async fn alloc_subids(&self, request: &SubidRequest) -> Result<Subids, PortError> {
        self.change(Operation::AllocSubids, &request.id, |db| {
            let container = lifecycle::known(db, &request.id)?;
            let alloc = || {
                let pools = || Ok(self.pools.current()?);
                alloc::alloc(db, &request.id, container.userns, request.size.get(), pools)
            };
            match alloc() {
                Err(fault) if fault.is_exhaustion() && gone::remove(db)? > 0 => alloc(),
                outcome => outcome,
            }
        })
    }

    async fn prep_mounts(&self, request: &MountsToPrepare) -> Result<(), PortError> {
        self.not_done_here(Operation::PrepMounts, &request.id)
    }

    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        let (operation, id) = (Operation::ReqMounts, &request.id);
        if request.mounts.is_empty() {
            return self.look(operation, id, |db| lifecycle::known(db, id).map(|_| Vec::new()));
        }
        self.not_done_here(operation, id)
    }

    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        self.not_done_here(Operation::ReqShiftfsMark, &request.id)
    }

    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        self.not_done_here(Operation::ReqFsState, &request.id)
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), PortError> {
        self.change(Operation::Pause, id, |db| lifecycle::pause(db, id))
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), PortError> {
        self.change(Operation::Resume, id, |db| lifecycle::resume(db, id))
    }

    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        self.not_done_here(Operation::CloneRootfs, id)
    }

    async fn chown_cloned_rootfs(&self, id: &ContainerId, _offsets: IdOffsets) -> Result<(), PortError> {
        self.not_done_here(Operation::ChownClonedRootfs, id)
    }

    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError> {
        self.not_done_here(Operation::RevertClonedRootfsChown, id)
    }
}

impl EmbeddedMgr {
    fn register_now(&self, request: &Registration) -> Result<ContainerConfig, Fault> {
        register::refuse_host_root(&request.uid_mappings, &request.gid_mappings)?;
        let (user, net) = (request.userns.as_ref(), request.netns.as_ref());
        let namespaces = Namespaces::to_join(&*self.host, user, net)?;
        // The host is tried before others have to wait for the database.
        let shifting = self.shifting.get_or_init(|| self.remembered.completed(&*self.host, &self.data_root));
        self.store.write(|db| {
            if shifting != &self.remembered {
                shifting.remember(db)?;
            }
            let pools = || Ok(self.pools.current()?);
            let is_there = |namespace: &Namespace| namespace.is_there(&*self.host);
            register::register(db, request, namespaces, SystemTime::now(), shifting.config(), pools, is_there)
        })
    }

    fn change<T>(
        &self,
        operation: Operation,
        id: &ContainerId,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, PortError> {
        self.store.write(work).map_err(|fault| fault.into_port_error(operation, id))
    }

    fn look<T>(
        &self,
        operation: Operation,
        id: &ContainerId,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, PortError> {
        self.store.read(work).map_err(|fault| fault.into_port_error(operation, id))
    }

    fn not_done_here<T>(&self, operation: Operation, id: &ContainerId) -> Result<T, PortError> {
        self.look(operation, id, |db| {
            lifecycle::known(db, id)?;
            let message = format!(
                "needs {operation:?}, which the embedded manager does not do; choose another backend"
            );
            Err(Fault::refused(ErrorKind::Unimplemented, message))
        })
    }
}

fn open_error(fault: Fault) -> OpenError {
    match fault {
        Fault::State(error) => error,
        fault => unreachable!("reading refuses nothing: {fault:?}"),
    }
}
