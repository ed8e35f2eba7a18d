//! The ports of `sysbox-core` over [tarpc](https://docs.rs/tarpc) and unix sockets, for a runtime and a daemon that are both of
//! this project: faster than gRPC, and not for Sysbox's own daemons.
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

/// What a caller is told whose request is longer than the daemon takes.
fn request_too_long(bytes: usize, most: impl std::fmt::Display) -> String {
    format!(
        "the request has {bytes} bytes and the daemon takes {most}; ask for less at once, or raise ServerOptions::message"
    )
}
