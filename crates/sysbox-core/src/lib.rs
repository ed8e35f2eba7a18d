//! The hexagon of the workspace: what a system-container runtime asks for, and what it decides.
//!
//! A runtime talks to a *manager* (ids, mounts, rootfs; Sysbox's `sysbox-mgr`) and to an *fs daemon* (emulated `/proc` and
//! `/sys`, trapped system calls; `sysbox-fs`). Both are ports here, [`MgrPort`] and [`FsPort`]; who answers them is the
//! choice of whoever wires a program together: a daemon over some transport, this process, or a mock.
//!
//! - Domain types ([`ContainerId`], [`IdMappings`], [`ContainerConfig`], ...) are checked when they are made and valid ever after.
//! - [`Mgr`], [`Fs`] and [`Sysbox`] are the facades that a runtime holds for one container: they keep the order of calls and
//!   go through a state file.
//! - Decisions are functions over plain facts: [`shift::decide`], [`tree::plan`].
//!
//! There is no I/O in this crate, no clock, no async runtime and no unsafe code. What must be asked of the kernel goes
//! through [`HostPort`].
//!
//! ```
//! use sysbox_core::{ContainerId, IdMapping, IdMappings};
//!
//! let id: ContainerId = "web-1".parse()?;
//! let mappings = IdMappings::new([IdMapping::new(0, 231_072, 65_536)?])?;
//! assert_eq!(mappings.to_host(1000), Some(232_072));
//! assert_eq!(id.as_str(), "web-1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`oci_spec`] is re-exported, since signatures here have its types; with the feature `mock` so is `mockall`, which the mocks of
//! the ports are made with.
#![forbid(unsafe_code)]

mod config;
mod deadline;
mod error;
mod fs_entry;
mod id;
mod mapping;
mod mount;
mod owner;
mod path;
mod range;

pub mod host;
pub mod host_check;
pub mod port;
pub mod session;
pub mod shift;
pub mod syscont;
pub mod tree;

pub use config::ContainerConfig;
pub use deadline::Deadlines;
pub use error::{ErrorKind, HostError, Operation, PortError};
pub use fs_entry::{FsEntry, FsEntryKind, UnknownFsEntryKind};
pub use id::{ContainerId, InvalidContainerId};
pub use mapping::{IdMapping, IdMappings, InvalidIdMappings};
pub use mount::{Mount, MountKind, ShiftfsMark, UnknownMountKind};
pub use owner::{HostGid, HostUid, Owner};
pub use path::{AbsPath, InvalidPath};
pub use port::{
    ContainerData, FsPort, FsStateRequest, HostPort, MgrPort, MountRequest, MountRequests, MountToPrepare,
    MountsToPrepare, Registration, SeccompInit, SeccompPort, ShiftfsMarks, SubidRequest, Subids, Update,
};
pub use range::{IdOffset, IdOffsets, IdRange, InvalidIdRange, OffsetOutOfRange};
pub use session::{
    Conversion, ConvertError, Converted, Fs, FsRegInfo, Mgr, Ports, RestoreError, SessionError, Snapshot,
    Sysbox, TeardownError,
};
pub use shift::{ShiftType, UnknownShiftType};

#[cfg(feature = "mock")]
pub use mockall;
pub use oci_spec;
#[cfg(any(test, feature = "mock"))]
pub use port::{MockFsPort, MockHostPort, MockMgrPort, MockSeccompPort};
