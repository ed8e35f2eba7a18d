//! What systemd as the init process takes.

use oci_spec::runtime::{Process, Spec};

use super::list::{Row, is_at, put};
use crate::syscont::{Changes, is_systemd};

/// What systemd keeps in memory. It executes programs below `/run`.
pub(super) const MOUNTS: [Row; 2] = [
    Row::tmpfs("/run", &["rw", "rprivate", "nosuid", "nodev", "mode=755", "size=64m"]),
    Row::tmpfs("/run/lock", &["rw", "rprivate", "noexec", "nosuid", "nodev", "size=4m"]),
];

/// What tells systemd in which kind of container it is.
const NAME: &str = "container=";
const PRIVATE_USERS: &str = "container=private-users";

/// Where systemd is the init process: a tmpfs at `/run` and `/run/lock` unless the spec has one there, and
/// `container=private-users` in its environment. Does nothing to other specs.
///
/// It comes before [`complete_read_only`](super::complete_read_only), whose own `/run` systemd could not use.
pub fn complete_systemd(spec: &mut Spec, changes: &mut Changes) {
    let Some(process) = spec.process_mut().as_mut().filter(|process| is_systemd(process)) else { return };
    set_container(process, changes);
    let mounts = spec.mounts_mut().get_or_insert_default();
    for row in MOUNTS {
        let is_tmpfs = |kind: &Option<String>| kind.as_deref() == Some("tmpfs");
        if !mounts.iter().any(|mount| is_at(mount, row.destination) && is_tmpfs(mount.typ())) {
            put(mounts, row.mount(), "systemd keeps its state in memory there", changes);
        }
    }
}

/// Says in the environment which kind of container it is, once.
fn set_container(process: &mut Process, changes: &mut Changes) {
    let variables = process.env_mut().get_or_insert_default();
    let mut said = variables.iter().enumerate().filter(|(_, variable)| variable.starts_with(NAME));
    let first = said.next();
    if said.next().is_none() && first.is_some_and(|(_, only)| only == PRIVATE_USERS) {
        return;
    }
    let place = first.map_or(variables.len(), |(place, _)| place);
    variables.retain(|variable| !variable.starts_with(NAME));
    variables.insert(place, PRIVATE_USERS.to_owned());
    changes.note("process.env[container]", "systemd has to know that it runs in a user namespace of its own");
}

#[cfg(test)]
mod tests;
