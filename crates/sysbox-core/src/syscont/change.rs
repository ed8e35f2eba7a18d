//! What a conversion changed, and why.

use std::borrow::Cow;

/// A field of a spec that a conversion changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The field, as the OCI runtime specification names it. Members of a list are named by what tells them apart, such as
    /// `mounts[/proc]`, `linux.namespaces[user]`, `process.env[container]` or `linux.seccomp.syscalls[mount]`.
    pub field: Cow<'static, str>,
    /// Why.
    pub reason: &'static str,
}

/// Everything that a conversion changed, in the order in which it was done. A field can be there more than once.
///
/// ```
/// use sysbox_core::syscont::Changes;
///
/// let mut changes = Changes::default();
/// changes.note("process.oomScoreAdj", "a container must not outlive the host's own services");
/// assert_eq!(changes.iter().count(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// Notes that a field was changed.
    pub fn note(&mut self, field: impl Into<Cow<'static, str>>, reason: &'static str) {
        self.0.push(Change { field: field.into(), reason });
    }

    /// The changes.
    pub fn iter(&self) -> std::slice::Iter<'_, Change> {
        self.0.iter()
    }

    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Changes {
    type Item = &'a Change;
    type IntoIter = std::slice::Iter<'a, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
