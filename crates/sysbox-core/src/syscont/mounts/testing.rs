//! What the tests of the steps have in common.

use std::path::Path;

use oci_spec::runtime::{Mount, Spec};
use serde_json::{Value, json};

use crate::{AbsPath, syscont::Changes};

/// A spec of these fields and a version.
pub(super) fn spec(mut fields: Value) -> Spec {
    fields["ociVersion"] = "1.2.0".into();
    serde_json::from_value(fields).expect("a spec")
}

/// A spec with a tmpfs at each of these destinations.
pub(super) fn spec_at(destinations: &[&str]) -> Spec {
    spec(json!({ "mounts": destinations.iter().map(|at| tmpfs(at)).collect::<Vec<_>>() }))
}

pub(super) fn tmpfs(at: &str) -> Value {
    json!({ "destination": at, "type": "tmpfs", "source": "tmpfs" })
}

pub(super) fn bind(at: &str, source: &str) -> Value {
    json!({ "destination": at, "type": "bind", "source": source, "options": ["rbind"] })
}

pub(super) fn mounts(spec: &Spec) -> &[Mount] {
    spec.mounts().as_deref().unwrap_or_default()
}

pub(super) fn destinations(spec: &Spec) -> Vec<&Path> {
    mounts(spec).iter().map(|mount| mount.destination().as_path()).collect()
}

/// The only mount at a destination.
pub(super) fn mount<'a>(spec: &'a Spec, at: &str) -> &'a Mount {
    let mut there = mounts(spec).iter().filter(|mount| mount.destination() == Path::new(at));
    let mount = there.next().expect("something is mounted there");
    assert_eq!(there.next(), None, "{at} is mounted twice");
    mount
}

pub(super) fn options<'a>(spec: &'a Spec, at: &str) -> Vec<&'a str> {
    mount(spec, at).options().iter().flatten().map(String::as_str).collect()
}

pub(super) fn is_mounted(spec: &Spec, at: &str) -> bool {
    destinations(spec).contains(&Path::new(at))
}

/// What a step changes.
pub(super) fn changed(step: impl FnOnce(&mut Changes)) -> Vec<String> {
    let mut changes = Changes::default();
    step(&mut changes);
    changes.iter().map(|change| change.field.clone().into_owned()).collect()
}

pub(super) fn abs(path: &str) -> AbsPath {
    AbsPath::new(path).expect("absolute")
}
