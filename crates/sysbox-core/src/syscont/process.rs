//! Step 8: the process of a system container: its capabilities, its AppArmor profile, its oom score.

mod capabilities;

use oci_spec::runtime::{Process, Spec};

use super::{Changes, Settings, SpecError};
use crate::{ContainerConfig, HostError, HostPort};

pub use capabilities::{all_capabilities, give_capabilities};

/// The least oom score of a container: -1000 would keep the kernel from ever ending it.
pub const LEAST_OOM_SCORE: i32 = -999;

/// systemd, what distributions link to it, and where both are with `/usr` merged.
const SYSTEMD: [&str; 4] =
    ["/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"];

/// Why a process cannot be converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It breaks a rule.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The host cannot be asked.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Whether systemd is what a process runs, by the name of its program: what `/sbin/init` is, is only known inside.
pub fn is_systemd(process: &Process) -> bool {
    let program = process.args().as_ref().and_then(|args| args.first());
    program.is_some_and(|program| SYSTEMD.contains(&program.as_str()))
}

/// Raises an oom score that would keep the kernel from ever ending the container.
pub fn raise_oom_score(spec: &mut Spec, changes: &mut Changes) {
    if let Some(process) = spec.process_mut() {
        raise_oom_score_of(process, changes);
    }
}

fn raise_oom_score_of(process: &mut Process, changes: &mut Changes) {
    if process.oom_score_adj().is_some_and(|score| score < LEAST_OOM_SCORE) {
        process.set_oom_score_adj(Some(LEAST_OOM_SCORE));
        changes.note("process.oomScoreAdj", "a container must not be beyond the reach of the oom killer");
    }
}

/// Takes away the AppArmor profile of a process.
pub fn drop_apparmor_profile(process: &mut Process, changes: &mut Changes) {
    if process.apparmor_profile().is_some() {
        process.set_apparmor_profile(None);
        changes.note("process.apparmorProfile", "profiles of application containers forbid mounts");
    }
}

/// Converts a process that is to be executed in a system container that runs (`exec`). `config` is that of the container, with
/// its own settings in it; the process cannot change it.
///
/// # Errors
/// [`ProcessError`] when its environment has a setting that there is not, or the kernel does not tell its capabilities. The process
/// is as it was then.
pub fn convert_process(
    process: &mut Process,
    config: &ContainerConfig,
    host: &dyn HostPort,
) -> Result<Changes, ProcessError> {
    let all = if config.syscont_mode && !config.honor_caps { Some(all_capabilities(host)?) } else { None };
    let mut changes = Changes::default();
    Settings::strip(process, &mut changes)?;
    raise_oom_score_of(process, &mut changes);
    if config.syscont_mode {
        drop_apparmor_profile(process, &mut changes);
    }
    if let Some(all) = all {
        give_capabilities(process, &all, &mut changes);
    }
    Ok(changes)
}

#[cfg(test)]
mod tests;
