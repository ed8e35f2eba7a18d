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
mod clone;
mod config;
mod disk;
mod error;
mod files;
mod fs_state;
mod gone;
mod ground;
mod headers;
mod held;
mod host_facts;
mod idset;
mod lifecycle;
mod marks;
mod mgr;
mod namespaces;
mod pools;
mod prepared;
mod progress;
mod record;
mod register;
mod registry;
mod remove;
mod settle;
mod stamp;
mod step;
mod stop;
mod store;
mod subids;
mod survey;
mod sweep;
mod upper;
mod volumes;
mod watch;

pub use accounts::AccountFileError;
pub use config::{AccountFiles, Config, Connections, SubidSource};
pub use error::OpenError;
pub use files::Intent;
pub use headers::kernel_mounts;
pub use mgr::EmbeddedMgr;
pub use progress::{Tell, Work, WorkProgress};
pub use record::{ContainerRecord, ContainerState, VolumeRecord};
#[cfg(feature = "crash-points")]
pub use step::on_step;
pub use subids::{PermanentRange, SubidOrigin, SubidPool, SubidPools, SubidPoolsError, check_subids};
pub use sweep::{Freed, Mended, Repairs, Stray};
pub use watch::WatchError;
