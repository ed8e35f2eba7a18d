//! What the steps do with a list of mounts.

use std::path::{Component, Path};

use oci_spec::runtime::Mount;

use crate::syscont::Changes;

/// A mount of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) destination: &'static str,
    pub(super) kind: &'static str,
    pub(super) source: &'static str,
    pub(super) options: &'static [&'static str],
}

impl Row {
    /// A tmpfs.
    pub(super) const fn tmpfs(destination: &'static str, options: &'static [&'static str]) -> Self {
        Self { destination, kind: "tmpfs", source: "tmpfs", options }
    }

    /// The mount, for a spec.
    pub(super) fn mount(self) -> Mount {
        let Self { destination, kind, source, options } = self;
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut mount = Mount::default();
        mount
            .set_destination(destination.into())
            .set_typ(Some(kind.to_owned()))
            .set_source(Some(source.into()))
            .set_options(Some(options));
        mount
    }
}

/// Puts a mount into a list, in place of all that are mounted at the same destination.
pub(super) fn put(mounts: &mut Vec<Mount>, mount: Mount, reason: &'static str, changes: &mut Changes) {
    let mut there = mounts.iter().enumerate().filter(|(_, other)| is_at(other, mount.destination()));
    let first = there.next();
    if there.next().is_none() && first.is_some_and(|(_, only)| is_same(only, &mount)) {
        return;
    }
    let place = first.map_or(mounts.len(), |(place, _)| place);
    changes.note(field(mount.destination()), reason);
    // None before the place is at the destination, so all of those stay.
    mounts.retain(|other| !is_at(other, mount.destination()));
    mounts.insert(place, mount);
}

/// Whether two mounts at one destination are the same. The order of options makes none another where, as in the tables of mounts, none
/// contradicts another.
fn is_same(one: &Mount, other: &Mount) -> bool {
    fn plain(mount: &Mount) -> (&Option<String>, Option<&Path>, bool) {
        let is_mapped = mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
        (mount.typ(), mount.source().as_deref(), is_mapped)
    }
    let options = |mount: &Mount| mount.options().as_ref().map_or(0, Vec::len);
    let has = |mount: &Mount, option: &String| mount.options().iter().flatten().any(|set| set == option);
    plain(one) == plain(other)
        && options(one) == options(other)
        && one.options().iter().flatten().all(|option| has(other, option))
        && other.options().iter().flatten().all(|option| has(one, option))
}

/// Whether a mount is at exactly this destination.
pub(super) fn is_at(mount: &Mount, destination: impl AsRef<Path>) -> bool {
    mount.destination() == destination.as_ref()
}

/// Whether a mount is a bind mount: by its type, or by an option as for mount(8).
pub fn is_bind(mount: &Mount) -> bool {
    let is_option = |option: &String| option == "bind" || option == "rbind";
    mount.typ().as_deref() == Some("bind") || mount.options().iter().flatten().any(is_option)
}

/// Whether a path has a component `..`, which leads where its text does not say.
pub(super) fn leads_up(path: &Path) -> bool {
    path.components().any(|component| component == Component::ParentDir)
}

/// The field of a mount, by its destination.
pub(super) fn field(destination: &Path) -> String {
    format!("mounts[{}]", destination.display())
}
