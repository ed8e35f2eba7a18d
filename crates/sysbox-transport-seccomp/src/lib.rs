//! Hands a container's seccomp notification descriptor over a unix socket, wire-compatible with Sysbox's fs daemon.
//!
//! A descriptor can cross neither gRPC nor tarpc, so this is a channel of its own. A connection carries one hand-over: the
//! JSON `{"pid":<int32>,"cntrId":"<id>"}` together with exactly one descriptor (`SCM_RIGHTS`, unix(7)), sent as one message
//! and answered by the three bytes `ack`. There is no answer that says no: a receiver that refuses closes the connection.
//!
//! - [`SeccompClient`] is the port for an async program; [`blocking`] does the same for one that has no runtime and forks.
//! - [`serve_seccomp`] makes a server of any port; [`receive`] and [`acknowledge`] are its two steps on one connection.
//!
//! Every descriptor is closed on exec from the start, and one that was received is closed on every way that fails.
//!
//! ```no_run
//! use std::{fs::File, os::fd::AsFd};
//! use sysbox_core::{AbsPath, SeccompPort, port::SeccompInit};
//! use sysbox_transport_seccomp::{ClientOptions, SeccompClient};
//!
//! # async fn example(notify: File) -> Result<(), Box<dyn std::error::Error>> {
//! let socket = AbsPath::new("/run/sysbox/sysfs-seccomp.sock")?;
//! let client = SeccompClient::new(socket, ClientOptions::default());
//! client.send_init(&SeccompInit { pid: 4711, id: "web-1".parse()? }, notify.as_fd()).await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod client;
mod incoming;
mod message;
mod outgoing;
mod server;

pub mod blocking;

pub use client::{ClientOptions, SeccompClient};
pub use incoming::{HandOver, ReceiveError, acknowledge, receive};
pub use message::{InvalidMessage, MAX_MESSAGE, SYSBOX_FS_LIMIT};
pub use outgoing::NoAck;
pub use server::{ServeError, ServerOptions, serve_seccomp};

/// What a fuzz target feeds. No part of the API.
#[doc(hidden)]
pub mod fuzz {
    pub use crate::message::{decode, encode};
}
