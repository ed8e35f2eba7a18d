//! Both facades of one container. Go: `Sysbox`.

use std::sync::Arc;

use super::{Fs, Mgr, SessionError, TeardownError};
use crate::{ContainerId, ErrorKind, FsPort, MgrPort, SeccompPort};

/// The backends of a container. One that is missing disables its facade.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// The manager.
    pub mgr: Option<Arc<dyn MgrPort>>,
    /// The fs daemon.
    pub fs: Option<Arc<dyn FsPort>>,
    /// Who takes seccomp descriptors.
    pub seccomp: Option<Arc<dyn SeccompPort>>,
}

/// A container's side of both daemons.
///
/// Where the future of a call is dropped before it is done, what it asked for may have been carried out, and nothing here
/// remembers that: of a longer one, such as [`convert_spec`](Self::convert_spec), any part. Then, as after a crash, call
/// [`purge`](Self::purge); it can itself be dropped, and called again.
#[derive(Debug)]
pub struct Sysbox {
    /// Its side of the manager.
    pub mgr: Mgr,
    /// Its side of the fs daemon.
    pub fs: Fs,
}

impl Sysbox {
    /// The sides of a container that is known nowhere yet.
    ///
    /// ```
    /// use sysbox_core::{Sysbox, session::Ports};
    ///
    /// let sysbox = Sysbox::new("c1".parse()?, Ports::default());
    /// assert!(!sysbox.mgr.enabled() && !sysbox.fs.enabled());
    /// # Ok::<(), sysbox_core::InvalidContainerId>(())
    /// ```
    pub fn new(id: ContainerId, ports: Ports) -> Self {
        Self { mgr: Mgr::new(id.clone(), ports.mgr), fs: Fs::new(id, ports.fs, ports.seccomp) }
    }

    /// The container.
    pub const fn id(&self) -> &ContainerId {
        self.mgr.id()
    }

    /// Undoes what was done with the daemons, in the order of a teardown: the chown of a cloned rootfs is reverted, then the
    /// container is unregistered with the fs daemon and with the manager. Every step is tried; those that have nothing to
    /// undo do nothing, so it can be called at any point and again. A second call tries again what failed.
    ///
    /// # Errors
    /// [`TeardownError`] with every step that failed.
    pub async fn teardown(&mut self) -> Result<(), TeardownError> {
        let mut failures: Vec<SessionError> = Vec::new();
        if self.mgr.is_registered() && self.mgr.is_cloned_rootfs_chowned() {
            failures.extend(self.mgr.revert_cloned_rootfs_chown().await.err());
        }
        failures.extend(self.fs.unregister().await.err());
        failures.extend(self.mgr.unregister().await.err());
        self.outcome(failures)
    }

    /// Makes both daemons forget the container, whatever this side remembers: after [`teardown`](Self::teardown) when it
    /// will not be started again, or instead of it after a crash, when a daemon may know more than the state file says.
    ///
    /// # Errors
    /// [`TeardownError`] with every step that failed. What a daemon does not know is not a failure.
    pub async fn purge(&mut self) -> Result<(), TeardownError> {
        let mut failures: Vec<SessionError> = Vec::new();
        if self.fs.enabled() {
            self.fs.stage = super::fs::Stage::Registered;
            failures.extend(self.fs.unregister().await.err());
        }
        if self.mgr.enabled() {
            failures.extend(self.purge_mgr().await.err());
            failures.extend(self.mgr.remove().await.err());
        }
        self.outcome(failures)
    }

