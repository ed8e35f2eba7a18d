//! The embedded manager on connections that are kept: the rules of `embedded`, and those that only matter here.
#![expect(clippy::expect_used, reason = "a test's helpers fail the test that calls them")]

#[path = "../embedded/data_root.rs"]
mod data_root;
mod endurance;
mod files;
#[path = "../embedded/gone.rs"]
mod gone;
#[path = "../embedded/host.rs"]
mod host;
#[path = "../embedded/lifecycle.rs"]
mod lifecycle;
#[path = "../embedded/manager.rs"]
mod manager;
#[path = "../embedded/processes.rs"]
mod processes;
#[path = "../embedded/reboot.rs"]
mod reboot;
#[path = "../embedded/sharing.rs"]
mod sharing;
#[path = "../embedded/subids.rs"]
mod subids;
mod together;
#[path = "../embedded/worker.rs"]
mod worker;

const CONNECTIONS: sysbox_embedded::Connections = sysbox_embedded::Connections::Kept;
