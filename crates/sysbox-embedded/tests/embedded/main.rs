//! The embedded manager through its port, on real data roots, without root. The program `kept` does all of this again on
//! connections that are kept.
#![expect(clippy::expect_used, reason = "a test's helpers fail the test that calls them")]

mod data_root;
mod gone;
mod host;
mod lifecycle;
mod manager;
mod per_call;
mod processes;
mod reboot;
mod sharing;
mod subids;
mod worker;

const CONNECTIONS: sysbox_embedded::Connections = sysbox_embedded::Connections::PerCall;