    /// Unregisters with the manager, unless that was done. sysbox-mgr answers `Unknown` to a container that it does not know;
    /// where this side does not know of a registration either, that is what it means.
    async fn purge_mgr(&mut self) -> Result<(), SessionError> {
        use super::mgr::Stage;
        let remembered = std::mem::replace(&mut self.mgr.stage, Stage::Registered);
        if remembered == Stage::Unregistered {
            self.mgr.stage = remembered;
            return Ok(());
        }
        match self.mgr.unregister().await {
            Err(error) if remembered == Stage::New && is_unknown(&error) => {
                self.mgr.stage = Stage::Unregistered;
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn outcome(&self, failures: Vec<SessionError>) -> Result<(), TeardownError> {
        let mut failures = failures.into_iter();
        match failures.next() {
            None => Ok(()),
            Some(first) => {
                let container = self.id().clone();
                Err(TeardownError { container, first: Box::new(first), others: failures.collect() })
            }
        }
    }
}

fn is_unknown(error: &SessionError) -> bool {
    error.port_error().is_some_and(|port| port.kind == ErrorKind::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AbsPath, ContainerConfig, IdOffsets, MockFsPort, MockMgrPort, Operation, PortError};
    use mockall::Sequence;
    use oci_spec::runtime::Spec;
    use pollster::block_on;

    fn spec() -> Spec {
        serde_json::from_str(r#"{"ociVersion":"1.0.2","root":{"path":"/r"},"linux":{}}"#).expect("a spec")
    }

    fn sysbox(mgr: MockMgrPort, fs: MockFsPort) -> Sysbox {
        let ports = Ports { mgr: Some(Arc::new(mgr)), fs: Some(Arc::new(fs)), seccomp: None };
        Sysbox::new("c1".parse().expect("valid"), ports)
    }

    fn internal(operation: Operation) -> PortError {
        PortError::new(operation, ErrorKind::Internal, "container c1: broken")
    }

    fn chowned(mgr: &mut MockMgrPort) {
        mgr.expect_register().returning(|_| Ok(ContainerConfig::default()));
        mgr.expect_clone_rootfs().returning(|_| Ok(AbsPath::new("/clone").expect("absolute")));
        mgr.expect_chown_cloned_rootfs().returning(|_, _| Ok(()));
    }

    async fn up(sysbox: &mut Sysbox) -> Result<(), SessionError> {
        sysbox.mgr.register(&spec()).await?;
        sysbox.fs.pre_register(&spec()).await?;
        sysbox.mgr.clone_rootfs().await?;
        sysbox.mgr.chown_cloned_rootfs(IdOffsets::default()).await
    }

    #[test]
    fn teardown_reverts_the_chown_then_unregisters_with_fs_then_with_mgr() {
        let (mut mgr, mut fs, mut order) = (MockMgrPort::new(), MockFsPort::new(), Sequence::new());
        chowned(&mut mgr);
        fs.expect_pre_register().returning(|_| Ok(()));
        mgr.expect_revert_cloned_rootfs_chown().times(1).in_sequence(&mut order).returning(|_| Ok(()));
        fs.expect_unregister().times(1).in_sequence(&mut order).returning(|_| Ok(()));
        mgr.expect_unregister().times(1).in_sequence(&mut order).returning(|_| Ok(()));
        let mut sysbox = sysbox(mgr, fs);
        block_on(up(&mut sysbox)).expect("up");
        block_on(sysbox.teardown()).expect("down");
        block_on(sysbox.teardown()).expect("a second time has nothing to do");
    }

    #[test]
    fn teardown_tries_every_step_and_tells_every_failure() {
        let (mut mgr, mut fs) = (MockMgrPort::new(), MockFsPort::new());
        chowned(&mut mgr);
        fs.expect_pre_register().returning(|_| Ok(()));
        mgr.expect_revert_cloned_rootfs_chown()
            .times(1)
            .returning(|_| Err(internal(Operation::RevertClonedRootfsChown)));
        fs.expect_unregister().times(1).returning(|_| Err(internal(Operation::FsUnregister)));
        mgr.expect_unregister().times(1).returning(|_| Ok(()));
        let mut sysbox = sysbox(mgr, fs);
        block_on(up(&mut sysbox)).expect("up");
        let error = block_on(sysbox.teardown()).expect_err("two steps failed");
        assert!(matches!(
            *error.first,
            SessionError::Call { operation: Operation::RevertClonedRootfsChown, .. }
        ));
        assert!(matches!(error.others[..], [SessionError::Call { operation: Operation::FsUnregister, .. }]));
        assert!(!sysbox.mgr.is_registered());
        let further = format!("failed to {}: {}", Operation::FsUnregister, internal(Operation::FsUnregister));
        assert_eq!(
            error.to_string(),
            format!("container c1 was not torn down cleanly (further failures: {further})")
        );
    }

    #[test]
    fn a_second_teardown_tries_again_what_failed() {
        let mut mgr = MockMgrPort::new();
        mgr.expect_register().returning(|_| Ok(ContainerConfig::default()));
        mgr.expect_unregister().times(1).returning(|_| Err(internal(Operation::Unregister)));
        mgr.expect_unregister().times(1).returning(|_| Ok(()));
        let mut sysbox = sysbox(mgr, MockFsPort::new());
        block_on(sysbox.mgr.register(&spec())).expect("registered");
        block_on(sysbox.teardown()).expect_err("nothing was undone");
        block_on(sysbox.teardown()).expect("undone by now");
        assert!(!sysbox.mgr.is_registered());
    }

    #[test]
    fn purge_asks_both_daemons_whatever_is_remembered_and_takes_unknown_as_done() {
        let (mut mgr, mut fs) = (MockMgrPort::new(), MockFsPort::new());
        let unknown = |operation| PortError::new(operation, ErrorKind::NotFound, "container c1 is not known");
        fs.expect_unregister().times(1).returning(move |_| Err(unknown(Operation::FsUnregister)));
        mgr.expect_unregister().times(1).returning(move |_| Err(unknown(Operation::Unregister)));
        mgr.expect_remove().times(1).returning(|_| Ok(()));
        block_on(sysbox(mgr, fs).purge()).expect("purged");
    }

    fn redundant(_: &ContainerId) -> Result<(), PortError> {
        let text = "redundant container unregistration for container c1";
        Err(PortError::new(Operation::Unregister, ErrorKind::Unknown, text))
    }

    #[test]
    fn purge_after_a_teardown_does_not_unregister_twice() {
        let (mut mgr, fs) = (MockMgrPort::new(), MockFsPort::new());
        mgr.expect_register().returning(|_| Ok(ContainerConfig::default()));
        mgr.expect_unregister().times(1).returning(|_| Ok(()));
        mgr.expect_remove().times(1).returning(|_| Ok(()));
        let mut sysbox = sysbox(mgr, fs);
        sysbox.fs = Fs::new(sysbox.id().clone(), None, None);
        block_on(async {
            sysbox.mgr.register(&spec()).await.expect("registered");
            sysbox.teardown().await.expect("unregistered");
            sysbox.purge().await.expect("removed");
        });
    }

    #[test]
    fn what_a_manager_does_not_say_counts_as_not_known_only_where_nothing_is_remembered() {
        let port = || {
            let mut mgr = MockMgrPort::new();
            mgr.expect_register().returning(|_| Ok(ContainerConfig::default()));
            mgr.expect_unregister().times(1).returning(redundant);
            mgr.expect_remove().returning(|_| Ok(()));
            let ports = Ports { mgr: Some(Arc::new(mgr)), ..Ports::default() };
            Sysbox::new("c1".parse().expect("valid"), ports)
        };
        block_on(port().purge()).expect("nothing is remembered");
        let mut registered = port();
        block_on(registered.mgr.register(&spec())).expect("registered");
        block_on(registered.purge()).expect_err("it was registered, and may still be");
    }

    #[test]
    fn teardown_of_a_container_known_nowhere_calls_nobody() {
        block_on(sysbox(MockMgrPort::new(), MockFsPort::new()).teardown()).expect("nothing to do");
    }
}
