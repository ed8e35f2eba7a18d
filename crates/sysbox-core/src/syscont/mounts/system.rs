//! The mounts that every system container has.

use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use super::{
    list::{Row, field, leads_up, put},
    read_only::{is_read_only, keep_access},
};
use crate::{
    AbsPath,
    syscont::{Changes, SpecError},
};

const CGROUPS: &str = "/sys/fs/cgroup";

/// The mounts, parents first.
pub(super) const MOUNTS: [Row; 5] = [
    Row { destination: "/sys", kind: "sysfs", source: "sysfs", options: &["noexec", "nosuid", "nodev"] },
    Row { destination: CGROUPS, kind: "cgroup", source: "cgroup", options: &["noexec", "nosuid", "nodev"] },
    Row { destination: "/proc", kind: "proc", source: "proc", options: &["noexec", "nosuid", "nodev"] },
    Row::tmpfs("/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    Row { destination: "/dev/kmsg", kind: "bind", source: "/dev/null", options: &["rbind", "rprivate"] },
];

/// Checks that every mount of a spec says where: a path from the container's root on, without `..` and NUL.
///
/// # Errors
/// [`SpecError`] of `mounts[N].destination`.
pub fn check_destinations(spec: &Spec) -> Result<(), SpecError> {
    spec.mounts().iter().flatten().enumerate().try_for_each(|(index, mount)| {
        check_destination(mount.destination()).map_err(|rule| {
            let found = format!("{:?}", mount.destination());
            SpecError::new(format!("mounts[{index}].destination"), found, rule)
        })
    })
}

fn check_destination(destination: &Path) -> Result<(), String> {
    AbsPath::new(destination).map_err(|e| e.to_string())?;
    if leads_up(destination) {
        return Err("a mount is at the place that its path names: leave out `..`".to_owned());
    }
    Ok(())
}

/// Gives a spec the mounts that every system container has, in place of what it has there; what it has below `/sys/fs/cgroup`,
/// and devices in these places, go.
pub fn add_system_mounts(spec: &mut Spec, changes: &mut Changes) {
    let is_read_only = is_read_only(spec);
    let mounts = spec.mounts_mut().get_or_insert_default();
    drop_below_cgroups(mounts, changes);
    for row in MOUNTS {
        let mut mount = row.mount();
        if is_read_only {
            keep_access(mounts, &mut mount);
        }
        put(
            mounts,
            mount,
            "every system container has its own, as the kernel shows it to a user namespace",
            changes,
        );
    }
    drop_devices(spec, changes);
}

fn drop_below_cgroups(mounts: &mut Vec<Mount>, changes: &mut Changes) {
    mounts.retain(|mount| {
        let destination = mount.destination();
        let is_below = destination.starts_with(CGROUPS) && destination != Path::new(CGROUPS);
        if is_below {
            changes.note(field(destination), "a system container has all of its cgroups by one mount");
        }
        !is_below
    });
}

fn drop_devices(spec: &mut Spec, changes: &mut Changes) {
    let devices = spec.linux_mut().as_mut().and_then(|linux| linux.devices_mut().as_mut());
    let Some(devices) = devices else { return };
    devices.retain(|device| {
        let is_mounted = MOUNTS.iter().any(|row| device.path() == Path::new(row.destination));
        if is_mounted {
            let field = format!("linux.devices[{}]", device.path().display());
            changes.note(field, "every system container has a mount there");
        }
        !is_mounted
    });
}

#[cfg(test)]
mod tests;
