//! The embedded manager through its port, on real data roots, without root.
#![expect(clippy::expect_used, reason = "a test's helpers fail the test that calls them")]

mod data_root;
mod host;
mod lifecycle;
mod manager;
mod processes;
mod reboot;
mod sharing;
mod subids;
