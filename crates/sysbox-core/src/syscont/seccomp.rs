//! Step 9: the seccomp profile of a system container.
//!
//! A profile is read as libseccomp reads it: a rule without conditions on arguments decides of its system calls, whatever rules with
//! conditions say of them, and of several the first; of what no rule decides, the default action does.

mod complete;
mod profile;
mod table;
mod traps;

use std::path::Path;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompFilterFlag as Flag, LinuxSyscall, Spec};

use super::{Changes, SpecError};
use crate::AbsPath;
use profile::Profile;
use traps::Trapped;

pub use traps::traps;

const LISTENER_PATH: &str = "linux.seccomp.listenerPath";

/// Checks that the profile of a spec, if it has one, is one that [`complete_profile`] can complete.
///
/// # Errors
/// As [`complete_profile`].
pub fn check(spec: &Spec) -> Result<(), SpecError> {
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    seccomp.map_or(Ok(()), complete::require_known)
}

/// Lets a system container use the system calls that it needs (those of the table), whatever its profile says of them.
///
/// A profile that allows by default loses the rules that deny them. One that denies by default loses those too, and the conditions
/// on arguments under which it allows them, save where the table keeps them; and gains those that it lacks, in one rule at the end.
/// What a profile hands to a tracer, a signal handler or a listener stays with these. All else that it denies stays denied.
///
/// # Errors
/// [`SpecError`] of `linux.seccomp.architectures` where none is one that the table is for (x86_64, aarch64, arm), and of
/// `linux.seccomp.defaultAction` where that neither allows nor denies. The spec is as it was then.
pub fn complete_profile(spec: &mut Spec, changes: &mut Changes) -> Result<(), SpecError> {
    let Some(seccomp) = section(spec) else { return Ok(()) };
    complete::require_known(seccomp)?;
    let mut profile = Profile::read(seccomp);
    let completed = complete::complete(&mut profile);
    let rules = profile.written_if(!completed.is_empty());
    write(seccomp, rules);
    note_completed(&completed, changes);
    Ok(())
}

/// Has the kernel hand these system calls to whoever gets the filter's descriptor, which the runtime sends to `listener`
/// (`linux.seccomp.listenerPath`): wherever the profile permits them, under the conditions under which it does. What it denies,
/// or denies under some conditions while no rule without any decides, is left alone. A spec without a profile gets one that allows everything else.
///
/// `SECCOMP_FILTER_FLAG_TSYNC` goes: kernels before 5.7 refuse it together with a listener (`seccomp(2)`), and the process that a
/// runtime starts has one thread.
///
/// # Errors
/// [`SpecError`] of `linux.seccomp.listenerPath` where the profile has a listener of its own, since a filter has one; and of `linux`
/// where there is none. The spec is as it was then.
pub fn trap(
    spec: &mut Spec,
    names: &[&'static str],
    listener: &AbsPath,
    changes: &mut Changes,
) -> Result<(), SpecError> {
    super::check::linux(spec)?;
    let Some(linux) = spec.linux_mut().as_mut().filter(|_| !names.is_empty()) else { return Ok(()) };
    let seccomp = linux.seccomp_mut().get_or_insert_with(|| {
        changes.note("linux.seccomp", "without a filter sysbox-fs is not told of system calls");
        let mut seccomp = LinuxSeccomp::default();
        seccomp.set_architectures(machine());
        seccomp
    });
    let mut profile = Profile::read(seccomp);
    let trapped = traps::trap(&mut profile, names);
    require_listener(seccomp, &trapped, listener)?;
    let rules = profile.written_if(!trapped.changed.is_empty());
    write(seccomp, rules);
    listen(seccomp, &trapped, listener, changes);
    Ok(())
}

/// Does what [`complete_profile`] and then [`trap`] do, with one copy of the profile made instead of two.
///
/// # Errors
/// Those of both. The spec is as it was then.
pub fn complete_and_trap(
    spec: &mut Spec,
    names: &[&'static str],
    listener: &AbsPath,
    changes: &mut Changes,
) -> Result<(), SpecError> {
    let Some(seccomp) = section(spec) else { return trap(spec, names, listener, changes) };
    complete::require_known(seccomp)?;
    let mut profile = Profile::read(seccomp);
    let completed = complete::complete(&mut profile);
    let trapped = traps::trap(&mut profile, names);
    require_listener(seccomp, &trapped, listener)?;
    let rules = profile.written_if(!completed.is_empty() || !trapped.changed.is_empty());
    write(seccomp, rules);
    note_completed(&completed, changes);
    listen(seccomp, &trapped, listener, changes);
    Ok(())
}

/// The architectures of the programs that this machine runs: a filter ends those of others (`seccomp_attr_set(3)`).
fn machine() -> Option<Vec<Arch>> {
    if cfg!(target_arch = "x86_64") {
        Some(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32])
    } else if cfg!(target_arch = "aarch64") {
        Some(vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm])
    } else {
        None
    }
}

