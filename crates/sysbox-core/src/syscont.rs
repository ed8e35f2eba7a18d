//! Turning an OCI spec into that of a system container: what a spec must have, and what is added to a copy of it.
//!
//! One module per step. Nothing here does I/O or keeps state; what must be looked up comes through
//! [`HostPort`](crate::HostPort).

mod check;
mod dev;
mod id_mappings;
mod namespaces;

pub use check::{check, netns, rootfs, userns};
pub use dev::complete_dev;
pub use id_mappings::{DEFAULT_SIZE, given_mappings, set_mappings, tree_ids};
pub use namespaces::{complete_namespaces, require_namespaces};

/// A field of a spec that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec field {field} is {found}; {rule}")]
pub struct SpecError {
    /// The field, as the OCI runtime specification names it.
    pub field: &'static str,
    /// What is there.
    pub found: String,
    /// What should be.
    pub rule: String,
}

impl SpecError {
    /// An error of a field that holds `found` and breaks `rule`.
    pub fn new(field: &'static str, found: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field, found: found.into(), rule: rule.into() }
    }

    fn missing(field: &'static str, rule: &str) -> Self {
        Self::new(field, "missing", rule)
    }
}
