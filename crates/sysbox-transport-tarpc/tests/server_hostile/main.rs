//! What peers that mean harm, or are broken, can do to a daemon and to its other peers: nothing.
//!
//! The daemon is a process of its own, so that its memory and its descriptors can be counted.
#![expect(clippy::expect_used, reason = "a test")]

mod daemon;
mod floods;
#[path = "../support/frames.rs"]
mod frames;
#[path = "../support/served.rs"]
mod served;
mod silence;
