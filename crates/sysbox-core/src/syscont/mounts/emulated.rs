//! Files below `/proc` and `/sys` that sysbox-fs emulates.

use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use super::{
    list::put,
    read_only::{is_read_only, keep_access},
};
use crate::{AbsPath, syscont::Changes};

/// What sysbox-fs emulates, by the paths inside.
pub const EMULATED_PATHS: [&str; 6] = [
    "/proc/sys",
    "/proc/swaps",
    "/proc/uptime",
    "/sys/kernel",
    "/sys/devices/virtual",
    "/sys/module/nf_conntrack/parameters",
];

/// Mounts what sysbox-fs emulates over the kernel's own, in place of what the spec mounts there. `files` is the directory of this
/// container below sysbox-fs's mount point.
pub fn add_emulated(spec: &mut Spec, files: &AbsPath, changes: &mut Changes) {
    let is_read_only = is_read_only(spec);
    let mounts = spec.mounts_mut().get_or_insert_default();
    for path in EMULATED_PATHS {
        let mut mount = bind(files, path);
        if is_read_only {
            keep_access(mounts, &mut mount);
        }
        put(mounts, mount, "sysbox-fs shows there what is the container's own", changes);
    }
}

fn bind(files: &AbsPath, path: &'static str) -> Mount {
    let inside = path.trim_start_matches('/');
    let mut mount = Mount::default();
    mount
        .set_destination(Path::new(path).to_owned())
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(files.as_path().join(inside)))
        .set_options(Some(vec!["rbind".to_owned(), "rprivate".to_owned()]));
    mount
}

#[cfg(test)]
mod tests;
