//! The capabilities of a system container's processes.

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, Process};

use crate::{HostError, HostPort, syscont::Changes};

const LAST_CAPABILITY: &str = "kernel.cap_last_cap";

/// Each at the place of its number (`linux/capability.h`).
const BY_NUMBER: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Every capability of the kernel (`kernel.cap_last_cap`), all of which the first process of a user namespace has in that. Of a
/// kernel that has more than the OCI specification names, those that it names.
///
/// # Errors
/// [`HostError`] when the kernel does not tell its last one.
pub fn all_capabilities(host: &dyn HostPort) -> Result<Capabilities, HostError> {
    let unreadable = |value: Option<String>| {
        HostError::new("read", ["sysctl ", LAST_CAPABILITY].concat(), NoLastCapability { value })
    };
    let value = host.sysctl(LAST_CAPABILITY)?;
    let last = value.as_deref().and_then(|value| value.trim().parse::<u32>().ok());
    let Some(last) = last else { return Err(unreadable(value)) };
    Ok((0..=last).zip(BY_NUMBER).map(|(_, capability)| capability).collect())
}

/// The kernel does not say which capability is its last.
#[derive(Debug, thiserror::Error)]
#[error("{}", match value {
    Some(value) => format!("{value:?} is not the number of a capability"),
    None => "this kernel does not have it".to_owned(),
})]
struct NoLastCapability {
    value: Option<String>,
}

/// Gives a process the capabilities of a system container: root all in every set, others all in the bounding set alone, from which
/// they have some as soon as they execute a set-user-ID program.
pub fn give_capabilities(process: &mut Process, all: &Capabilities, changes: &mut Changes) {
    let (others, reason) = if process.user().uid() == 0 {
        (Some(all), "root of a system container has every capability in its user namespace")
    } else {
        (None, "a user of a system container has none, but can get every one by set-user-ID programs")
    };
    let is_given = |given: &Option<Capabilities>, wanted: Option<&Capabilities>| {
        given.as_ref().is_some_and(|given| wanted.map_or(given.is_empty(), |wanted| wanted == given))
    };
    let is_as_wanted = process.capabilities().as_ref().is_some_and(|given| {
        let rest = [given.effective(), given.inheritable(), given.permitted(), given.ambient()];
        is_given(given.bounding(), Some(all)) && rest.into_iter().all(|given| is_given(given, others))
    });
    if !is_as_wanted {
        process.set_capabilities(Some(sets(all, others)));
        changes.note("process.capabilities", reason);
    }
}

fn sets(bounding: &Capabilities, others: Option<&Capabilities>) -> LinuxCapabilities {
    let others = || Some(others.cloned().unwrap_or_default());
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(bounding.clone()))
        .set_effective(others())
        .set_inheritable(others())
        .set_permitted(others())
        .set_ambient(others());
    sets
}
