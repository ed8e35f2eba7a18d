//! The client before daemons of every kind: absent, restarted, killed, silent, wrong, and busy.
#![expect(clippy::expect_used, reason = "a test")]

mod backlog;
mod connecting;
mod daemon;
#[path = "../../../sysbox-transport/tests/shared/every_fs_call.rs"]
mod every_fs_call;
#[path = "../../../sysbox-transport/tests/shared/every_mgr_call.rs"]
mod every_mgr_call;
mod large;
mod losing;
mod replies;
#[path = "../support/served.rs"]
mod served;
mod sharing;
mod stopping;
#[path = "../support/subject.rs"]
mod subject;
mod without_extension;
