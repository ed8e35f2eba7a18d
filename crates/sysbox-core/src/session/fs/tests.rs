//! The order of calls, and what each tells the fs daemon.

use std::{
    os::fd::AsFd,
    task::{Context, Waker},
    time::Duration,
};

use mockall::predicate::eq;
use pollster::block_on;

use super::*;
use crate::{MockFsPort, MockSeccompPort, Sysbox, session::Ports};

fn id() -> ContainerId {
    "c1".parse().expect("valid")
}

fn path(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}

fn fs(port: MockFsPort) -> Fs {
    Fs::new(id(), Some(Arc::new(port)), None)
}

fn spec() -> Spec {
    serde_json::from_str(
        r#"{"ociVersion":"1.0.2","linux":{"namespaces":[{"type":"network","path":"/run/netns/a"}]}}"#,
    )
    .expect("a spec")
}

fn info() -> FsRegInfo {
    FsRegInfo {
        hostname: Some("box".to_owned()),
        pid: 42,
        uid: HostUid(231_072),
        gid: HostGid(500_000),
        id_size: 65_536,
        proc_ro_paths: vec![path("/proc/bus")],
        proc_mask_paths: vec![path("/proc/keys")],
    }
}

fn not_found() -> PortError {
    PortError::new(Operation::FsUnregister, ErrorKind::NotFound, "container c1 is not known")
}

#[test]
fn get_config_remembers_the_mountpoint() {
    let mut port = MockFsPort::new();
    port.expect_mountpoint().times(1).returning(|| Ok(path("/var/lib/sysboxfs")));
    let mut fs = fs(port);
    assert_eq!(fs.mountpoint(), None);
    assert_eq!(block_on(fs.get_config()).expect("answered"), &path("/var/lib/sysboxfs"));
    assert_eq!(fs.mountpoint(), Some(&path("/var/lib/sysboxfs")));
}

fn answering(kind: ErrorKind) -> MockFsPort {
    let mut port = MockFsPort::new();
    let answer = move || Err(PortError::new(Operation::FsMountpoint, kind, "no"));
    port.expect_mountpoint().times(1).returning(answer);
    port
}

#[test]
fn a_daemon_that_emulates_nothing_is_as_if_it_were_not_there_from_then_on() {
    let ports = || (Some(Arc::new(answering(ErrorKind::Unimplemented)) as _), None);
    let (port, seccomp) = ports();
    let mut asked = Fs::new(id(), port, seccomp);
    assert!(block_on(asked.get_config()).expect_err("none").is_unimplemented());
    let (port, _) = ports();
    let mut found = Fs::new(id(), port, Some(Arc::new(MockSeccompPort::new())));
    assert_eq!(block_on(found.find_mountpoint()).expect("an answer"), None);
    for mut fs in [asked, found, Fs::new(id(), None, None)] {
        assert!(!fs.enabled() && !fs.takes_seccomp());
        assert_eq!(block_on(fs.find_mountpoint()).expect("nobody is asked"), None);
        assert!(matches!(block_on(fs.pre_register(&spec())), Err(SessionError::Disabled { .. })));
        block_on(fs.unregister()).expect("nothing to undo");
    }
}

#[test]
fn a_daemon_that_fails_to_tell_where_its_files_are_stays_to_be_asked() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Internal, ErrorKind::Unknown, ErrorKind::NotFound] {
        let mut fs = fs(answering(kind));
        let error = block_on(fs.find_mountpoint()).expect_err("no answer");
        assert_eq!(error.port_error().map(|error| error.kind), Some(kind));
        assert!(fs.enabled());
    }
}

#[test]
fn a_container_is_pre_registered_then_registered_then_told_of() {
    let mut port = MockFsPort::new();
    let pre = ContainerData { netns: Some(path("/run/netns/a")), ..ContainerData::new(id()) };
    port.expect_pre_register().with(eq(pre)).times(1).returning(|_| Ok(()));
    let full = ContainerData {
        init_pid: Some(42),
        hostname: Some("box".to_owned()),
        uids: Some("231072:65536".parse().expect("valid")),
        gids: Some("500000:65536".parse().expect("valid")),
        proc_ro_paths: vec![path("/proc/bus")],
        proc_mask_paths: vec![path("/proc/keys")],
        ..ContainerData::new(id())
    };
    port.expect_register().with(eq(full)).times(1).returning(|_| Ok(()));
    let created = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
    let update = ContainerData { created: Some(created), ..ContainerData::new(id()) };
    port.expect_update().with(eq(update)).times(1).returning(|_| Ok(()));
    let mut fs = fs(port);
    block_on(fs.pre_register(&spec())).expect("taken");
    block_on(fs.register(&info())).expect("taken");
    block_on(fs.send_creation_time(created)).expect("taken");
    assert!(fs.is_registered());
}

