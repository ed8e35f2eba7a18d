//! How a conversion knows again what a manager gave in an earlier one: that is not the spec's own, is asked for again, and is not to be
//! prepared as a source that others may use.

use std::{collections::BTreeMap, path::Path};

use oci_spec::runtime::{Mount, Spec};

use crate::syscont::Changes;

/// The annotation of a converted spec that says which mounts are the manager's: their sources by destination, as JSON.
pub const OF_MANAGER: &str = "org.sysbox.mounts-of-manager";

/// The mounts of a spec that are marked as a manager's.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<String, String>);

impl Marks {
    /// Those of an earlier conversion. An annotation that says something else marks nothing.
    pub(super) fn read(spec: &Spec) -> Self {
        let text = spec.annotations().as_ref().and_then(|annotations| annotations.get(OF_MANAGER));
        Self(text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of mounts that a manager gives.
    pub(super) fn of<'a>(given: impl IntoIterator<Item = &'a Mount>) -> Self {
        let text = |path: &Path| path.to_str().map(str::to_owned);
        let mark = |mount: &Mount| text(mount.destination()).zip(mount.source().as_deref().and_then(text));
        Self(given.into_iter().filter_map(mark).collect())
    }

    /// Whether a mount is marked. Who gave it another source since made it the spec's own.
    pub(super) fn has(&self, mount: &Mount) -> bool {
        let destination = mount.destination().to_str();
        let source = destination.and_then(|destination| self.0.get(destination)).map(Path::new);
        source.is_some() && mount.source().as_deref() == source
    }

    /// Marks these mounts of a spec, and no others.
    pub(super) fn write(self, spec: &mut Spec, changes: &mut Changes) {
        let text = serde_json::to_string(&self.0).ok().filter(|_| !self.0.is_empty());
        let annotations = spec.annotations_mut();
        if annotations.as_ref().and_then(|annotations| annotations.get(OF_MANAGER)) == text.as_ref() {
            return;
        }
        let annotations = annotations.get_or_insert_default();
        match text {
            Some(text) => annotations.insert(OF_MANAGER.to_owned(), text),
            None => annotations.remove(OF_MANAGER),
        };
        changes.note(
            format!("annotations[{OF_MANAGER}]"),
            "another conversion has to know the manager's mounts from the spec's",
        );
    }
}
