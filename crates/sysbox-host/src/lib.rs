//! The kernel behind [`HostPort`](sysbox_core::HostPort), and what a runtime has done to it: ID-mapped mounts and tree chown.

pub mod chown;
