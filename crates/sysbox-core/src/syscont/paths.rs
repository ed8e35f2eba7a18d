//! Step 7: masked and read-only paths that would be in the way of a system container.
//!
//! Paths are compared as paths, so `/proc/` is `/proc`.

use std::path::Path;

use oci_spec::runtime::{Linux, Spec};

use super::{Changes, is_systemd, mounts::EMULATED_PATHS};
use crate::{AbsPath, ContainerConfig};

/// What a system container sees unmasked: its own, or what sysbox-fs emulates.
const UNMASKED: [&str; 5] = ["/proc", "/proc/sys", "/proc/kcore", "/proc/kallsyms", "/proc/kmsg"];
/// What a system container may write to: its own, or what sysbox-fs emulates.
const WRITABLE: [&str; 2] = ["/proc", "/proc/sys"];
/// What systemd mounts something at, or writes to.
const OF_SYSTEMD: [&str; 4] = ["/run", "/run/lock", "/tmp", "/sys/kernel"];

const MASKED_PATHS: &str = "linux.maskedPaths";
const READONLY_PATHS: &str = "linux.readonlyPaths";

/// Takes paths that a system container needs off `linux.maskedPaths` and `linux.readonlyPaths`, more of them where systemd is its
/// init process; and makes what sysbox-fs emulates (its files are in the directory `emulated`, if it does) read-only in a read-only
/// rootfs, unless the manager is relaxed about that.
///
/// Nothing is taken off unless the container is to be a system container ([`ContainerConfig::syscont_mode`]).
pub fn complete_paths(
    spec: &mut Spec,
    config: &ContainerConfig,
    emulated: Option<&AbsPath>,
    changes: &mut Changes,
) {
    let is_read_only = spec.root().as_ref().is_some_and(|root| root.readonly() == Some(true));
    let of_systemd: &[&str] = if spec.process().as_ref().is_some_and(is_systemd) { &OF_SYSTEMD } else { &[] };
    let Some(linux) = spec.linux_mut() else { return };
    let keeps_emulated = emulated.is_some() && is_read_only && !config.relaxed_read_only;
    if config.syscont_mode {
        let unmasked = |path: &str| is_one_of(path, &UNMASKED) || is_one_of(path, of_systemd);
        take_off(linux.masked_paths_mut(), MASKED_PATHS, unmasked, changes);
        let writable = |path: &str| is_one_of(path, &WRITABLE) || is_one_of(path, of_systemd);
        let stays = |path: &str| keeps_emulated && is_one_of(path, &EMULATED_PATHS);
        take_off(linux.readonly_paths_mut(), READONLY_PATHS, |path| writable(path) && !stays(path), changes);
    }
    if keeps_emulated {
        keep_emulated_read_only(linux, changes);
    }
}

fn take_off(
    paths: &mut Option<Vec<String>>,
    field: &str,
    goes: impl Fn(&str) -> bool,
    changes: &mut Changes,
) {
    let Some(paths) = paths else { return };
    paths.retain(|path| {
        let goes = goes(path);
        if goes {
            changes.note(member(field, path), "a system container has its own there, and must reach it");
        }
        !goes
    });
}

/// Puts what sysbox-fs emulates at the end of the read-only paths, unless it is there already.
fn keep_emulated_read_only(linux: &mut Linux, changes: &mut Changes) {
    let paths = linux.readonly_paths_mut().get_or_insert_default();
    let others = paths.iter().filter(|path| !is_one_of(path, &EMULATED_PATHS)).count();
    let last = paths.iter().skip(others).map(Path::new);
    if last.eq(EMULATED_PATHS.iter().map(Path::new)) {
        return;
    }
    paths.retain(|path| !is_one_of(path, &EMULATED_PATHS));
    for path in EMULATED_PATHS {
        paths.push(path.to_owned());
        changes.note(member(READONLY_PATHS, path), "what sysbox-fs emulates is read-only, as the rootfs is");
    }
}

fn is_one_of(path: &str, paths: &[&str]) -> bool {
    let path = Path::new(path);
    paths.iter().any(|one| Path::new(one) == path)
}

fn member(field: &str, path: &str) -> String {
    [field, "[", path, "]"].concat()
}

#[cfg(test)]
mod tests;
