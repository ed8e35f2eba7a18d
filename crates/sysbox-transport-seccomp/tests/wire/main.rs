//! The channel over real sockets, with one end or both done by hand.
#![expect(clippy::expect_used, reason = "a test")]

mod client;
mod raw;
mod receive;
mod server;
