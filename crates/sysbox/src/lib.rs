//! The client layer of a system-container runtime: what consumers depend on.
//!
//! - The facades [`Mgr`], [`Fs`] and [`Sysbox`] and everything else of `sysbox-core` is re-exported here.
//! - [`linux`] is the kernel adapter: probes, ID-mapped mounts, tree chown.
//! - [`Backend`] makes the ports from a [`BackendUrl`]; `embedded:` needs no daemon, `grpc+unix:///run/sysbox` (feature `grpc`)
//!   and `tarpc+unix:///run/sysbox-tarpc` (feature `tarpc`) are some.
//! - [`blocking`] drives the async API in a process that forks and must have one thread.
//! - `conformance` is the suite that every backend must pass (feature `conformance`), and a backend in memory (feature `model`).
//!
//! ```
//! use std::sync::Arc;
//! use sysbox::{Backend, BackendOptions, Sysbox, blocking, linux::LinuxHost};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let url = format!("embedded://{}", dir.path().join("data").display());
//! let host = Arc::new(LinuxHost::default());
//! let backend = Backend::open(&url.parse()?, &BackendOptions::default(), host)?;
//! let mut sysbox = Sysbox::new("web-1".parse()?, backend.ports());
//! let spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","root":{"path":"/bundle/rootfs"},"linux":{}}"#)?;
//!
//! blocking::wait(sysbox.mgr.register(&spec))?;
//! let ids = blocking::wait(sysbox.mgr.req_subid(65_536.try_into()?))?;
//! println!("root inside is user {} outside", ids.uid);
//! blocking::wait(sysbox.purge())?;
//! # Ok(())
//! # }
//! ```
//!
//! A registered container's spec is converted by [`Sysbox::convert_spec`]. This needs root, since it looks at attributes of the rootfs
//! that only root may read. The manager does not know where the bundle is, so [`Mgr::register`] refuses a rootfs that is given relative
//! to it, as by `runc spec`:
//!
//! ```no_run
//! use std::{path::Path, sync::Arc};
//! use sysbox::{Backend, BackendOptions, Conversion, Sysbox, blocking, linux::LinuxHost, oci_spec::runtime::Spec, syscont};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Arc::new(LinuxHost::default());
//! let backend = Backend::open(&"embedded:".parse()?, &BackendOptions::default(), host.clone())?;
//! let mut sysbox = Sysbox::new("web-1".parse()?, backend.ports());
//! let bundle = Path::new("/bundle");
//! let mut spec: Spec = serde_json::from_slice(&std::fs::read(bundle.join("config.json"))?)?;
//! if let Some(root) = spec.root_mut() {
//!     let rootfs = bundle.join(root.path()); // as it is where it is absolute
//!     root.set_path(rootfs);
//! }
//!
//! blocking::wait(sysbox.mgr.register(&spec))?;
//! let converted = blocking::wait(sysbox.convert_spec(spec, &*host, &Conversion::default()))?;
//! for change in &converted.changes {
//!     println!("{}: {}", change.field, change.reason);
//! }
//! std::fs::write("/run/web-1/config.json", syscont::to_json(&converted.spec)?)?;
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `mock`, tests of a consumer need no backend. [`oci_spec`] and, with that feature, `mockall` are re-exported, so
//! that specs and expectations are of the versions that the signatures here have:
//!
//! ```
//! # #[cfg(feature = "mock")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use sysbox::{ContainerConfig, ContainerId, MockMgrPort, Ports, Sysbox, blocking};
//! use sysbox::{mockall::predicate::eq, oci_spec::runtime::Spec};
//!
//! let id: ContainerId = "web-1".parse()?;
//! let mut mgr = MockMgrPort::new();
//! mgr.expect_register().times(1).returning(|_| Ok(ContainerConfig::default()));
//! mgr.expect_pause().with(eq(id.clone())).times(1).returning(|_| Ok(()));
//!
//! let mut sysbox = Sysbox::new(id, Ports { mgr: Some(Arc::new(mgr)), ..Ports::default() });
//! let spec: Spec = serde_json::from_str(r#"{"ociVersion":"1.0.2","root":{"path":"/bundle/rootfs"},"linux":{}}"#)?;
//! blocking::wait(sysbox.mgr.register(&spec))?;
//! blocking::wait(sysbox.mgr.pause())?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "mock"))]
//! # fn main() {}
//! ```
#![forbid(unsafe_code)]

mod backend;
pub mod blocking;

#[cfg(feature = "embedded")]
pub use backend::OnProgress;
pub use backend::{Backend, BackendError, BackendOptions, BackendUrl, InvalidBackendUrl};
#[cfg(feature = "model")]
pub use sysbox_conformance as conformance;
#[cfg(feature = "embedded")]
pub use sysbox_embedded as embedded;
pub use sysbox_host as linux;
#[cfg(feature = "grpc")]
pub use sysbox_transport_grpc as grpc;
#[cfg(feature = "tarpc")]
pub use sysbox_transport_tarpc as tarpc;
#[cfg(feature = "sockets")]
pub use {sysbox_transport as transport, sysbox_transport_seccomp as seccomp};

pub use sysbox_core::*;
