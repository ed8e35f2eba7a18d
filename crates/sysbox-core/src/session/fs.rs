//! The facade of the fs daemon. Go: `Fs`, `FsRegInfo`.

use std::{os::fd::BorrowedFd, sync::Arc, time::SystemTime};

use oci_spec::runtime::Spec;

use super::{SessionError, mgr::done_if};
use crate::{
    AbsPath, ContainerData, ContainerId, ErrorKind, FsPort, HostGid, HostUid, IdRange, InvalidIdRange,
    Operation, PortError, SeccompPort, port::SeccompInit, syscont,
};

#[cfg(test)]
mod tests;

/// How a daemon answers that it does not know a container.
const GONE: [ErrorKind; 2] = [ErrorKind::NotFound, ErrorKind::Unimplemented];

/// How far the container has come with the fs daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    New,
    PreRegistered,
    Registered,
}

/// What the fs daemon is told of a container when it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsRegInfo {
    /// Its host name.
    pub hostname: Option<String>,
    /// Its init process, in the caller's pid namespace.
    pub pid: i32,
    /// The host's id of user 0 inside.
    pub uid: HostUid,
    /// The host's id of group 0 inside.
    pub gid: HostGid,
    /// How many users, and as many groups, it has.
    pub id_size: u32,
    /// Paths below `/proc` that are read-only inside.
    pub proc_ro_paths: Vec<AbsPath>,
    /// Paths below `/proc` that are masked inside.
    pub proc_mask_paths: Vec<AbsPath>,
}

/// A container's side of the fs daemon.
///
/// Every call fails with [`SessionError::Call`] when the backend says no, and with [`SessionError::Disabled`] when there is none.
///
/// A call is remembered once it was answered. Where its future is dropped before, it may have been carried out, and nothing here
/// knows of it: [`Sysbox::purge`](super::Sysbox::purge) asks the daemon whatever is remembered, and undoes it.
#[derive(Debug)]
pub struct Fs {
    pub(super) id: ContainerId,
    pub(super) port: Option<Arc<dyn FsPort>>,
    pub(super) seccomp: Option<Arc<dyn SeccompPort>>,
    pub(super) stage: Stage,
    pub(super) mountpoint: Option<AbsPath>,
}

impl Fs {
    /// The side of a container that is not known yet; without a port it is disabled.
    pub fn new(
        id: ContainerId,
        port: Option<Arc<dyn FsPort>>,
        seccomp: Option<Arc<dyn SeccompPort>>,
    ) -> Self {
        Self { id, port, seccomp, stage: Stage::New, mountpoint: None }
    }

    /// Whether there is an fs daemon to call.
    #[doc(alias = "Enabled")]
    pub const fn enabled(&self) -> bool {
        self.port.is_some()
    }

    /// Whether somebody takes seccomp descriptors ([`send_seccomp_init`](Self::send_seccomp_init)).
    pub const fn takes_seccomp(&self) -> bool {
        self.seccomp.is_some()
    }

    /// Whether the container is registered.
    pub fn is_registered(&self) -> bool {
        self.stage == Stage::Registered
    }

    /// Where the emulated files are, once [`get_config`](Self::get_config) has asked.
    pub const fn mountpoint(&self) -> Option<&AbsPath> {
        self.mountpoint.as_ref()
    }

