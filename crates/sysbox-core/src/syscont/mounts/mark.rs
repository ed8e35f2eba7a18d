//! How a conversion knows again what a manager gave in an earlier one: that is not the spec's own, is asked for again, and is not to be
//! prepared as a source that others may use.

use std::{collections::BTreeMap, path::Path};

use oci_spec::runtime::{Mount, Spec};

use super::places::can_be_given;
use crate::syscont::Changes;

/// The annotation of a converted spec that says which mounts are the manager's: their sources by destination, as JSON.
pub const OF_MANAGER: &str = "org.sysbox.mounts-of-manager";

/// The mounts of a spec that are marked as a manager's.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<String, String>);

impl Marks {
    /// Those of an earlier conversion. An annotation that says something else marks nothing. Whoever writes a spec can write marks too:
    /// so they count only where a manager can have given something, which are those of the places that `is_of_manager` knows.
    pub(super) fn read(spec: &Spec, is_of_manager: impl Fn(&Path) -> bool) -> Self {
        let text = spec.annotations().as_ref().and_then(|annotations| annotations.get(OF_MANAGER));
        let mut marks: BTreeMap<String, String> =
            text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        marks.retain(|place, _| {
            let place = Path::new(place);
            can_be_given(place) && is_of_manager(place)
        });
        Self(marks)
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
