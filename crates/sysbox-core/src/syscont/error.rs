//! What is wrong with a spec.

use std::borrow::Cow;

/// A field of a spec that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec field {field} is {found}; {rule}")]
pub struct SpecError {
    /// The field, as the OCI runtime specification names it.
    pub field: Cow<'static, str>,
    /// What is there.
    pub found: String,
    /// What should be.
    pub rule: String,
}

impl SpecError {
    /// An error of a field that holds `found` and breaks `rule`.
    pub fn new(
        field: impl Into<Cow<'static, str>>,
        found: impl Into<String>,
        rule: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), found: found.into(), rule: rule.into() }
    }

    pub(super) fn missing(field: &'static str, rule: &str) -> Self {
        Self::new(field, "missing", rule)
    }
}
