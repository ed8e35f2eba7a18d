//! The manager of system containers, done in the process that asks: [`EmbeddedMgr`] is a [`MgrPort`](sysbox_core::MgrPort)
//! that needs no daemon.
//!
//! Its state is one SQLite database in a data root, shared safely by any number of processes. Unless it is told to keep its
//! connection ([`Connections::Kept`], for a daemon), this process has nothing open between two calls: no connection, no
//! descriptor, no lock, no thread. So it may fork and go on in the child, which a process that holds an SQLite connection may
//! not (<https://www.sqlite.org/howtocorrupt.html>, section 2.6).
//!
//! ```no_run
//! use std::sync::Arc;
//! use sysbox_core::{AbsPath, HostPort};
//! use sysbox_embedded::{Config, EmbeddedMgr};
//!
//! fn show(host: Arc<dyn HostPort>) -> Result<(), Box<dyn std::error::Error>> {
//!     let mgr = EmbeddedMgr::open(Config::new(AbsPath::new("/var/lib/sysbox-embedded")?), host)?;
//!     for container in mgr.list()? {
//!         println!("{} {:?}", container.id, container.state);
//!     }
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

mod accounts;
mod alloc;
mod config;
mod error;
mod gone;
mod held;
mod host_facts;
mod idset;
mod lifecycle;
mod mgr;
mod namespaces;
mod pools;
mod record;
mod register;
mod registry;
mod stamp;
mod store;
mod subids;

pub use accounts::AccountFileError;
pub use config::{AccountFiles, Config, Connections, SubidSource};
pub use error::OpenError;
pub use mgr::EmbeddedMgr;
pub use record::{ContainerRecord, ContainerState};
pub use subids::{PermanentRange, SubidOrigin, SubidPool, SubidPools, SubidPoolsError, check_subids};