#[test]
fn calls_out_of_order_reach_nobody() {
    let mut port = MockFsPort::new();
    port.expect_pre_register().times(1).returning(|_| Ok(()));
    port.expect_register().times(1).returning(|_| Ok(()));
    let mut fs = fs(port);
    assert!(matches!(block_on(fs.register(&info())), Err(SessionError::NotPreRegistered { .. })));
    let early = block_on(fs.send_creation_time(SystemTime::UNIX_EPOCH));
    assert!(matches!(early, Err(SessionError::CreationTimeBeforeRegister { .. })));
    block_on(fs.pre_register(&spec())).expect("taken");
    let twice = block_on(fs.pre_register(&spec())).expect_err("twice");
    assert!(twice.to_string().contains("already pre-registered"));
    block_on(fs.register(&info())).expect("taken");
    assert!(matches!(block_on(fs.register(&info())), Err(SessionError::AlreadyRegistered { .. })));
}

#[test]
fn ids_beyond_the_greatest_are_not_sent() {
    let mut port = MockFsPort::new();
    port.expect_pre_register().returning(|_| Ok(()));
    let mut fs = fs(port);
    block_on(fs.pre_register(&spec())).expect("taken");
    let beyond = FsRegInfo { uid: HostUid(u32::MAX - 10), ..info() };
    let error = block_on(fs.register(&beyond)).expect_err("beyond");
    assert_eq!(error.port_error().map(|e| e.kind), Some(ErrorKind::InvalidArgument));
}

#[test]
fn unregister_does_nothing_for_a_container_that_is_not_known_and_can_be_repeated() {
    let mut port = MockFsPort::new();
    port.expect_pre_register().times(2).returning(|_| Ok(()));
    port.expect_unregister().times(1).returning(|_| Err(not_found()));
    let mut fs = fs(port);
    block_on(fs.unregister()).expect("nobody is asked");
    block_on(fs.pre_register(&spec())).expect("taken");
    block_on(fs.unregister()).expect("gone already is done");
    block_on(fs.unregister()).expect("nobody is asked");
    block_on(fs.pre_register(&spec())).expect("it can be made known again");
}

#[test]
fn a_daemon_that_knows_of_no_containers_has_none_to_forget() {
    let mut port = MockFsPort::new();
    port.expect_pre_register().returning(|_| Ok(()));
    let unimplemented = || PortError::new(Operation::FsUnregister, ErrorKind::Unimplemented, "no fs here");
    port.expect_unregister().times(1).returning(move |_| Err(unimplemented()));
    let mut fs = fs(port);
    block_on(fs.pre_register(&spec())).expect("taken");
    block_on(fs.unregister()).expect("done");
}

#[test]
fn the_seccomp_descriptor_is_handed_over_with_pid_and_container() {
    let mut seccomp = MockSeccompPort::new();
    seccomp
        .expect_send_init()
        .withf(|request, _| *request == SeccompInit { pid: 42, id: "c1".parse().expect("valid") })
        .times(1)
        .returning(|_, _| Ok(()));
    let fs = Fs::new(id(), None, Some(Arc::new(seccomp)));
    let descriptor = std::io::stdin();
    block_on(fs.send_seccomp_init(42, descriptor.as_fd())).expect("taken");
    let without = Fs::new(id(), None, None);
    let error = block_on(without.send_seccomp_init(42, descriptor.as_fd()));
    assert!(matches!(error, Err(SessionError::Disabled { operation: Operation::SendSeccompInit, .. })));
}

/// A daemon that takes a container and then does not answer.
#[derive(Debug, Default)]
struct Unanswered(std::sync::Mutex<Vec<ContainerId>>);

#[async_trait::async_trait]
impl FsPort for Unanswered {
    async fn mountpoint(&self) -> Result<AbsPath, PortError> {
        std::future::pending().await
    }

    async fn pre_register(&self, container: &ContainerData) -> Result<(), PortError> {
        self.0.lock().expect("not poisoned").push(container.id.clone());
        std::future::pending().await
    }

    async fn register(&self, _: &ContainerData) -> Result<(), PortError> {
        std::future::pending().await
    }

    async fn update(&self, _: &ContainerData) -> Result<(), PortError> {
        std::future::pending().await
    }

    async fn unregister(&self, container: &ContainerData) -> Result<(), PortError> {
        self.0.lock().expect("not poisoned").retain(|id| *id != container.id);
        Ok(())
    }
}

#[test]
fn what_a_dropped_call_left_is_not_remembered_and_undone_by_purge() {
    let daemon = Arc::new(Unanswered::default());
    let known = || daemon.0.lock().expect("not poisoned").len();
    let mut sysbox = Sysbox::new(id(), Ports { fs: Some(daemon.clone()), ..Ports::default() });
    let spec = spec();
    let mut call = Box::pin(sysbox.fs.pre_register(&spec));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(call);
    block_on(sysbox.teardown()).expect("nothing is remembered");
    assert_eq!(known(), 1);
    block_on(sysbox.purge()).expect("asked whatever is remembered");
    assert_eq!(known(), 0);
}