    /// Asks where the emulated files are, and remembers it.
    ///
    /// A daemon that emulates none (`Unimplemented`) has nothing to be told of containers: from that answer on this is disabled,
    /// as it is without a port.
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "GetConfig")]
    pub async fn get_config(&mut self) -> Result<&AbsPath, SessionError> {
        let answer = self.port(Operation::FsMountpoint)?.mountpoint().await;
        match self.answered(Operation::FsMountpoint, answer) {
            Ok(mountpoint) => Ok(self.mountpoint.insert(mountpoint)),
            Err(error) => {
                if error.is_unimplemented() {
                    *self = Self::new(self.id.clone(), None, None);
                }
                Err(error)
            }
        }
    }

    /// Where the emulated files are, if there are any: [asks](Self::get_config) unless that is known. There are none without an
    /// fs daemon, nor with one that emulates none.
    ///
    /// # Errors
    /// [`SessionError::Call`], save of kind `Unimplemented`.
    pub async fn find_mountpoint(&mut self) -> Result<Option<&AbsPath>, SessionError> {
        if self.enabled() && self.mountpoint.is_none() {
            match self.get_config().await {
                Err(error) if !error.is_unimplemented() => return Err(error),
                _ => {}
            }
        }
        Ok(self.mountpoint())
    }

    /// Makes the container known, with the network namespace that its spec joins.
    ///
    /// # Errors
    /// As every call; [`SessionError::AlreadyPreRegistered`] the second time; [`SessionError::Spec`] when the path of the
    /// namespace is not absolute.
    #[doc(alias = "PreRegister")]
    pub async fn pre_register(&mut self, spec: &Spec) -> Result<(), SessionError> {
        let operation = Operation::FsPreRegister;
        if self.stage != Stage::New {
            return Err(SessionError::AlreadyPreRegistered { container: self.id.clone() });
        }
        let netns = syscont::netns(spec).map_err(|source| SessionError::Spec {
            operation,
            container: self.id.clone(),
            source,
        })?;
        let data = ContainerData { netns, ..self.data() };
        let answer = self.port(operation)?.pre_register(&data).await;
        self.answered(operation, answer)?;
        self.stage = Stage::PreRegistered;
        Ok(())
    }

    /// Registers the pre-registered container.
    ///
    /// # Errors
    /// As every call; [`SessionError::NotPreRegistered`] and [`SessionError::AlreadyRegistered`] out of order. Ids beyond
    /// the greatest are a [`SessionError::Call`] of kind `InvalidArgument`.
    #[doc(alias = "Register")]
    pub async fn register(&mut self, info: &FsRegInfo) -> Result<(), SessionError> {
        let operation = Operation::FsRegister;
        let container = || self.id.clone();
        match self.stage {
            Stage::New => return Err(SessionError::NotPreRegistered { container: container() }),
            Stage::Registered => {
                return Err(SessionError::AlreadyRegistered { operation, container: container() });
            }
            Stage::PreRegistered => {}
        }
        let range = |first, what| {
            let answer = IdRange::new(first, info.id_size).map_err(|source| self.not_a_range(what, source));
            self.answered(operation, answer)
        };
        let data = ContainerData {
            init_pid: Some(info.pid),
            hostname: info.hostname.clone(),
            uids: Some(range(info.uid.0, "user")?),
            gids: Some(range(info.gid.0, "group")?),
            proc_ro_paths: info.proc_ro_paths.clone(),
            proc_mask_paths: info.proc_mask_paths.clone(),
            ..self.data()
        };
        let answer = self.port(operation)?.register(&data).await;
        self.answered(operation, answer)?;
        self.stage = Stage::Registered;
        Ok(())
    }

    /// Tells when the container was created.
    ///
    /// # Errors
    /// As every call; [`SessionError::CreationTimeBeforeRegister`] before [`register`](Self::register).
    #[doc(alias = "SendCreationTime")]
    pub async fn send_creation_time(&self, created: SystemTime) -> Result<(), SessionError> {
        if self.stage != Stage::Registered {
            return Err(SessionError::CreationTimeBeforeRegister { container: self.id.clone() });
        }
        let data = ContainerData { created: Some(created), ..self.data() };
        let answer = self.port(Operation::FsUpdate)?.update(&data).await;
        self.answered(Operation::FsUpdate, answer)
    }

    /// Hands over the seccomp descriptor of a process of the container, and waits until it was taken.
    ///
    /// # Errors
    /// As every call, [`SessionError::Disabled`] when nobody takes descriptors.
    #[doc(alias = "SendSeccompInit")]
    pub async fn send_seccomp_init(&self, pid: i32, fd: BorrowedFd<'_>) -> Result<(), SessionError> {
        let operation = Operation::SendSeccompInit;
        let disabled = || SessionError::Disabled { operation, container: self.id.clone() };
        let request = SeccompInit { pid, id: self.id.clone() };
        let answer = self.seccomp.as_deref().ok_or_else(disabled)?.send_init(&request, fd).await;
        self.answered(operation, answer)
    }

    /// Makes the container unknown again. Does nothing unless it is pre-registered or registered, and takes it as done
    /// when the daemon knows it no longer, or knows of no containers at all (`Unimplemented`).
    ///
    /// # Errors
    /// As every call.
    #[doc(alias = "Unregister")]
    pub async fn unregister(&mut self) -> Result<(), SessionError> {
        if self.stage == Stage::New {
            return Ok(());
        }
        let answer = self.port(Operation::FsUnregister)?.unregister(&self.data()).await;
        self.answered(Operation::FsUnregister, done_if(answer, &GONE))?;
        self.stage = Stage::New;
        Ok(())
    }

    fn data(&self) -> ContainerData {
        ContainerData::new(self.id.clone())
    }

    fn not_a_range(&self, what: &str, source: InvalidIdRange) -> PortError {
        let message = format!("container {}: its {what} ids are not a range", self.id);
        PortError::new(Operation::FsRegister, ErrorKind::InvalidArgument, message).with_source(source)
    }

    fn port(&self, operation: Operation) -> Result<&dyn FsPort, SessionError> {
        let disabled = || SessionError::Disabled { operation, container: self.id.clone() };
        self.port.as_deref().ok_or_else(disabled)
    }

    fn answered<T>(&self, operation: Operation, answer: Result<T, PortError>) -> Result<T, SessionError> {
        answer.map_err(|source| SessionError::Call { operation, container: self.id.clone(), source })
    }
}
