//! What is in the kernel of a container: namespaces, mounts, owners, cgroups, processes. Each part can be undone by looking
//! at what is there, so that a process that died at any point leaves nothing that the next cannot clean up.

mod binds;
mod cgroup;
mod clean_up;
mod clone;
mod create;
mod delegate;
mod descriptor;
pub(crate) mod fs;
mod fs_state;
mod mount_points;
mod mounts;
pub(crate) mod orphans;
mod preflight;
mod prepare;
mod progress;
mod quirks;
mod rootfs;
mod seccomp;
mod signals;
mod supervise;
mod terminal;

pub(crate) use cgroup::Cgroup;
pub(crate) use clean_up::clean_up;
pub(crate) use create::create;
pub(crate) use mounts::PrivateMounts;
pub(crate) use preflight::check as preflight;
pub(crate) use prepare::{Ground, Prepared, prepare};
pub(crate) use progress::ManagersBar;
pub(crate) use seccomp::SeccompListener;
pub(crate) use signals::{Interrupted, Signals};
pub(crate) use supervise::supervise;
pub(crate) use terminal::Console;
