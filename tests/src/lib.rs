//! Tools for testing the binary `sysbox` from outside, as root on the real kernel: places and bundles to run, a way to start
//! and watch the binary, and ways to see what it changed or left.
//!
//! Whatever is mounted, made or started goes away with its guard, also when a test fails. A helper that cannot do its work
//! panics with the reason.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a test may fail by a panic, also in its helpers")]

mod bundle;
pub mod conformance;
pub mod crash;
pub mod daemon;
pub mod foreign;
mod ground;
mod leftovers;
mod proc;
mod program;
mod pty;
mod running;
mod site;
mod snapshot;
pub mod soak;
mod stepper;
mod tree;

pub use bundle::{Bundle, uid_map};
pub use daemon::{Daemon, Transport};
pub use ground::{Ground, Kind, Mounted};
pub use program::{Outcome, binary, finish, require_root};
pub use pty::Pty;
pub use running::{PATIENCE, Running, wait_for_end};
pub use site::{Site, path};
pub use snapshot::Snapshot;
pub use stepper::{Stepper, step_of, took_of};
pub use tree::{busybox, furnish, shift_owners};
