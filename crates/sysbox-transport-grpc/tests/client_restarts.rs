//! A process that drives its connection during calls only, as an OCI runtime does, and a daemon that is killed between them:
//! no call notices, and nothing is left behind. The only test of its program, so that descriptors and threads can be counted.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test, whose second copy tells the first that it is ready"
)]

use std::fs;

use process::{ANSWERS, Process, place, runtime, serve_if_told};
use sysbox_core::{ErrorKind, MgrPort};
use sysbox_transport_grpc::{ClientOptions, GrpcMgr};

#[path = "../../sysbox-transport/tests/shared/daemon_process.rs"]
mod process;
#[path = "support/subject.rs"]
mod subject;

const TEST: &str =
    "a_daemon_killed_and_started_again_between_calls_is_not_noticed_and_nothing_is_left_behind";

fn count(of: &str) -> usize {
    fs::read_dir(format!("/proc/self/{of}")).expect("procfs").count()
}

#[test]
fn a_daemon_killed_and_started_again_between_calls_is_not_noticed_and_nothing_is_left_behind() {
    serve_if_told();
    let (_dir, run, socket) = place();
    let runtime = runtime();
    let mgr = GrpcMgr::new(socket, ClientOptions::default());
    let id = "c1".parse().expect("valid");
    let mut daemon = Process::start(&run, ANSWERS, TEST);
    runtime.block_on(mgr.pause(&id)).expect("answered");
    let before = (count("fd"), count("task"));
    for _ in 0..5 {
        drop(daemon);
        daemon = Process::start(&run, ANSWERS, TEST);
        runtime.block_on(mgr.pause(&id)).expect("answered by the next daemon");
        assert_eq!((count("fd"), count("task")), before, "descriptors and threads");
    }
    drop(daemon);
    let error = runtime.block_on(mgr.pause(&id)).expect_err("it is gone");
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
