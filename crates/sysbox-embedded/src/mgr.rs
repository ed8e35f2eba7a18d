//! [`EmbeddedMgr`]: the port's calls. One that is about what the database says is one transaction; one that changes files takes
//! its turn ([`Ground`]).

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use async_trait::async_trait;
use rusqlite::Connection;
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, FsEntry, FsStateRequest, HostPort, IdOffsets, MgrPort, Mount,
    MountRequests, MountsToPrepare, Operation, PortError, Registration, ShiftfsMark, ShiftfsMarks,
    SubidRequest, Subids, Update,
};

use crate::{
    alloc, clone,
    config::Config,
    disk::Disk,
    error::{Fault, OpenError},
    files::{self, ContainerDirs, Intent},
    fs_state, gone,
    ground::{Ground, Turn},
    host_facts::{Boot, Shifting},
    lifecycle, marks,
    namespaces::{Namespace, Namespaces},
    pools::PoolSource,
    prepared,
    progress::{Tell, Watcher},
    record::ContainerState,
    register, registry, remove, stop,
    store::Store,
    subids::{self, SubidPools, SubidPoolsError},
    upper, volumes,
    watch::Bell,
};

/// How many stopped containers a registration looks at, whether their rootfs is gone.
const LOOKED_AT: usize = 4;

/// A manager that needs no daemon: it does its work in the calling process and keeps its state in a data root.
///
/// A call is done when its future is first polled, without a runtime. Any number of these, in any number of processes, can
/// use one data root. A process that is killed within a call leaves it undone, or to be finished, by the next call for that
/// container or by [`repair`](Self::repair).
///
/// A container that was running when the host went down is stopped at the next start of the host: no process outlives it.
#[derive(Debug)]
pub struct EmbeddedMgr {
    data_root: AbsPath,
    host: Arc<dyn HostPort>,
    pools: PoolSource,
    pub(crate) store: Store,
    /// What processes before this one found the host to be able to.
    remembered: Shifting,
    /// The same, with what this one found.
    shifting: OnceLock<Shifting>,
    watcher: Watcher,
    /// Tells a thread that waits for rootfs to go.
    pub(crate) bell: OnceLock<Bell>,
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
        let (shifting, watcher, bell) = (OnceLock::new(), Watcher::default(), OnceLock::new());
        Ok(Self { data_root, host, pools, store, remembered, shifting, watcher, bell })
    }

    /// The same, telling how far long work has come: copies of volumes and shifts of owners. It is told from several threads.
    #[must_use]
    pub fn with_progress(self, tell: Arc<Tell>) -> Self {
        Self { watcher: Watcher::new(tell), ..self }
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
        let config = self.register_now(request);
        config.map_err(|fault| fault.into_port_error(Operation::Register, &request.id))
    }

    async fn update(&self, request: &Update) -> Result<(), PortError> {
        self.update_now(request).map_err(|fault| fault.into_port_error(Operation::Update, &request.id))
    }

    async fn unregister(&self, id: &ContainerId) -> Result<(), PortError> {
        let plain = |db: &Connection| lifecycle::unregister(db, id);
        let with_files = |ground: &Ground<'_>, turn: &Turn| {
            let effects = |(): &()| stop::stop(ground, turn).map_err(Fault::whatever_its_state);
            ground.carry_out(turn, Intent::Stop, plain, effects, |db, (), ()| stop::note_stopped(db, turn.nr))
        };
        let outcome = self.either(Operation::Unregister, id, plain, with_files);
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
        outcome
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), PortError> {
        self.remove_now(id).map_err(|fault| fault.into_port_error(Operation::Remove, id))
    }

    async fn alloc_subids(&self, request: &SubidRequest) -> Result<Subids, PortError> {
        let alloc = || {
            self.store.write(|db| {
                let container = lifecycle::known(db, &request.id)?;
                let pools = || Ok(self.pools.current()?);
                alloc::alloc(db, &request.id, container.userns, request.size.get(), pools)
            })
        };
        let outcome = match alloc() {
            Err(fault) if fault.is_exhaustion() && self.release_gone() > 0 => alloc(),
            outcome => outcome,
        };
        outcome.map_err(|fault| fault.into_port_error(Operation::AllocSubids, &request.id))
    }

    async fn prep_mounts(&self, request: &MountsToPrepare) -> Result<(), PortError> {
        prepared::prepare(&self.ground(), request)
            .map_err(|fault| fault.into_port_error(Operation::PrepMounts, &request.id))
    }

    async fn req_mounts(&self, request: &MountRequests) -> Result<Vec<Mount>, PortError> {
        volumes::request(&self.ground(), request)
            .map_err(|fault| fault.into_port_error(Operation::ReqMounts, &request.id))
    }

    async fn req_shiftfs_mark(&self, request: &ShiftfsMarks) -> Result<Vec<ShiftfsMark>, PortError> {
        marks::mark(&self.ground(), request)
            .map_err(|fault| fault.into_port_error(Operation::ReqShiftfsMark, &request.id))
    }

    async fn req_fs_state(&self, request: &FsStateRequest) -> Result<Vec<FsEntry>, PortError> {
        let known = self.store.read(|db| lifecycle::known(db, &request.id).map(drop));
        known
            .and_then(|()| fs_state::entries(&*self.host, request))
            .map_err(|fault| fault.into_port_error(Operation::ReqFsState, &request.id))
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), PortError> {
        let rule = |db: &Connection| lifecycle::pausable(db, id);
        self.turn_to(Operation::Pause, Intent::Pause, id, rule, stop::pause, ContainerState::Paused)
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), PortError> {
        let rule = |db: &Connection| lifecycle::resumable(db, id);
        self.turn_to(Operation::Resume, Intent::Resume, id, rule, stop::resume, ContainerState::Running)
    }

    async fn clone_rootfs(&self, id: &ContainerId) -> Result<AbsPath, PortError> {
        clone::clone(&self.ground(), id).map_err(|fault| fault.into_port_error(Operation::CloneRootfs, id))
    }

    async fn chown_cloned_rootfs(&self, id: &ContainerId, offsets: IdOffsets) -> Result<(), PortError> {
        clone::shift(&self.ground(), id, offsets)
            .map_err(|fault| fault.into_port_error(Operation::ChownClonedRootfs, id))
    }

    async fn revert_cloned_rootfs_chown(&self, id: &ContainerId) -> Result<(), PortError> {
        clone::revert(&self.ground(), id)
            .map_err(|fault| fault.into_port_error(Operation::RevertClonedRootfsChown, id))
    }
}

