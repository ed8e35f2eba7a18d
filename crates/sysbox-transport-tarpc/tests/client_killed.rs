//! Real daemons that are killed in the middle of a call, or stand still.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test, whose second copy tells the first what it does"
)]

use std::{
    error::Error,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use process::{ANSWERS, HOLDS, Process, place, runtime, serve_if_told};
use sysbox_core::{
    AbsPath, ContainerConfig, ContainerId, Deadlines, ErrorKind, IdMappings, MgrPort, PortError,
    Registration, SubidRequest, Subids,
};
use sysbox_transport_tarpc::{ClientOptions, TarpcMgr};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::timeout,
};

#[path = "../../sysbox-transport/tests/shared/daemon_process.rs"]
mod process;
#[path = "support/subject.rs"]
mod subject;

/// No step takes longer.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn is_the_daemon_of_the_other_tests_when_told() {
    serve_if_told();
}

fn start(run: &AbsPath, role: &str) -> Process {
    Process::start(run, role, "is_the_daemon_of_the_other_tests_when_told")
}

/// Goes on with calls while the test waits for the daemon.
fn busy_runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// How a call ends, long before its deadline.
fn outcome<T>(runtime: &Runtime, call: JoinHandle<Result<T, PortError>>) -> Result<T, PortError> {
    runtime.block_on(async { timeout(LONG, call).await }).expect("it ends").expect("no panic")
}

fn id() -> ContainerId {
    "c1".parse().expect("valid")
}

async fn register(mgr: TarpcMgr) -> Result<ContainerConfig, PortError> {
    let request = Registration {
        id: id(),
        rootfs: AbsPath::new("/r").expect("absolute"),
        userns: None,
        netns: None,
        uid_mappings: IdMappings::default(),
        gid_mappings: IdMappings::default(),
    };
    mgr.register(&request).await
}

async fn alloc(mgr: TarpcMgr) -> Result<Subids, PortError> {
    mgr.alloc_subids(&SubidRequest { id: id(), size: NonZeroU32::MIN }).await
}

#[test]
fn a_call_that_must_not_be_made_twice_says_that_its_fate_is_not_known_when_its_daemon_is_killed() {
    let (_dir, run, socket) = place();
    let runtime = busy_runtime();
    let mut daemon = start(&run, HOLDS);
    let mgr = TarpcMgr::new(socket.clone(), ClientOptions::default());
    let call = runtime.spawn(register(mgr.clone()));
    daemon.until("begun");
    drop(daemon);
    // Were it sent again, the next daemon would answer it.
    let _next = start(&run, ANSWERS);
    let error = outcome(&runtime, call).expect_err("lost");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("not known") && error.message.contains(&socket.to_string()), "{error}");
    assert!(error.source().is_some(), "{error:?}");
    runtime.block_on(register(mgr)).expect("the next call reaches the next daemon");
}

#[test]
fn a_call_that_changes_nothing_when_made_again_is_answered_by_the_daemon_after_the_killed_one() {
    let (_dir, run, socket) = place();
    let runtime = busy_runtime();
    let mut daemon = start(&run, HOLDS);
    let mut options = ClientOptions::default();
    options.patience = LONG;
    let mgr = TarpcMgr::new(socket, options);
    let call = runtime.spawn(alloc(mgr));
    daemon.until("begun");
    drop(daemon);
    let _next = start(&run, ANSWERS);
    assert_eq!(outcome(&runtime, call).expect("sent again").uid.0, 7);
}

#[test]
fn a_daemon_that_stays_away_is_unavailable_when_the_patience_ends_also_where_the_call_may_be_made_again() {
    let (_dir, run, socket) = place();
    let runtime = busy_runtime();
    let mut daemon = start(&run, HOLDS);
    let mut options = ClientOptions::default();
    options.patience = Duration::from_millis(100);
    let call = runtime.spawn(alloc(TarpcMgr::new(socket, options)));
    daemon.until("begun");
    drop(daemon);
    let error = outcome(&runtime, call).expect_err("nobody is back");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    assert_eq!(cause.map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionRefused));
}

#[test]
fn a_daemon_that_stands_still_is_given_up_after_the_silence_or_at_the_deadline_and_used_again_when_it_goes_on()
 {
    let (_dir, run, socket) = place();
    let runtime = runtime();
    let daemon = start(&run, ANSWERS);
    let deadline = Duration::from_millis(300);
    let mut options = ClientOptions::default();
    options.silence = Duration::from_millis(100);
    options.deadlines = Deadlines { mgr: deadline, ..Deadlines::default() };
    let kept = TarpcMgr::new(socket.clone(), options);
    options.deadlines = Deadlines::default();
    let fresh = TarpcMgr::new(socket, options);
    runtime.block_on(kept.pause(&id())).expect("answered");

    daemon.freeze();
    let began = Instant::now();
    let error = runtime.block_on(kept.pause(&id())).expect_err("no answer");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    assert!(began.elapsed() >= deadline && error.message.contains("not known"), "{error}");
    let began = Instant::now();
    let error = runtime.block_on(fresh.pause(&id())).expect_err("not a word");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(began.elapsed() >= options.silence && error.message.contains("has not answered"), "{error}");

    daemon.thaw();
    runtime.block_on(kept.pause(&id())).expect("answered over the kept connection");
    runtime.block_on(fresh.pause(&id())).expect("answered over a new one");
}
