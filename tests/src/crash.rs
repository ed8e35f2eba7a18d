//! Calls of the embedded manager that are cut short: by a SIGKILL after any of their steps, or by a system call that fails.
//!
//! A [`Scene`] is a container's life on a file system of its own, a list of acts that gives each call real work. For each of
//! its calls the life is led up to it, the call is made by a [`Worker`] that does not come to its end, and then all that
//! the manager promises is looked at: a call is done or undone as a whole, nothing is left without reason, and at the end
//! of the life the rootfs is the one that it is at the end of an undisturbed life.

mod act;
mod call;
mod check;
mod life;
mod place;
mod scene;
mod strace;
mod table;
mod view;
mod worker;

pub use act::Act;
pub use call::{Call, Failure};
pub use check::{left, problems, unsound};
pub use life::{Case, Disturbance, Life, Recovery};
pub use place::Place;
pub use scene::{Scene, Story};
pub use strace::{Fault, SysCall, faults_of};
pub use table::Table;
pub use view::View;
pub use worker::{End, Worker};
