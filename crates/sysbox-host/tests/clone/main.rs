//! Clones of overlays on the real kernel. Needs root.
//!
//! Each test has a mount namespace and a directory of its own ([`place::Place`]), so what it mounts ends with it.
#![expect(clippy::expect_used, reason = "it is a test")]

mod attached;
mod layers;
#[path = "../kernel/place.rs"]
mod place;
mod refused;
mod rootfs;
#[expect(dead_code, reason = "the tests of tree chown need the rest of it")]
#[path = "../chown/support.rs"]
mod support;
mod written;
