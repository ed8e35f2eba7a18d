//! The embedded manager at work on files: on real rootfs, overlays and sources, as root.
#![expect(clippy::expect_used, reason = "a test's helpers fail the test that calls them")]

mod clone;
mod fs_state;
mod headers;
mod marks;
mod prepared;
mod support;
mod upper;
mod volumes;
