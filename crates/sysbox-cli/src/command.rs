//! What the program does, a module a command.

#[cfg(feature = "bench")]
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod convert;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod execute;
pub(crate) mod gc;
mod inventory;
pub(crate) mod list;
pub(crate) mod repair;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod status;