impl EmbeddedMgr {
    /// What work on files needs.
    pub(crate) fn ground(&self) -> Ground<'_> {
        Ground {
            store: &self.store,
            host: &*self.host,
            data_root: &self.data_root,
            dirs: ContainerDirs::new(self.data_root.clone()),
            watcher: self.watcher.clone(),
        }
    }

    fn register_now(&self, request: &Registration) -> Result<ContainerConfig, Fault> {
        register::refuse_host_root(&request.uid_mappings, &request.gid_mappings)?;
        let (user, net) = (request.userns.as_ref(), request.netns.as_ref());
        let namespaces = Namespaces::to_join(&*self.host, user, net)?;
        // The host is tried before others have to wait for the database.
        let shifting = self.shifting.get_or_init(|| self.remembered.completed(&*self.host, &self.data_root));
        let disk = Disk::that_holds(&request.rootfs).ok();
        let (config, stopped) = self.settled(&request.id, |db| {
            if shifting != &self.remembered {
                shifting.remember(db)?;
            }
            let pools = || Ok(self.pools.current()?);
            let is_there = |namespace: &Namespace| namespace.is_there(&*self.host);
            let (namespaces, now) = (namespaces.clone(), SystemTime::now());
            let config =
                register::register(db, request, namespaces, now, shifting.config(), pools, is_there)?;
            registry::note_disk(db, &request.id, disk)?;
            Ok((config, registry::some_stopped(db, LOOKED_AT)?))
        })?;
        self.release(gone::among(stopped));
        Ok(config)
    }

    fn update_now(&self, request: &Update) -> Result<(), Fault> {
        let (user, net) = (request.userns.as_ref(), request.netns.as_ref());
        let namespaces = Namespaces::of_running(&*self.host, user, net);
        let rootfs = self.store.read(|db| Ok(lifecycle::known(db, &request.id)?.rootfs))?;
        let upper = upper::of_update(&*self.host, &rootfs, request);
        self.settled(&request.id, |db| {
            lifecycle::update(db, request, namespaces.clone())?;
            if let Some(upper) = &upper {
                let nr = lifecycle::number(db, &request.id)?;
                files::give(db, nr, &request.id)?;
                upper::remember(db, nr, upper)?;
            }
            Ok(())
        })
    }

    pub(crate) fn remove_now(&self, id: &ContainerId) -> Result<(), Fault> {
        self.choose(id, |db| remove::forget_plain(db, id), remove::remove)
    }

    /// The same, but `false` where somebody else is at work on the container's files: others need not wait for that.
    fn remove_if_free(&self, id: &ContainerId) -> Result<bool, Fault> {
        let has_files = self.store.write(|db| match files::of(db, id)? {
            Some(_) => Ok(true),
            None => remove::forget_plain(db, id).map(|()| false),
        })?;
        if !has_files {
            return Ok(true);
        }
        let ground = self.ground();
        let Some(turn) = ground.try_turn(id)? else { return Ok(false) };
        remove::remove(&ground, &turn).map(|()| true)
    }

    /// Releases containers whose rootfs is gone, and tells how many.
    pub(crate) fn release_gone(&self) -> usize {
        match self.store.read(registry::list) {
            Ok(all) => self.release(gone::among(all)),
            Err(fault) => {
                tracing::warn!(?fault, "containers whose rootfs is gone are not looked for");
                0
            }
        }
    }

    /// Removes containers that nobody will start again, as far as that can be done now, and tells how many.
    fn release(&self, gone: Vec<ContainerId>) -> usize {
        let remove = |id: &ContainerId| match self.remove_if_free(id) {
            Ok(false) => false,
            Ok(true) => {
                tracing::info!(container = %id, "its rootfs is gone: it is released");
                true
            }
            Err(fault) => {
                tracing::warn!(container = %id, ?fault, "its rootfs is gone, but it cannot be released");
                false
            }
        };
        gone.into_iter().filter(remove).count()
    }

    /// Changes the database, after what was left half done with the container's files is settled.
    fn settled<T>(
        &self,
        id: &ContainerId,
        work: impl Fn(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        loop {
            let outcome = self.store.write(|db| match files::of(db, id)? {
                Some(files) if files.intent.is_some() => Ok(None),
                _ => work(db).map(Some),
            })?;
            match outcome {
                Some(outcome) => return Ok(outcome),
                None => self.ground().turn(id).map(drop)?,
            }
        }
    }

    /// Does `plain` in one transaction for a container without files, else `with_files` in its turn.
    fn choose<T>(
        &self,
        id: &ContainerId,
        plain: impl FnOnce(&Connection) -> Result<T, Fault>,
        with_files: impl FnOnce(&Ground<'_>, &Turn) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let outcome = self.store.write(|db| match files::of(db, id)? {
            Some(_) => Ok(None),
            None => plain(db).map(Some),
        })?;
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
        let ground = self.ground();
        let turn = ground.turn(id)?;
        with_files(&ground, &turn)
    }

    fn either<T>(
        &self,
        operation: Operation,
        id: &ContainerId,
        plain: impl FnOnce(&Connection) -> Result<T, Fault>,
        with_files: impl FnOnce(&Ground<'_>, &Turn) -> Result<T, Fault>,
    ) -> Result<T, PortError> {
        self.choose(id, plain, with_files).map_err(|fault| fault.into_port_error(operation, id))
    }

    /// Brings a container to another state.
    fn turn_to(
        &self,
        operation: Operation,
        intent: Intent,
        id: &ContainerId,
        rule: impl Fn(&Connection) -> Result<(), Fault>,
        effects: impl Fn(&Ground<'_>, &Turn) -> Result<(), Fault>,
        state: ContainerState,
    ) -> Result<(), PortError> {
        let note = |db: &Connection| lifecycle::note_state(db, id, state);
        let plain = |db: &Connection| rule(db).and_then(|()| note(db));
        self.either(operation, id, plain, |ground, turn| {
            ground.carry_out(turn, intent, &rule, |()| effects(ground, turn), |db, (), ()| note(db))
        })
    }
}

/// The fault of something that is done for no container.
pub(crate) fn open_error(fault: Fault) -> OpenError {
    let files = |message: &str, source: Box<dyn std::error::Error + Send + Sync>| OpenError::Files {
        message: message.to_owned(),
        source: Some(source),
    };
    match fault {
        Fault::State(error) => error,
        Fault::Files { message, source } => files(&message, source),
        Fault::Refused { message, .. } => OpenError::Files { message, source: None },
        Fault::Host { message, source, .. } => files(&message, source.into()),
        Fault::Accounts(error) => files("has account files that are not valid", error.into()),
        Fault::Sqlite(error) => files("has a database that cannot be used", error.into()),
    }
}
