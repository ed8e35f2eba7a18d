//! A served port, over a real socket: calls, errors, and its end.
#![expect(clippy::expect_used, reason = "a test")]

mod calls;
mod ending;
#[path = "../support/frames.rs"]
mod frames;
#[path = "../support/held.rs"]
mod held;
mod hellos;
mod not_reading;
#[path = "../support/served.rs"]
mod served;
