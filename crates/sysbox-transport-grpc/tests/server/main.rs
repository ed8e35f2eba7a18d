//! A served port, over a real socket: calls, errors, the services beside it, and its end.
#![expect(clippy::expect_used, reason = "a test")]

mod beside;
mod calls;
mod ending;
mod every_call;
#[path = "../support/frames.rs"]
mod frames;
#[path = "../support/held.rs"]
mod held;
#[path = "../support/served.rs"]
mod served;
