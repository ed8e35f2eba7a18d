//! The kernel behind [`HostPort`](sysbox_core::HostPort), and what a runtime has done to it.
//!
//! - [`LinuxHost`] answers the port: facts are read, features are tried, and nothing is left behind.
//! - [`rootfs`], [`idmap`] and [`overlay`] give files to a container with its own ids, by mounts alone: what root owns on disk
//!   is the container's root's, and the other way round. [`UserNamespace`] lends them the ids.
//! - [`mount_namespace`] keeps such mounts to a process, and removes them.
//! - [`chown`] shifts the owners on disk instead, where a file system takes no ID-mapping; [`overlay::clone`] those of an
//!   overlay, without its data. [`shiftfs`] marks what that file system may show with other owners.
//! - [`mirror`] makes one tree the same as another one, [`remove`] and [`usage`] remove and measure one, and [`within`] reads and
//!   makes what is in a root directory that is not trusted.
//! - [`process`] and [`signals`] are about signals, and what a process hands on.
//!
//! What changes mounts or owners needs root in the initial user namespace.

mod error;
mod fd_info;
mod fs_identity;
mod linux_host;
mod mountinfo;
mod probe;
mod sys;
mod userns;
mod walk;

pub mod chown;
pub mod idmap;
pub mod mirror;
pub mod mount_namespace;
pub mod network;
pub mod overlay;
pub mod process;
pub mod remove;
pub mod rootfs;
pub mod shiftfs;
pub mod signals;
pub mod usage;
pub mod within;

pub use linux_host::LinuxHost;
pub use userns::{UserNamespace, mappings_at};
