//! The ports of `sysbox-core` over [tarpc](https://docs.rs/tarpc) and unix sockets, for a runtime and a daemon that are both of
//! this project: faster than gRPC, and not for Sysbox's own daemons.
//!
//! tarpc itself logs by `tracing` under the target `tarpc`: spans for each call, and a warning for each that ends with its
//! connection. All that it says of a failed call is in the error that the caller gets, so a subscriber does well to
//! switch it off, as with the directive `tarpc=off` of `tracing_subscriber::EnvFilter`.
#![forbid(unsafe_code)]

mod codec;
mod connection;
mod fault;
mod frame;
mod fs_client;
mod fs_server;
#[doc(hidden)]
pub mod fuzz;
mod hello;
mod link;
mod mgr_client;
mod mgr_server;
mod server;
mod service;
mod wire;

pub use fs_client::TarpcFs;
pub use mgr_client::TarpcMgr;
pub use server::{serve_fs, serve_mgr};
pub use sysbox_transport::{ClientOptions, ServeError, ServerOptions};
