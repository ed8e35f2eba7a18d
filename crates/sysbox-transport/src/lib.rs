//! What the transports share, so that each is only its protocol.
//!
//! - [`dial`] connects to a unix socket and bears with a daemon that is just starting; [`Backoff`] is how it waits.
//! - [`Listener`] makes a unix socket that only its owner can reach, and replaces one that a dead daemon left behind.
//! - [`Stream`] is a connection that is not woken for nothing; [`Peer`] is who is at its other end.
//! - [`Channel`] is a client's side: one kept connection, made anew when it is lost, and calls tried again where that is safe.
//! - [`serve`] is a server's side: who is let in, and calls that are carried out whatever becomes of their callers.
//! - [`causes`] are what crosses of an error beside its kind and message.
//! - [`attentively`] waits for a call without letting the core fall asleep.
//! - [`Offloaded`] lets a manager whose calls block be served without holding up others.
//!
//! All of it runs on tokio, with its I/O and time drivers on.
//!
//! ```
//! use std::time::Duration;
//! use sysbox_core::AbsPath;
//! use sysbox_transport::{Listener, PeerPolicy, dial};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let dir = AbsPath::new(temporary.path().join("run"))?;
//! let listener = Listener::bind(&dir, "greeting.sock")?;
//! let mut calling = dial(listener.path(), Duration::from_secs(1)).await?;
//! let mut called = listener.accept().await?;
//! assert!(PeerPolicy::default().permits(&called.peer()?));
//! called.write_all(b"hello").await?;
//! let mut heard = [0; 5];
//! calling.read_exact(&mut heard).await?;
//! assert_eq!(&heard, b"hello");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod attentive;
mod backoff;
pub mod causes;
mod channel;
mod dial;
mod listen;
mod offload;
mod peer;
mod serve;
mod stream;

pub use attentive::attentively;
pub use backoff::Backoff;
pub use channel::{Attempt, CallError, Channel, ClientOptions, Connection, Exchange};
pub use dial::{DialError, dial, try_connect};
pub use listen::{ListenError, Listener};
pub use offload::Offloaded;
pub use peer::{Peer, PeerPolicy};
pub use serve::{Answer, Calls, NO_FS_DAEMON, Reception, ServeError, ServerOptions, Subject, serve};
pub use stream::{Stream, StreamWatch};
