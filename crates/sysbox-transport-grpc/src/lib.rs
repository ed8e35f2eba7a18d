//! The ports over gRPC, wire-compatible with Sysbox's own daemons.
//!
//! - [`GrpcMgr`] and [`GrpcFs`] are the ports of `sysbox-core` for a runtime whose daemons listen on unix sockets.
//! - [`serve_mgr`] and [`serve_fs`] make a daemon of any port; Sysbox's own clients, written in Go, can talk to it.
//!
//! The descriptor of a seccomp filter cannot cross gRPC: `sysbox-transport-seccomp` carries it.
#![forbid(unsafe_code)]

mod authority;
mod channel;
mod convert;
mod fs_client;
mod fs_server;
#[doc(hidden)]
pub mod fuzz;
mod generated;
mod mgr_client;
mod mgr_server;
mod server;
mod status;

pub use fs_client::GrpcFs;
pub use mgr_client::GrpcMgr;
pub use server::{serve_fs, serve_mgr};
pub use sysbox_transport::{ClientOptions, ServeError, ServerOptions};
