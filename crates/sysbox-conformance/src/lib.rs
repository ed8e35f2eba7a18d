//! What every backend of [`MgrPort`](sysbox_core::MgrPort) and [`FsPort`](sysbox_core::FsPort) must do, as a suite that any of
//! them can be held against, this project's and others'.
//!
//! - [`Model`] is the reference: all rules, in memory, nothing on disk.
//! - A [`Harness`] gives the suite fresh backends of one kind; to write one is all that a new backend needs.
//! - A [`Case`] states one rule. [`cases`] has them all, [`main`] runs them and tells by name what a backend cannot do.
//! - A [`Flaw`] breaks one rule of any backend, to show that the suite sees it.
#![forbid(unsafe_code)]

#[cfg(feature = "suite")]
mod case;
#[cfg(feature = "suite")]
mod cases;
mod flaw;
#[cfg(feature = "suite")]
mod harness;
mod model;
#[cfg(feature = "suite")]
mod runner;
#[cfg(feature = "suite")]
mod sequence;
#[cfg(feature = "suite")]
mod world;

pub use flaw::Flaw;
pub use model::Model;
#[cfg(feature = "suite")]
pub use {
    case::{Broken, Case, Outcome},
    cases::cases,
    harness::{Ability, BoxError, Clonable, Harness, Lack, Subject},
    runner::{main, run},
    world::World,
};

/// The examples of the README.
#[cfg(all(doctest, feature = "suite"))]
#[doc = include_str!("../README.md")]
struct Readme;
