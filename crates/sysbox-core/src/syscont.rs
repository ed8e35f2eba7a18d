//! Turning an OCI spec into that of a system container: what a spec must have, and what is changed in a copy of it.
//!
//! One module a step, in the order in which [`Sysbox::convert_spec`](crate::Sysbox::convert_spec) takes them. Nothing here does I/O
//! or keeps state: what must be looked up is given, or comes through [`HostPort`](crate::HostPort); the same input gives the same
//! output, and what is converted already is not changed again. Each step tells what it changed, and why ([`Changes`]).

mod change;
mod check;
mod error;
mod id_mappings;
mod json;
mod namespaces;
mod paths;
mod process;
mod settings;
mod sysctl;

pub mod mounts;
pub mod seccomp;

pub use change::{Change, Changes};
pub use check::{check, netns, rootfs, userns};
pub use error::SpecError;
pub(crate) use id_mappings::given_ids;
pub use id_mappings::{
    DEFAULT_HOST_ID, DEFAULT_SIZE, given_mappings, joined_ids, own_ids, set_mappings, tree_ids,
};
pub use json::to_json;
pub use namespaces::{complete_namespaces, require_namespaces, require_own_namespaces};
pub use paths::complete_paths;
pub use process::{
    LEAST_OOM_SCORE, ProcessError, all_capabilities, convert_process, drop_apparmor_profile,
    give_capabilities, is_systemd, raise_oom_score,
};
pub use settings::Settings;
pub use sysctl::fit_ping_groups;
