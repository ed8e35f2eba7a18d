//! ID-mapped mounts and overlays on the real kernel. Needs root.
//!
//! Each test has a mount namespace and a directory of its own ([`place::Place`]), so what it mounts ends with it.
#![expect(clippy::expect_used, reason = "it is a test")]

mod detach;
mod idmap;
mod overlay;
mod place;
mod rootfs;
mod shiftfs;
