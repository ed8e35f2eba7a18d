//! What libcontainer would fail at without naming the field, found out before anything is made.
//!
//! It changes this process alone: limits of the container's process cannot be above ours, so ours are raised where we may.

use std::{fs, path::Path};

use anyhow::Context;
use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process, Spec};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use sysbox::{
    AbsPath, HostPort,
    syscont::{self, SpecError},
};

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Checks the process of a spec against this process and the rootfs, and a user namespace that it joins.
pub(crate) fn check(spec: &Spec, rootfs: &AbsPath, host: &dyn HostPort) -> anyhow::Result<()> {
    if let Some(userns) = syscont::userns(spec)? {
        let (uids, gids) = host.id_mappings(&userns)?;
        syscont::joined_ids(spec, &uids, &gids)
            .with_context(|| format!("user namespace {userns} cannot be joined"))?;
    }
    let Some(process) = spec.process() else { return Ok(()) };
    program(process)?;
    for limit in process.rlimits().iter().flatten() {
        raise_ours(limit)?;
    }
    if let Some(score) = process.oom_score_adj() {
        // The conversion raises the least there is by one.
        try_oom_score(if score == -1000 { syscont::LEAST_OOM_SCORE } else { score })?;
    }
    Ok(working_directory(spec, process.cwd(), rootfs)?)
}

fn program(process: &Process) -> Result<(), SpecError> {
    match process.args().as_deref() {
        Some([program, ..]) if !program.is_empty() => Ok(()),
        _ => Err(SpecError::new("process.args", "empty", "its first element is the program to run")),
    }
}

/// The container's process is in its user namespace when its limits are set, where nobody may raise one.
fn raise_ours(limit: &PosixRlimit) -> Result<(), SpecError> {
    let refused = |rule: String| {
        let shown = format!("{} with soft {} and hard {}", limit.typ(), limit.soft(), limit.hard());
        SpecError::new("process.rlimits", shown, rule)
    };
    if limit.soft() > limit.hard() {
        return Err(refused("a soft limit cannot be above the hard one".to_owned()));
    }
    let resource = resource(limit.typ());
    let ours = getrlimit(resource);
    // The kernel's word for "no limit" is the greatest number.
    let (Some(most), wanted) = (ours.maximum, limit.hard()) else { return Ok(()) };
    if wanted <= most {
        return Ok(());
    }
    let maximum = (wanted != u64::MAX).then_some(wanted);
    setrlimit(resource, Rlimit { current: ours.current, maximum }).map_err(|errno| {
        refused(format!(
            "it cannot be above the limit of this process, which is {most} and cannot be raised: {errno}"
        ))
    })
}

const fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

/// Lowering the score may need a privilege (`proc_pid_oom_score_adj(5)`); whether it does is found out by doing it.
fn try_oom_score(score: i32) -> anyhow::Result<()> {
    let before = fs::read_to_string(OOM_SCORE).with_context(|| format!("cannot read {OOM_SCORE}"))?;
    if before.trim().parse::<i32>().is_ok_and(|before| before <= score) && score <= 1000 {
        return Ok(());
    }
    fs::write(OOM_SCORE, score.to_string()).map_err(|error| {
        let rule = format!(
            "it must be -1000 to 1000, and not below that of this process, {}: {error}",
            before.trim()
        );
        SpecError::new("process.oomScoreAdj", score.to_string(), rule)
    })?;
    fs::write(OOM_SCORE, before.trim()).with_context(|| format!("cannot restore {OOM_SCORE}"))
}

/// The working directory must be in the rootfs, unless something is mounted there.
fn working_directory(spec: &Spec, cwd: &Path, rootfs: &AbsPath) -> Result<(), SpecError> {
    let refused = |rule: &str| SpecError::new("process.cwd", format!("{cwd:?}"), rule);
    if !cwd.is_absolute() {
        return Err(refused("it must be a path from the container's root on"));
    }
    if spec.mounts().iter().flatten().any(|mount| cwd.starts_with(mount.destination())) {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || {
        let root = fs::File::open(rootfs).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        openat2(&root, cwd, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    };
    open()
        .map(drop)
        .map_err(|errno| refused(&format!("it must be a directory of the rootfs or of a mount: {errno}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sysbox::linux::LinuxHost;

    fn refusal(process: &str, mounts: &str) -> Option<String> {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("home")).expect("made");
        let json = format!(
            r#"{{"ociVersion":"1.0.2","process":{{"user":{{"uid":0,"gid":0}},{process}}},"mounts":[{mounts}]}}"#
        );
        let spec = serde_json::from_str(&json).expect("a spec");
        let rootfs = AbsPath::new(dir.path()).expect("absolute");
        check(&spec, &rootfs, &LinuxHost::default())
            .err()
            .map(|e| e.downcast_ref::<SpecError>().expect("a field").field.clone().into_owned())
    }

    #[test]
    fn a_process_needs_a_program_and_a_directory_to_start_in() {
        assert_eq!(refusal(r#""cwd":"/home","args":["sh"]"#, "").as_deref(), None);
        assert_eq!(refusal(r#""cwd":"/","args":[]"#, "").as_deref(), Some("process.args"));
        assert_eq!(refusal(r#""cwd":"/""#, "").as_deref(), Some("process.args"));
        assert_eq!(refusal(r#""cwd":"/nowhere","args":["sh"]"#, "").as_deref(), Some("process.cwd"));
        assert_eq!(refusal(r#""cwd":"home","args":["sh"]"#, "").as_deref(), Some("process.cwd"));
        let mounted = r#"{"destination":"/nowhere","type":"tmpfs","source":"tmpfs"}"#;
        assert_eq!(refusal(r#""cwd":"/nowhere/below","args":["sh"]"#, mounted).as_deref(), None);
    }

    #[test]
    fn a_soft_limit_above_the_hard_one_is_refused() {
        let limit = r#""cwd":"/","args":["sh"],"rlimits":[{"type":"RLIMIT_NOFILE","soft":9,"hard":8}]"#;
        assert_eq!(refusal(limit, "").as_deref(), Some("process.rlimits"));
    }

    #[test]
    fn an_oom_score_that_is_none_is_refused() {
        assert_eq!(
            refusal(r#""cwd":"/","args":["sh"],"oomScoreAdj":1001"#, "").as_deref(),
            Some("process.oomScoreAdj")
        );
    }
}
