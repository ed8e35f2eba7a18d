//! What AppArmor forbids. Its settings are read: a trial as root would not meet them.

use sysbox_core::{HostError, HostPort, host::Support};

use crate::LinuxHost;

/// Ubuntu from 24.04 on lets only programs with a profile that says `userns` make user namespaces without root.
pub(super) fn user_namespaces(host: &LinuxHost) -> Result<Support, HostError> {
    const SYSCTL: &str = "kernel.apparmor_restrict_unprivileged_userns";
    Ok(match host.sysctl(SYSCTL)?.as_deref() {
        None | Some("0") => Support::Yes,
        Some(value) => Support::No {
            reason: format!(
                "{SYSCTL} is {value}: AppArmor restricts user namespaces of unprivileged programs"
            ),
            cure: Some(format!(
                "sysctl -w {SYSCTL}=0, or an AppArmor profile with the rule `userns,` for each program that needs them"
            )),
        },
    })
}

/// Ubuntu from 25.04 on confines fusermount3, which then mounts only at the places its profile names.
pub(super) fn fusermount3(host: &LinuxHost) -> Result<Support, HostError> {
    let enabled = host.read("sys/module/apparmor/parameters/enabled")?;
    if !enabled.is_some_and(|enabled| enabled.starts_with('Y')) {
        return Ok(Support::Yes);
    }
    const PROFILES: &str = "sys/kernel/security/apparmor/profiles";
    let Some(profiles) = host.read(PROFILES)? else {
        return Err(HostError::new("read the profiles of AppArmor in", format!("/{PROFILES}"), NoSecurityfs));
    };
    let enforced = profiles.lines().filter_map(|line| line.strip_suffix(" (enforce)"));
    let confined = enforced.into_iter().any(|name| name == "fusermount3" || name.ends_with("/fusermount3"));
    if !confined {
        return Ok(Support::Yes);
    }
    Ok(Support::No {
        reason: "AppArmor enforces the profile fusermount3, which allows mounts at few places only".to_owned(),
        cure: Some(
            "aa-disable fusermount3, or allow the mount point of sysbox-fs in /etc/apparmor.d/local/fusermount3 \
             and reload the profile"
                .to_owned(),
        ),
    })
}

#[derive(Debug, thiserror::Error)]
#[error("AppArmor is on, but the file is not there; mount securityfs at /sys/kernel/security")]
struct NoSecurityfs;