fn section(spec: &mut Spec) -> Option<&mut LinuxSeccomp> {
    spec.linux_mut().as_mut()?.seccomp_mut().as_mut()
}

fn write(seccomp: &mut LinuxSeccomp, rules: Option<Vec<LinuxSyscall>>) {
    if let Some(rules) = rules {
        seccomp.set_syscalls(Some(rules));
    }
}

fn note_completed(names: &[&'static str], changes: &mut Changes) {
    for name in names {
        changes.note(
            field(name),
            "what runs in a system container needs it, and is confined by its user namespace",
        );
    }
}

/// Refuses a listener beside one of the user's.
fn require_listener(seccomp: &LinuxSeccomp, trapped: &Trapped, listener: &AbsPath) -> Result<(), SpecError> {
    const RULE: &str = "sysbox-fs listens to this container, and a seccomp filter has one listener: \
                        leave the notifications of the profile out, or run without sysbox-fs";
    match listener_path(seccomp) {
        _ if !trapped.needs_listener => Ok(()),
        Some(path) if path == listener.as_path() => Ok(()),
        Some(path) => Err(SpecError::new(LISTENER_PATH, format!("{path:?}"), RULE)),
        // Without this sysbox-fs would be asked of system calls that are none of its business, and would let them pass.
        None if trapped.has_others => Err(SpecError::missing(LISTENER_PATH, RULE)),
        None => Ok(()),
    }
}

/// Sets the listener, and whatever goes with one.
fn listen(seccomp: &mut LinuxSeccomp, trapped: &Trapped, listener: &AbsPath, changes: &mut Changes) {
    for name in &trapped.changed {
        changes.note(field(name), "sysbox-fs carries it out for the container");
    }
    if !trapped.needs_listener {
        return;
    }
    if listener_path(seccomp) != Some(listener.as_path()) {
        seccomp.set_listener_path(Some(listener.as_path().to_owned()));
        changes
            .note(LISTENER_PATH, "the runtime hands the descriptor of the filter on to sysbox-fs from there");
    }
    let flags = seccomp.flags().as_deref().unwrap_or_default();
    if flags.contains(&Flag::SeccompFilterFlagTsync) {
        let others = flags.iter().copied().filter(|flag| *flag != Flag::SeccompFilterFlagTsync).collect();
        seccomp.set_flags(Some(others));
        changes.note(
            "linux.seccomp.flags[SECCOMP_FILTER_FLAG_TSYNC]",
            "not every kernel takes it together with a listener, and one thread needs it not",
        );
    }
}

/// Engines write an empty path for none.
fn listener_path(seccomp: &LinuxSeccomp) -> Option<&Path> {
    seccomp.listener_path().as_deref().filter(|path| !path.as_os_str().is_empty())
}

fn field(name: &str) -> String {
    ["linux.seccomp.syscalls[", name, "]"].concat()
}

#[cfg(test)]
mod tests;
